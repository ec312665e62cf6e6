"""The generators over what a loader gives when it is iterated, and what becomes of it when its loop is left.

A loop that is left drops its iterator. Python then destroys a generator that nobody else has, and with that closes it;
all else may be gone on with: a file, a connection, a stream that is shared. So it is here. What has no other owner is
dropped within the call, and Python finds out what that is; no reference is ever counted.
"""

from __future__ import annotations

import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

__all__ = ["async_producer", "producer"]


def producer(source: Any) -> Generator[Any, Any, Any]:
    """Return a generator over the items of an iterable."""
    # What a generator function makes is new each time, and so ours: it is forwarded to without one more frame.
    if inspect.isgeneratorfunction(getattr(type(source), "__iter__", None)):
        made: Generator[Any, Any, Any] = iter(source)
        return made
    return _items(iter(source))


def _items(iterator: Iterator[Any]) -> Generator[Any, Any, Any]:
    try:
        while True:
            yield next(iterator)
    except StopIteration as stop:
        return stop.value
    finally:
        del iterator  # Else the traceback of what ends this keeps it until the call has ended.


def async_producer(source: Any) -> AsyncGenerator[Any, Any]:
    """Return an async generator over the items of an async iterable."""
    if inspect.isasyncgenfunction(getattr(type(source), "__aiter__", None)):
        made: AsyncGenerator[Any, Any] = aiter(source)
        return made
    iterator = aiter(source)
    return (_async_items_of_generator if isinstance(iterator, types.AsyncGeneratorType) else _async_items)(iterator)


async def _async_items(iterator: AsyncIterator[Any]) -> AsyncGenerator[Any, Any]:
    try:
        while True:
            yield await anext(iterator)
    except StopAsyncIteration:
        return


async def _async_items_of_generator(iterator: AsyncIterator[Any]) -> AsyncGenerator[Any, Any]:
    """Yield the items of an async generator; if it is destroyed with the loop over it, await its end."""
    destroyed = _Destroyed()
    step: Any = destroyed.watch(iterator)
    try:
        while True:
            yield await step
            step = anext(iterator)
    except StopAsyncIteration:
        return
    finally:
        destroyed.awaited = True
        step = None  # It holds the generator.
        del iterator
        destroyed.awaited = False
        for generator in destroyed.generators:
            await generator.aclose()


class _Destroyed:
    """Takes an async generator that is destroyed, in the place of the event loop, where its end is awaited."""

    __slots__ = ("_finalizer", "awaited", "generators")

    def __init__(self) -> None:
        self.generators: list[AsyncGenerator[Any, Any]] = []
        self.awaited = False
        self._finalizer: Callable[[AsyncGenerator[Any, Any]], object] | None = None

    def watch(self, iterator: AsyncIterator[Any]) -> Any:
        """Return the next step of a generator, which learns by its first one who is told of its destruction."""
        hooks = sys.get_asyncgen_hooks()
        self._finalizer = hooks.finalizer
        if hooks.finalizer is None:
            return anext(iterator)
        sys.set_asyncgen_hooks(finalizer=self._take)
        try:
            return anext(iterator)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    def _take(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self.awaited:
            self.generators.append(generator)
        elif self._finalizer is not None:
            self._finalizer(generator)
