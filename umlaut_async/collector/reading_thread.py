"""Threads that take readings, one at a time; one that hangs keeps nothing else from going on."""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from umlaut_async.collector.threads import settle, start_daemon
from umlaut_async.probes import UnavailableError, UnreadableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

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
        """Whether nothing of the reading is still to come."""
        self._begun = threading.Lock()

    def begin(self) -> bool:
        """Return whether it is the caller who may take the reading, or withdraw it: the first who asks."""
        return self._begun.acquire(blocking=False)

    @property
    def has_begun(self) -> bool:
        """Whether somebody has taken it, or withdrawn it."""
        return self._begun.locked()

    def finish(self, value: Any, error: Exception | None) -> None:
        """Answer whoever still waits, on the loop that does."""
        self.over = True
        settle(self.answer, value, error)


class ReadingThread:
    """A daemon thread that takes the readings of one probe, or of some that are read together.

    Args:
        now: Tells the time.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.users: set[object] = set()
        """Who reads probes here."""
        self._now = now
        self._waiting: deque[Wanted] = deque()
        self._goes_on: SimpleQueue[bool] = SimpleQueue()
        """Says True for each reading that waits, and False at the end."""
        self._close: Callable[[], None] | None = None
        start_daemon(self._run, "umlaut-read")

    def put(self, wanted: Wanted) -> None:
        """Let a reading be taken."""
        # Of what is asked for at once, counters come first: they are the ones that have moved on a moment later.
        if wanted.probe.rate is None:
            self._waiting.append(wanted)
        else:
            self._waiting.appendleft(wanted)
        self._goes_on.put(True)

    def end(self) -> None:
        """Let the thread end as soon as what it reads has returned."""
        self._goes_on.put(False)

    def _run(self) -> None:
        while self._goes_on.get():
            wanted = self._waiting.popleft()
            if not wanted.begin():
                continue
            value, error = self._read(wanted.probe)
            try:
                wanted.answer.get_loop().call_soon_threadsafe(wanted.finish, value, error)
            except RuntimeError:
                break  # The collector has ended meanwhile.
        if self._close is not None:
            self._close()

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
        thread = self._shared.get(probe.together) or ReadingThread(self._now)
        if probe.together is not None:
            self._shared[probe.together] = thread
        thread.users.add(user)
        return thread

    def leave(self, thread: ReadingThread, user: object) -> None:
        """Let a thread end that nobody uses any more. It can be done again where it failed."""
        thread.users.discard(user)
        if not thread.users:
            self._shared = {together: other for together, other in self._shared.items() if other is not thread}
            thread.end()


def describe(error: BaseException) -> str:
    """Return what an error says, also if it fails to say it."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
