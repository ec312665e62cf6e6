"""Threads that take readings, one at a time; one that hangs keeps nothing else from going on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from umlaut_async import originals
from umlaut_async.collector.threads import settle, start_daemon
from umlaut_async.probes import UnavailableError, UnreadableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable
    from queue import SimpleQueue

    from umlaut_async.probes import Probe


class Wanted:
    """A reading that a thread is to take.

    Args:
        probe: What is read.
        answer: Where what was read is awaited, with the time at which it was.
    """

    def __init__(self, probe: Probe, answer: asyncio.Future[tuple[int, Any]]) -> None:
        self.probe = probe
        self.answer = answer
        self.over = False
        """Whether the thread has returned, which it may do when nobody waits any more."""

    def finish(self, value: Any, error: Exception | None) -> None:
        """Answer whoever still waits, on the loop that does."""
        self.over = True
        settle(self.answer, value, error)


class ReadingThread:
    """A daemon thread that takes the readings of one probe, or of some that are read together.

    Args:
        now: Tells the time.
        together: What the probes have together.
    """

    def __init__(self, now: Callable[[], int], together: Hashable | None) -> None:
        self.together = together
        self.users: set[object] = set()
        """Who reads probes here."""
        self.busy = False
        """Whether a reading is being taken."""
        self._now = now
        self._counters: deque[Wanted] = deque()
        self._gauges: deque[Wanted] = deque()
        self._goes_on: SimpleQueue[bool] = originals.simple_queue()
        """Says True for each reading that was put, so that the thread can wait for it, and False at the end."""
        self._close: Callable[[], None] | None = None
        start_daemon(self._run, "umlaut-read")

    def put(self, wanted: Wanted) -> None:
        """Let a reading be taken."""
        self._queue(wanted).append(wanted)
        self._goes_on.put(True)

    def withdraw(self, wanted: Wanted) -> bool:
        """Take a reading back; return whether there was still time for it."""
        try:
            self._queue(wanted).remove(wanted)
        except ValueError:
            return False
        return True

    def end(self) -> None:
        """Let the thread end as soon as what it reads has returned."""
        self._goes_on.put(False)

    def _queue(self, wanted: Wanted) -> deque[Wanted]:
        # Of what is asked for at once, counters come first: they are the ones that have moved on a moment later.
        return self._gauges if wanted.probe.rate is None else self._counters

    def _run(self) -> None:
        while self._goes_on.get():
            try:
                wanted = self._next()
            except IndexError:
                continue  # It was withdrawn.
            self.busy = True
            value, error = self._read(wanted.probe)
            self.busy = False
            try:
                wanted.answer.get_loop().call_soon_threadsafe(wanted.finish, value, error)
            except RuntimeError:
                break  # The collector has ended meanwhile.
        if self._close is not None:
            self._close()

    def _next(self) -> Wanted:
        try:
            return self._counters.popleft()
        except IndexError:
            return self._gauges.popleft()

    def _read(self, probe: Probe) -> tuple[Any, Exception | None]:
        self._close = probe.close
        try:
            value = probe.read()
            return (self._now() if probe.stamp is None else probe.stamp(value), value), None
        except (UnavailableError, UnreadableError) as error:
            return None, error
        except BaseException as error:
            # Not the error itself: a StopIteration, for one, cannot be the exception of a future.
            return None, UnreadableError(f"read() raised {describe(error)}")


class ReadingThreads:
    """The threads of a sampler: one for each probe, but for those that are read together.

    Args:
        now: Tells the time.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._shared: dict[Hashable, ReadingThread] = {}

    def enter(self, probe: Probe, user: object) -> ReadingThread:
        """Return the thread in which somebody reads a probe, who has to leave it in the end."""
        if probe.together is None:
            return self.enter_alone(user)
        if probe.together not in self._shared:
            self._shared[probe.together] = ReadingThread(self._now, probe.together)
        thread = self._shared[probe.together]
        thread.users.add(user)
        return thread

    def enter_alone(self, user: object) -> ReadingThread:
        """Return a thread in which nobody else reads anything."""
        thread = ReadingThread(self._now, None)
        thread.users.add(user)
        return thread

    def leave(self, thread: ReadingThread, user: object) -> None:
        """Let a thread end that nobody uses any more. It can be done again where it failed."""
        thread.users.discard(user)
        if not thread.users:
            self._shared.pop(thread.together, None)
            thread.end()


def describe(error: BaseException) -> str:
    """Return what an error says, also if it fails to say it."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
