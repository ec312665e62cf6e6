"""The frames between a caller and what it calls, one for each kind of callable: hooks around, and nothing else.

They are native functions of their kind. Generators are forwarded by hand, since neither `yield from` nor `async for`
forwards everything: what a producer and its consumer see of each other is as without us. Two things remain visible.
Arguments that do not fit are refused at the first step of a generator and at the first `await` of a coroutine, not
where they were passed. And a generator (not an async one) that ignores GeneratorExit while it is being destroyed is
told a second time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = [
    "Call",
    "Enter",
    "wrap_async_generator",
    "wrap_coroutine",
    "wrap_function",
    "wrap_generator",
    "wrap_stepped_coroutine",
]

Target = Callable[..., Any]


class Call(Protocol):
    """What one call tells of itself; no method may raise.

    A function or a coroutine only ends. A generator also resumes and suspends around each of its steps, and may be
    abandoned in place of its end, or after it.
    """

    def resume(self) -> None:
        """Take note that a step of the producer begins."""
        ...

    def suspend(self, yielded: bool, /) -> None:
        """Take note that the step is over, and whether it gave an item."""
        ...

    def end(self, error: BaseException | None, /) -> None:
        """Take note, exactly once, that the call has returned or raised."""
        ...

    def abandon(self) -> None:
        """Take note that the producer was destroyed; after `end` this means nothing. Called by a finalizer."""
        ...


Enter = Callable[[], Call | None]
"""Begins a call; None lets it run unmeasured. Functions and coroutines are current from here on."""


def wrap_function(target: Target, enter: Enter) -> Target:
    def function(*args: Any, **kwargs: Any) -> Any:
        call = enter()
        if call is None:
            return target(*args, **kwargs)
        try:
            result = target(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return result

    return function


def wrap_coroutine(target: Target, enter: Enter) -> Target:
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        call = enter()
        if call is None:
            return await target(*args, **kwargs)
        try:
            result = await target(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return result

    return coroutine


class _Unmeasured:
    """The call that `enter` refused: it keeps the generators at one loop each."""

    def resume(self) -> None: ...

    def suspend(self, yielded: bool, /) -> None: ...

    def end(self, error: BaseException | None, /) -> None: ...

    def abandon(self) -> None: ...


_UNMEASURED = _Unmeasured()


class _Watch:
    """Says that a generator's frame is gone: there are ways to destroy one that run none of its code."""

    __slots__ = ("abandon", "successor")

    def __init__(self, abandon: Callable[[], None]) -> None:
        self.abandon = abandon

    def __del__(self) -> None:
        # The garbage collector finalizes a whole cycle before it knows whether an event loop revives the generator,
        # and finalizes nothing twice.
        if gc.is_finalized(self):
            self.successor = _Watch(self.abandon)
        else:
            self.abandon()


# Rules of both loops below:
# - Items, sent values and thrown errors are passed on without keeping them: a batch that the consumer has dropped
#   is to be freed, and an error whose traceback leads here must not be reachable from here.
# - What was thrown in is forwarded after the `except` block, since inside it becomes the context of what the producer
#   raises. GeneratorExit is nothing special: whether to obey is up to the producer, what follows is up to the caller.


def wrap_generator(target: Target, enter: Enter) -> Target:
    """Wrap a function that returns a generator."""

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = enter() or _UNMEASURED
        resume, suspend, end = call.resume, call.suspend, call.end
        watch = _Watch(call.abandon)  # noqa: F841
        held: list[Any] = []
        put, take = held.append, held.pop
        value = thrown = None
        resume()
        try:
            producer = target(*args, **kwargs)
        except BaseException as error:
            suspend(False)
            end(error)
            raise
        del args, kwargs
        send = producer.send
        while True:
            try:
                if thrown is None:
                    put(send(value))
                else:
                    try:
                        put(producer.throw(thrown))
                    finally:
                        thrown = None
            except StopIteration as stop:
                suspend(False)
                end(None)
                return stop.value
            except BaseException as error:
                suspend(False)
                end(error)
                raise
            suspend(True)
            value = None
            try:
                value = yield take()
            except BaseException as error:
                thrown = error
            resume()

    return generator


class _Steps:
    """An awaitable whose steps are those of a generator."""

    __slots__ = ("_generator",)

    def __init__(self, generator: Generator[Any, Any, Any]) -> None:
        self._generator = generator

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._generator


def wrap_stepped_coroutine(target: Target, enter: Enter) -> Target:
    """Wrap a coroutine function so that its call also resumes and suspends around each step."""
    # To whoever drives it, a coroutine is a generator of what it awaits.
    steps = wrap_generator(target, enter)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await _Steps(steps(*args, **kwargs))

    return coroutine


def wrap_async_generator(target: Target, enter: Enter) -> Target:
    """Wrap a function that returns an async generator."""

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = enter() or _UNMEASURED
        resume, suspend, end = call.resume, call.suspend, call.end
        watch = _Watch(call.abandon)  # noqa: F841
        held: list[Any] = []
        put, take = held.append, held.pop
        thrown: BaseException | None = None
        resume()
        try:
            producer = target(*args, **kwargs)
            step = _first_step(producer)
        except BaseException as error:
            suspend(False)
            end(error)
            raise
        del args, kwargs
        asend = producer.asend
        while True:
            try:
                if thrown is None:
                    put(await step)
                else:
                    try:
                        put(await producer.athrow(thrown) if not producer.ag_running else _interrupt(producer, thrown))
                    finally:
                        thrown = None
            except StopAsyncIteration:
                suspend(False)
                end(None)
                return
            except BaseException as error:
                if not (_INTERRUPTS and producer.ag_running and isinstance(error, GeneratorExit)):
                    suspend(False)
                    end(error)
                    raise
                thrown = error
                continue
            suspend(True)
            step = None
            try:
                step = asend((yield take()))
            except BaseException as error:
                thrown = error
            resume()

    return async_generator


def _first_step(producer: AsyncGenerator[Any, Any]) -> Any:
    """Begin an async generator behind the back of the event loop, which is to close the wrapper and nothing else."""
    hooks = sys.get_asyncgen_hooks()
    # Where no loop closes the wrapper, and no step can be interrupted, only its own destruction can tell a producer.
    sys.set_asyncgen_hooks(None, _leave if hooks.finalizer or _INTERRUPTS else None)
    try:
        return producer.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _leave(producer: AsyncGenerator[Any, Any]) -> None:
    """Do nothing about a producer that is destroyed: whatever it was to be told, it was told through the wrapper."""


# A wrapper that is destroyed in the middle of a step has that step closed without the producer being told. Python 3.11
# has a way to tell it; releases of 3.12 closed that way.
_INTERRUPTS: Final = sys.version_info < (3, 12)


def _interrupt(producer: AsyncGenerator[Any, Any], error: BaseException) -> Any:
    """Throw into the middle of a step that was closed, and return what is then yielded or awaited: both disobey."""
    try:
        producer.asend(None).throw(error)
    except StopIteration as step:
        return step.value
    return None
