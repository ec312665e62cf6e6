"""Take one reading of a series, wherever its probe must be read, within a deadline."""

from __future__ import annotations

import asyncio
import math
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from umlaut_async.probes import Place, Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import Reading

DEADLINE = 2.0
"""Seconds after which a reading that a user's `read` owes is given up."""


class UnreadableError(Exception):
    """A reading could not be taken; the message says why."""


class Reader:
    """Takes the readings of one probe."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._thread: _ReadingThread | None = None
        self._turn = asyncio.Lock()

    async def read(self, loop: asyncio.AbstractEventLoop | None) -> Reading:
        """Take one reading.

        Args:
            loop: The event loop on which a probe of `Place.LOOP` is read.

        Raises:
            UnreadableError: The probe failed, did not answer in time, or gave what is no number.
        """
        probe = self._probe
        try:
            if probe.place is Place.CALLER:
                return probe.read()
            async with asyncio.timeout(DEADLINE):
                if probe.place is Place.LOOP:
                    return _number(await _on_loop(probe, loop))
                return _number(await self._in_thread(probe))
        except UnreadableError:
            raise
        except TimeoutError:
            raise UnreadableError(f"read() gave no answer within {DEADLINE:g} s") from None
        except Exception as error:
            raise UnreadableError(f"read() raised {_describe(error)}") from error

    async def _in_thread(self, probe: Probe) -> Any:
        async with self._turn:
            if self._thread is None:
                self._thread = _ReadingThread(probe.read)
            if self._thread.busy:
                raise UnreadableError("an earlier read() has not returned yet")
            return await self._thread.read()

    def close(self) -> None:
        """Let the thread of the probe end, as soon as its read returns."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None


async def _on_loop(probe: Probe, loop: asyncio.AbstractEventLoop | None) -> Any:
    if loop is None:
        raise UnreadableError("an `async def read` needs a stage that runs on an event loop")
    coroutine = probe.read()
    try:
        answer = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise UnreadableError("the event loop of the stage was closed") from None
    try:
        return await asyncio.wrap_future(answer)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise UnreadableError("the event loop of the stage ended") from None


class _ReadingThread:
    """A daemon thread that calls one function at a time; one that hangs keeps nothing else from going on."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._wanted: SimpleQueue[asyncio.Future[Any] | None] = SimpleQueue()
        self.busy = False
        threading.Thread(target=self._run, name="umlaut-read", daemon=True).start()

    async def read(self) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self.busy = True
        self._wanted.put(answer)
        return await answer

    def close(self) -> None:
        self._wanted.put(None)

    def _run(self) -> None:
        while (answer := self._wanted.get()) is not None:
            value, error = None, None
            try:
                value = self._read()
            except BaseException as raised:
                # Not the error itself: a StopIteration, for one, cannot be the exception of a future.
                error = UnreadableError(f"read() raised {_describe(raised)}")
            try:
                answer.get_loop().call_soon_threadsafe(self._settle, answer, value, error)
            except RuntimeError:
                return  # The collector has ended meanwhile.

    def _settle(self, answer: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
        self.busy = False
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)


def _number(value: Any) -> float:
    """Return a reading as a plain number."""
    if not isinstance(value, (int, float)) and callable(item := getattr(value, "item", None)):
        value = item()
    if not isinstance(value, (int, float)):
        raise UnreadableError(f"read() returned {_shortened(value)}, which is not a number")
    if not math.isfinite(value):
        raise UnreadableError(f"read() returned {value}, which is not finite")
    return value


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _shortened(value: Any) -> str:
    try:
        return repr(value)[:100]
    except Exception:
        return f"a {type(value).__name__}"
