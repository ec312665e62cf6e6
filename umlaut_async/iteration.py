"""Stand-ins for iterables, each iteration over which is one call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from umlaut_async.errors import ArgumentTypeError
from umlaut_async.forwarding import wrap_async_generator, wrap_generator
from umlaut_async.iterators import async_producer, producer
from umlaut_async.kinds import ASYNC_ITERATE, ITERATE, OpenHooks, default_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


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
        self._open_hooks = open_hooks

    def __reduce__(self) -> tuple[Any, ...]:
        return iterate, (self._source, self._open_hooks)

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
        self._iterate = wrap_generator(producer, open_hooks(ITERATE, default_name(source)))

    def __iter__(self) -> Iterator[T_co]:
        return cast("Iterator[T_co]", self._iterate(self._source))


class AsyncIteration(_StandIn, Generic[T_co]):
    """An async iterable whose iterations are calls."""

    def __init__(self, source: Any, open_hooks: OpenHooks) -> None:
        super().__init__(source, open_hooks)
        self._aiterate = wrap_async_generator(async_producer, open_hooks(ASYNC_ITERATE, default_name(source)))

    def __aiter__(self) -> AsyncIterator[T_co]:
        return cast("AsyncIterator[T_co]", self._aiterate(self._source))


class _BothIteration(Iteration[T_co], AsyncIteration[T_co]): ...
