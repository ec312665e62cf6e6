"""Supervise a callable of any kind: find out what it is, and put the frame of its kind around it.

Nothing here knows what is done with the calls. The kind is decided once, when something is wrapped; `forwarding` has
the frames.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import TYPE_CHECKING, TypeVar, cast

from umlaut_async.callables import binds, unbound
from umlaut_async.errors import ArgumentTypeError
from umlaut_async.forwarding import (
    Enter,
    Target,
    wrap_async_generator,
    wrap_coroutine,
    wrap_function,
    wrap_generator,
    wrap_stepped_coroutine,
)
from umlaut_async.kinds import ASYNC_GENERATOR, COROUTINE, FUNCTION, GENERATOR, OpenHooks, default_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["wrap"]

T = TypeVar("T")


def wrap(target: T, open_hooks: OpenHooks, *, steps: bool = False) -> T:
    """Return `target` wrapped: of the same kind, under the same name, with the same behaviour.

    Functions, coroutine functions, generator functions and async generator functions, as they are, as bound methods,
    below or above `classmethod` and `staticmethod`, in a `partial` or `partialmethod`, or as the `__call__` of an
    object. A plain function that returns an awaitable is a plain function: its call ends when it returns.

    Args:
        target: What is called.
        open_hooks: Gets the kind and the default name, returns what begins each call.
        steps: Whether calls of coroutines are told of each step; those of generators always are.

    Raises:
        ArgumentTypeError: The target cannot be wrapped so that its calls are what was meant.
    """
    if isinstance(target, classmethod | staticmethod):
        return cast("T", type(target)(wrap(target.__func__, open_hooks, steps=steps)))
    if isinstance(target, functools.partialmethod):
        wrapped = wrap(target.func, open_hooks, steps=steps)
        return cast("T", functools.partialmethod(wrapped, *target.args, **target.keywords))
    function = _function_of(target)
    kind, make = _kind_of(function)
    if steps and kind == COROUTINE:
        make = wrap_stepped_coroutine
    return cast("T", _wrapper(make, target, open_hooks(kind, default_name(function))))


def _wrapper(make: Callable[[Target, Enter], Target], target: object, enter: Enter) -> Target:
    wrapper = _describe(make(cast("Target", target), enter), target, _innermost(target))
    if not binds(target):
        return unbound(wrapper, target, (_wrapper, make, target, enter))
    if isinstance(target, functools.partial):
        vars(wrapper).update(func=target.func, args=target.args, keywords=target.keywords)
    return wrapper


def _function_of(target: object) -> object:
    """Look through partials, and refuse what cannot be wrapped."""
    if isinstance(target, type):
        raise ArgumentTypeError(f"{target.__qualname__} is a class: decorate the methods that are to be supervised")
    if isinstance(target, property | functools.cached_property):
        raise ArgumentTypeError("a property cannot be supervised: decorate the function below @property")
    if isinstance(target, types.GeneratorType | types.AsyncGeneratorType | types.CoroutineType):
        raise ArgumentTypeError(
            f"{target.__qualname__} has already been called: decorate the function itself"
            ", or use .iterate() for an iterable"
        )
    if not callable(target):
        raise ArgumentTypeError(f"a {type(target).__qualname__} cannot be supervised: it is not callable")
    function = _innermost(target)
    if isinstance(function, type):
        raise ArgumentTypeError(f"{function.__qualname__} is a class: decorate the methods that are to be supervised")
    if getattr(function, "__code__", None) in _CONTEXT_MANAGERS:
        raise ArgumentTypeError(
            f"{default_name(function)} only makes a context manager: decorate below @contextmanager"
            " or @asynccontextmanager, so that the call lasts from enter to exit"
        )
    return function


def _innermost(target: object) -> object:
    while isinstance(target, functools.partial):
        target = target.func
    return target


_CONTEXT_MANAGERS = frozenset(
    maker.__code__ for maker in (contextlib.contextmanager(iter), contextlib.asynccontextmanager(aiter))
)


def _kind_of(function: object) -> tuple[str, Callable[[Target, Enter], Target]]:
    """Decide which of the four kinds this is; for an object its `__call__` decides."""
    code = function if inspect.isroutine(function) else type(function).__call__
    for predicate, kind, make in (
        (inspect.iscoroutinefunction, COROUTINE, wrap_coroutine),
        (inspect.isasyncgenfunction, ASYNC_GENERATOR, wrap_async_generator),
        (inspect.isgeneratorfunction, GENERATOR, wrap_generator),
    ):
        if predicate(function) or predicate(code):
            return kind, make
    return FUNCTION, wrap_function


def _describe(wrapper: Target, target: object, function: object) -> Target:
    """Let the wrapper pass for its target: name, documentation, and what marks or decorates a function."""
    if inspect.isroutine(function):
        # The attributes of a partial are its own business; those of a function may mean something to a framework.
        functools.update_wrapper(wrapper, function, updated=("__dict__",) if function is target else ())
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE:
            wrapper = types.coroutine(wrapper)
    else:
        # An object's attributes are its state, its annotations those of its class: copies of them mislead.
        functools.update_wrapper(wrapper, cast("Target", function), ("__module__", "__doc__"), ())
        wrapper.__name__, wrapper.__qualname__ = type(function).__name__, type(function).__qualname__
    for name in _lasting_attributes(target):
        if not hasattr(wrapper, name):
            setattr(wrapper, name, getattr(target, name))
    wrapper.__wrapped__ = target  # type: ignore[attr-defined]
    return wrapper


def _lasting_attributes(target: object) -> Iterator[str]:
    """Give the public attributes of which a copy is as good: methods, such as `cache_clear`."""
    for name in dir(type(target)):
        if not name.startswith("_"):
            # What a property gives may change, and reading it may take long.
            found = inspect.getattr_static(type(target), name)
            if isinstance(found, classmethod) or (callable(found) and inspect.isroutine(found)):
                yield name
