"""Take one reading of a series, wherever its probe must be read, within a deadline."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from umlaut_async.probes import Place, Probe, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import Reading


class Reader:
    """Takes the readings of one probe.

    Args:
        probe: What is read.
        now: Tells the time.
    """

    def __init__(self, probe: Probe, now: Callable[[], int]) -> None:
        self._probe = probe
        self._now = now
        self._thread: _ReadingThread | None = None
        self._turn = asyncio.Lock()

    async def read(self, loop: asyncio.AbstractEventLoop | None) -> tuple[int, Reading]:
        """Take one reading, and tell when it was taken.

        Args:
            loop: The event loop on which a probe of `Place.LOOP` is read.

        Raises:
            UnavailableError: The probe says that it can never be read here.
            UnreadableError: It failed, did not answer in time, or gave what is no number.
        """
        probe = self._probe
        try:
            if probe.place is Place.CALLER:
                value = probe.read()
                return self._now(), value
            async with asyncio.timeout(probe.deadline):
                at, value = await (self._in_thread() if probe.place is Place.THREAD else self._on_loop(loop))
            return at, value if probe.check is None else probe.check(value)
        except (UnavailableError, UnreadableError):
            raise
        except TimeoutError:
            raise UnreadableError(f"read() gave no answer within {probe.deadline:g} s") from None
        except Exception as error:
            raise UnreadableError(f"read() raised {_describe(error)}") from error

    async def _on_loop(self, loop: asyncio.AbstractEventLoop | None) -> tuple[int, Any]:
        if loop is None:
            raise UnreadableError("it is read on an event loop, and the stage runs on none")
        if self._probe.place is Place.CALLBACK:
            return await self._in_callback(loop)
        reading = self._probe.read()

        async def timed() -> tuple[int, Any]:
            value = await reading
            return self._now(), value

        work = timed()
        try:
            answer = asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            reading.close()
            raise UnreadableError("the event loop of the stage was closed") from None
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise UnreadableError("the event loop of the stage ended") from None

    async def _in_callback(self, loop: asyncio.AbstractEventLoop) -> tuple[int, Any]:
        here = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[int, Any]] = here.create_future()
        read = self._probe.read()

        def run() -> None:
            taken = self._now(), read()
            try:
                here.call_soon_threadsafe(settle, taken)
            except RuntimeError:
                pass  # The collector has ended meanwhile.

        def settle(taken: tuple[int, Any]) -> None:
            if not answer.done():
                answer.set_result(taken)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            raise UnreadableError("the event loop of the stage was closed") from None
        # A loop that ends does not run what is still scheduled on it.
        while not answer.done() and not loop.is_closed():
            await asyncio.wait([answer], timeout=1)
        if not answer.done():
            raise UnreadableError("the event loop of the stage ended")
        return answer.result()

    async def _in_thread(self) -> tuple[int, Any]:
        async with self._turn:
            if self._thread is None:
                self._thread = _ReadingThread(self._probe, self._now)
            if self._thread.busy:
                raise UnreadableError("an earlier read() has not returned yet")
            return await self._thread.read()

    def close(self) -> None:
        """Let the thread of the probe end, as soon as its read returns."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None


class _ReadingThread:
    """A daemon thread that takes one reading at a time; one that hangs keeps nothing else from going on."""

    def __init__(self, probe: Probe, now: Callable[[], int]) -> None:
        self._probe = probe
        self._now = now
        self._wanted: SimpleQueue[asyncio.Future[Any] | None] = SimpleQueue()
        self.busy = False
        threading.Thread(target=self._run, name="umlaut-read", daemon=True).start()

    async def read(self) -> tuple[int, Any]:
        answer: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self.busy = True
        self._wanted.put(answer)
        return await answer

    def close(self) -> None:
        self._wanted.put(None)

    def _run(self) -> None:
        while (answer := self._wanted.get()) is not None:
            value: Any = None
            error: Exception | None = None
            try:
                value = self._probe.read()
                value = self._now(), value
            except (UnavailableError, UnreadableError) as raised:
                error = raised
            except BaseException as raised:
                # Not the error itself: a StopIteration, for one, cannot be the exception of a future.
                error = UnreadableError(f"read() raised {_describe(raised)}")
            try:
                answer.get_loop().call_soon_threadsafe(self._settle, answer, value, error)
            except RuntimeError:
                break  # The collector has ended meanwhile.
        if self._probe.close is not None:
            self._probe.close()

    def _settle(self, answer: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
        self.busy = False
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
