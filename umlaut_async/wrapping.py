"""Supervise a callable of any kind, or an iterable: find out what it is, and put the frame of its kind around it.

Nothing here knows what is done with the calls. The kind is decided once, when something is wrapped; `forwarding` has
the frames.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from umlaut_async.errors import ArgumentTypeError
from umlaut_async.forwarding import (
    Call,
    Enter,
    Target,
    wrap_async_generator,
    wrap_coroutine,
    wrap_function,
    wrap_generator,
    wrap_stepped_coroutine,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator

__all__ = [
    "ASYNC_GENERATOR",
    "ASYNC_ITERATE",
    "COROUTINE",
    "FUNCTION",
    "GENERATOR",
    "ITERATE",
    "YIELDING",
    "AsyncIteration",
    "Call",
    "Enter",
    "Iteration",
    "OpenHooks",
    "iterate",
    "wrap",
]

FUNCTION: Final = "function"
COROUTINE: Final = "coroutine"
GENERATOR: Final = "generator"
ASYNC_GENERATOR: Final = "async generator"
ITERATE: Final = "iterate"
ASYNC_ITERATE: Final = "async iterate"
YIELDING: Final = frozenset({GENERATOR, ASYNC_GENERATOR, ITERATE, ASYNC_ITERATE})
"""The kinds whose calls give items."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


OpenHooks = Callable[[str, str], Enter]
"""Takes the kind and the default name of what is wrapped, once."""


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
    wrapper = make(cast("Target", target), open_hooks(kind, default_name(function)))
    return cast("T", _describe(wrapper, target, function))


def default_name(named: object) -> str:
    """Return the qualified name of a function, else that of the type, from its last enclosing function inwards."""
    name = getattr(named, "__qualname__", None) or type(named).__qualname__
    return str(name).rpartition("<locals>.")[2]


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
    function: object = target
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type):
        raise ArgumentTypeError(f"{function.__qualname__} is a class: decorate the methods that are to be supervised")
    if getattr(function, "__code__", None) in _CONTEXT_MANAGERS:
        raise ArgumentTypeError(
            f"{default_name(function)} only makes a context manager: decorate below @contextmanager"
            " or @asynccontextmanager, so that the call lasts from enter to exit"
        )
    return function


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
    """Give the public attributes of which a copy is as good: methods, such as `cache_clear`, and those of a partial."""
    if isinstance(target, functools.partial):
        yield from ("func", "args", "keywords")
    for name in dir(type(target)):
        if not name.startswith("_"):
            # What a property gives may change, and reading it may take long.
            found = inspect.getattr_static(type(target), name)
            if isinstance(found, classmethod) or (callable(found) and inspect.isroutine(found)):
                yield name


@overload
def iterate(source: Iterable[T], open_hooks: OpenHooks) -> Iteration[T]: ...
@overload
def iterate(source: AsyncIterable[T], open_hooks: OpenHooks) -> AsyncIteration[T]: ...
def iterate(source: Any, open_hooks: OpenHooks) -> Iteration[T] | AsyncIteration[T]:
    """Return a stand-in for an iterable, each iteration over which is one call; it is made at the first `next`.

    A stand-in for something that is iterable in both ways is so too.

    Args:
        source: A sync or an async iterable.
        open_hooks: Gets the kind and the default name, returns what begins each iteration.

    Raises:
        ArgumentTypeError: The source is not iterable.
    """
    defined = dir(type(source))
    iterable = "__iter__" in defined or "__getitem__" in defined
    if "__aiter__" in defined:
        return _BothIteration(source, open_hooks) if iterable else AsyncIteration(source, open_hooks)
    if iterable:
        return Iteration(source, open_hooks)
    hint = ": call it first" if callable(source) else ": await it first" if inspect.isawaitable(source) else ""
    raise ArgumentTypeError(f"{default_name(source)} is not iterable{hint}")


class _StandIn:
    """What both stand-ins share: length, truth and public attributes are the source's."""

    def __init__(self, source: Any, open_hooks: OpenHooks) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __bool__(self) -> bool:
        return bool(self._source)

    def __getattr__(self, name: str) -> Any:
        # Methods that Python itself looks for say what an object is, and this is not the source.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._source, name)


class Iteration(_StandIn, Generic[T_co]):
    """An iterable whose iterations are calls."""

    def __init__(self, source: Any, open_hooks: OpenHooks) -> None:
        super().__init__(source, open_hooks)
        self._iterate = wrap_generator(_producer, open_hooks(ITERATE, default_name(source)))

    def __iter__(self) -> Iterator[T_co]:
        return cast("Iterator[T_co]", self._iterate(self._source))


class AsyncIteration(_StandIn, Generic[T_co]):
    """An async iterable whose iterations are calls."""

    def __init__(self, source: Any, open_hooks: OpenHooks) -> None:
        super().__init__(source, open_hooks)
        self._aiterate = wrap_async_generator(_async_producer, open_hooks(ASYNC_ITERATE, default_name(source)))

    def __aiter__(self) -> AsyncIterator[T_co]:
        return cast("AsyncIterator[T_co]", self._aiterate(self._source))


class _BothIteration(Iteration[T_co], AsyncIteration[T_co]): ...


# Only a generator that nobody else holds is closed with its iteration: a loop that is left drops it, and so it ends.
# Anything else may be gone on with, or is not ours to close: a file, a connection, a stream that is shared.


def _producer(source: Iterable[T]) -> Generator[T, Any, Any]:
    iterator = iter(source)
    if isinstance(iterator, types.GeneratorType) and sys.getrefcount(iterator) <= 2:
        return iterator
    return _items(iterator)


def _items(iterator: Iterator[T]) -> Generator[T]:
    try:
        while True:
            yield next(iterator)
    except StopIteration:
        return


def _async_producer(source: AsyncIterable[T]) -> AsyncGenerator[T, Any]:
    iterator = aiter(source)
    if isinstance(iterator, types.AsyncGeneratorType) and sys.getrefcount(iterator) <= 2:
        return iterator
    return _async_items(iterator)


async def _async_items(iterator: AsyncIterator[T]) -> AsyncGenerator[T]:
    try:
        while True:
            yield await anext(iterator)
    except StopAsyncIteration:
        return
