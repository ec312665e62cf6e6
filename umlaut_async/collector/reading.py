"""Take one reading of a series, wherever its probe must be read, within a deadline."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from umlaut_async.collector.reading_thread import Wanted, describe
from umlaut_async.collector.threads import settle
from umlaut_async.probes import Place, Probe, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from umlaut_async.collector.reading_thread import ReadingThread, ReadingThreads
    from umlaut_async.records import Reading

    Respond = Callable[[Any, Exception | None], None]
    """Takes what was read, or why it could not be, in any thread."""

_LOOK = 0.05
"""How often it is looked whether the loop of a stage was closed, in seconds."""
_HELD_UP = 0.1
"""Seconds that a reading waits for those of other probes in the same thread; then its probe has one of its own."""
_LOOP_ENDED = "the event loop of the stage ended"


class Reader:
    """Takes the readings of one probe.

    Args:
        probe: What is read.
        now: Tells the time.
        threads: Where probes of `Place.THREAD` are read.
    """

    def __init__(self, probe: Probe, now: Callable[[], int], threads: ReadingThreads) -> None:
        self._probe = probe
        self._now = now
        self._threads = threads
        self._thread: ReadingThread | None = None
        self._wanted: Wanted | None = None
        """The latest reading that a thread was to take."""
        self._look_again: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._deadline = probe.deadline if probe.first_deadline is None else probe.first_deadline

    async def read(self, loop: asyncio.AbstractEventLoop | None) -> tuple[int, Reading]:
        """Take one reading, and tell when it was taken.

        Args:
            loop: The event loop on which a probe of `Place.LOOP` is read.

        Raises:
            UnavailableError: The probe says that it can never be read here.
            UnreadableError: It failed, did not answer in time, or gave what is no number.
        """
        probe = self._probe
        deadline = self._deadline
        try:
            if probe.place in (Place.CALLER, Place.TIMER):
                value = probe.read()
                return self._now(), value
            async with asyncio.timeout(deadline):
                at, value = await (self._in_thread() if probe.place is Place.THREAD else self._on_loop(loop))
            return at, value if probe.check is None else probe.check(value)
        except (UnavailableError, UnreadableError):
            raise
        except TimeoutError:
            raise UnreadableError(f"read() gave no answer within {deadline:g} s") from None
        except Exception as error:
            raise UnreadableError(f"read() raised {describe(error)}") from error
        finally:
            # Only now: others that wait for the first reading to be over need as long as that one.
            self._deadline = probe.deadline

    async def _on_loop(self, loop: asyncio.AbstractEventLoop | None) -> tuple[int, Any]:
        if loop is None:
            raise UnavailableError(
                "a stage with it ran on no asyncio event loop",
                "use it on coroutines, and on what they call",
            )
        here = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[int, Any]] = here.create_future()

        def respond(value: Any, error: Exception | None) -> None:
            try:
                here.call_soon_threadsafe(settle, answer, value, error)
            except RuntimeError:
                pass  # The collector has ended meanwhile.

        reading = _LoopReading(self._probe, self._now, loop, respond)
        try:
            return await self._answered(answer, loop, reading.start)
        except BaseException:
            reading.give_up()
            raise

    @staticmethod
    async def _answered(
        answer: asyncio.Future[tuple[int, Any]], loop: asyncio.AbstractEventLoop, run: Callable[[], None]
    ) -> tuple[int, Any]:
        """Let the loop of the stage run a function, and wait for the answer that comes of it."""
        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            raise UnreadableError("the event loop of the stage was closed") from None
        try:
            # A loop that ends does not run what is still scheduled on it.
            while not answer.done() and not loop.is_closed():
                await asyncio.wait([answer], timeout=_LOOK)
            if not answer.done():
                # An answer from just before the end is already scheduled here.
                await asyncio.sleep(0)
        finally:
            given_up = answer.cancel()
        if given_up:
            raise UnreadableError(_LOOP_ENDED)
        return answer.result()

    async def _in_thread(self) -> tuple[int, Any]:
        async with self._turn:
            if self._wanted is not None and not self._wanted.over:
                raise UnreadableError("an earlier read() has not returned yet")
            if self._thread is None:
                self._thread = self._threads.enter(self._probe, self)
            loop = asyncio.get_running_loop()
            wanted = Wanted(self._probe, loop.create_future())
            self._thread.put(wanted)
            self._wanted = wanted
            if self._thread.together is not None:
                self._look_again = loop.call_later(_HELD_UP, self._look, wanted)
            try:
                return await wanted.answer
            finally:
                if self._look_again is not None:
                    self._look_again.cancel()

    def _look(self, wanted: Wanted) -> None:
        """Go on in a thread of its own if a reading of another probe is what this one waits for."""
        shared = self._thread
        if shared is None:
            return
        if not shared.busy or not shared.withdraw(wanted):
            # It is being taken, or the thread waits for the interpreter, as another one would.
            self._look_again = wanted.answer.get_loop().call_later(_HELD_UP, self._look, wanted)
            return
        try:
            self._thread = self._threads.enter_alone(self)
        except RuntimeError as error:
            wanted.finish(None, UnreadableError(f"no thread could be started for it: {error}"))
            return
        self._thread.put(wanted)
        self._threads.leave(shared, self)

    def close(self) -> None:
        """Let the thread of the probe end, as soon as its read returns."""
        if self._thread is not None:
            self._threads.leave(self._thread, self)
            self._thread = None


class _LoopReading:
    """One reading by a coroutine on another loop. It is made there: what is made elsewhere may never be awaited."""

    def __init__(self, probe: Probe, now: Callable[[], int], loop: asyncio.AbstractEventLoop, respond: Respond) -> None:
        self._probe = probe
        self._now = now
        self._loop = loop
        self._respond = respond
        self._work: Coroutine[Any, Any, None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._given_up = False

    def start(self) -> None:
        """Begin, on the loop itself."""
        if not self._given_up:
            self._work = self._take()
            self._task = self._loop.create_task(self._work)

    async def _take(self) -> None:
        try:
            value = await self._probe.read()
            taken = self._now(), value
        except asyncio.CancelledError:
            self._respond(None, UnreadableError(_LOOP_ENDED))
            raise
        except (UnavailableError, UnreadableError) as error:
            self._respond(None, error)
        except BaseException as error:
            # Also what would end the loop: it is the loop of the stage, which measuring must not end.
            self._respond(None, UnreadableError(f"read() raised {describe(error)}"))
        else:
            self._respond(taken, None)

    def give_up(self) -> None:
        """End it, from any thread, if it has not ended."""
        self._given_up = True
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            self._forsake()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _forsake(self) -> None:
        """Let go of a task that its loop, which is closed, will never run again: of that nobody needs to be told."""
        if self._task is None or self._task.done():
            return
        setattr(self._task, "_log_destroy_pending", False)  # noqa: B010  # the types do not know it
        if self._work is not None and inspect.getcoroutinestate(self._work) == inspect.CORO_CREATED:
            self._work.close()
