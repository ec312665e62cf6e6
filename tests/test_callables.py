"""Supervised callables of every kind as attributes of a class: they bind an instance where the plain ones do."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Callable


class Model:
    """A callable object with methods of every kind."""

    weights = 3

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        return args

    def predict(self, *args: Any) -> tuple[Any, ...]:
        return args

    async def wait(self, *args: Any) -> tuple[Any, ...]:
        return args

    @classmethod
    def make(cls, *args: Any) -> tuple[Any, ...]:
        return args

    @staticmethod
    def count(*args: Any) -> tuple[Any, ...]:
        return args


class Binding(Model):
    """A callable object that binds."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def plain(*args: Any) -> tuple[Any, ...]:
    return args


async def coroutine(*args: Any) -> tuple[Any, ...]:
    return args


CALLABLES: dict[str, Callable[..., Any]] = {
    "function": plain,
    "lambda": lambda *args: args,
    "cached function": functools.lru_cache(plain),
    "object": Model(),
    "object that binds": Binding(),
    "bound method": Model().predict,
    "bound method of a class": Model.make,
    "static method": Model.count,
    "partial": functools.partial(plain, 0),
    "partial of a partial": functools.partial(functools.partial(plain, 0), 1),
    "partial of an object": functools.partial(Model(), 0),
    "builtin": callable,
    "bound builtin": [].count,
    "method of a builtin": object.__repr__,
    "bound method of a builtin": (3).__add__,
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_a_wrapper_binds_where_what_it_wraps_binds(kind: str) -> None:
    target = CALLABLES[kind]
    wrapped = wrap(target, lambda kind, name: lambda: None)

    class Supervised:
        load = wrapped
        loads = staticmethod(wrapped)

    class Unsupervised:
        load = target
        loads = staticmethod(target)

    def outcome(stage: Any, name: str) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Python 3.13 says of partials that they will bind.
            load = getattr(stage, name)
        try:
            given = load()
        except TypeError as error:
            return type(error)
        return [each if isinstance(each, int) else "itself" for each in given] if isinstance(given, tuple) else "given"

    for name in ("load", "loads"):
        assert outcome(Supervised(), name) == outcome(Unsupervised(), name)
        assert outcome(Supervised, name) == outcome(Unsupervised, name)


async def test_a_wrapper_that_binds_nothing_passes_for_its_target() -> None:
    target = Model().wait
    wrapped: Any = wrap(target, lambda kind, name: lambda: None)
    assert inspect.iscoroutinefunction(wrapped)
    assert (wrapped.__name__, wrapped.__doc__) == ("wait", target.__doc__)
    assert wrapped.__wrapped__ is target
    assert inspect.signature(wrapped) == inspect.signature(target)
    wrapped.marked = True
    assert await wrapped(1) == (1,)


def test_a_wrapper_that_binds_nothing_can_be_wrapped_again_and_in_a_partial() -> None:
    names: list[str] = []

    def open_hooks(kind: str, name: str) -> Callable[[], None]:
        names.append(f"{kind} {name}")
        return lambda: None

    wrapped = wrap(Model(), open_hooks)
    twice = wrap(functools.partial(wrap(wrapped, open_hooks), 1), open_hooks)
    assert twice(2) == (1, 2)
    assert names == ["function Model"] * 3
    assert type("Stage", (), {"load": wrap(wrapped, open_hooks)})().load(1) == (1,)
