"""A command that runs as a child of this process, read from outside from its first moment to its last."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from umlaut_async.probes.probe import UnreadableError
from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.probes.tree import tree_cpu, tree_io, tree_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from resource import struct_rusage

    from umlaut_async.probes.probe import Probe

T = TypeVar("T")

_PATIENCE = 1.0
"""How many seconds a reading waits for the command to begin, or for another reading."""
_SLACK = 2 * MIB
"""By how much this program may grow between the last look at it and its end, when the command takes its place."""
_AHEAD = 20
"""The memory is read at least each time the command has become older by one part in so many."""
_SOONEST = 5_000_000
_SURE = 10_000_000
_LATE_ENOUGH = 0.8
"""The highest memory of a small command is that of its readings, if the last is not too long before its end: so many
nanoseconds after its beginning, in which a program is loaded, and after this part of its life."""
_BEYOND_DOUBT = 1.01, 10_000_000
"""By how much the processes of the tree must have used more CPU time than the command was credited with, to count."""
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Spent(NamedTuple):
    """CPU time in nanoseconds."""

    total: int = 0
    """Of all processes: also of those for which nobody waited, as far as they were seen."""
    user: int = 0
    system: int = 0


class WatchedCommand:
    """The readings of a command and of all that it starts.

    Between `__init__` and `begin` the process exists, but is not yet the command: what it has used until then is no
    part of the readings.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = threading.Event()
        self._began_at = 0
        self._cpu: Probe = tree_cpu(pid)
        self._io: Probe = tree_io(pid)
        self._memory: Probe = tree_memory(pid)
        self._cpu_source = _Source(self._cpu.read, self._began)
        self._io_source = _Source(self._io.read, self._began)
        self._memory_source = _Source(self._read_memory, self._began)
        self._cpu_before, self._held = 0, 0
        self._io_before: IOCounters | None = None
        self._peak: float | None = 0.0
        self._looked_at = 0
        """When the memory was last read."""
        self.spent = Spent()
        """What CPU time it has used, once it has ended."""
        self.moved: IOCounters | None = None
        """What it has read and written, once it has ended."""

    def prepare(self) -> None:
        """Read what the process has used, just before it becomes the command."""
        self._cpu_before = _or(0, lambda: int(self._cpu.read()))
        self._io_before = _or(None, lambda: self._io.read().total)
        self._held = _or(0, lambda: _highest(self._pid))

    def begin(self) -> None:
        """Let readings be taken: the process is the command now."""
        self._began_at = time.perf_counter_ns()
        self._began.set()

    def end(self) -> int:
        """Take the last readings of a command that has ended, and wait for it; return its status as of `waitpid`."""
        ended = time.perf_counter_ns()
        self._began.set()
        seen, counters = self._cpu_source.settle(), self._io_source.settle()
        self._memory_source.settle()
        _, status, usage = os.wait4(self._pid, 0)
        self.spent = self._spent(usage, 0 if seen is None else int(seen))
        if counters is not None and self._io_before is not None:
            self.moved = IOCounters(
                *(max(0, last - first) for first, last in zip(self._io_before, counters.total, strict=True))
            )
        highest = usage.ru_maxrss * _MAXRSS_UNIT
        # The kernel carries the highest memory of the process on, from before it became the command.
        if highest > self._held + _SLACK:
            self._peak = max(self._peak or 0, highest / MIB)
        elif self._looked_at - self._began_at < max(_SURE, _LATE_ENOUGH * (ended - self._began_at)):
            self._peak = None
        return status

    def cpu(self) -> Probe:
        """Return the probe of the CPU time of all its processes, in nanoseconds."""
        return self._cpu._replace(
            key=("command-cpu", self._pid),
            read=self._cpu_source.read,
            beside=lambda: self.spent,
            still=_always,
            together=None,
            outside=None,
        )

    def io(self) -> Probe:
        """Return the probe of the bytes that all its processes read and write."""
        return self._io._replace(
            key=("command-io", self._pid),
            read=self._io_source.read,
            beside=lambda: self.moved,
            still=_always,
            together=None,
            outside=None,
        )

    def memory(self) -> Probe:
        """Return the probe of the memory of all its processes in MiB; beside it, the highest that is known."""
        return self._memory._replace(
            key=("command-memory", self._pid),
            read=self._memory_source.read,
            beside=lambda: self._peak,
            keep_awake=self._until_next,
            still=_always,
            together=None,
            outside=None,
        )

    def _read_memory(self) -> float:
        total = float(self._memory.read())
        self._looked_at = time.perf_counter_ns()
        self._peak = max(self._peak or 0, total, _or(0, lambda: _highest(self._pid)) / MIB)
        return total

    def _until_next(self) -> int:
        # Often at first, since a command may be over soon; then ever more seldom, until the interval is shorter.
        if not self._began_at:
            return _SOONEST
        return max(_SOONEST, (time.perf_counter_ns() - self._began_at) // _AHEAD)

    def _spent(self, usage: struct_rusage, seen: int) -> Spent:
        user, system = round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9)
        credited = user + system
        share, more = _BEYOND_DOUBT
        total = max(0, (seen if seen > credited * share + more else credited) - self._cpu_before)
        # How it divides is known of what was credited.
        user = round(total * user / max(1, credited))
        return Spent(total, user, total - user)


class _Source(Generic[T]):
    """Reads one thing in any thread; once it is settled, the last reading stands.

    Args:
        read: Takes a reading.
        began: Set when there is something to read.
    """

    def __init__(self, read: Callable[[], T], began: threading.Event) -> None:
        self._read = read
        self._began = began
        self._turn = threading.Lock()
        self._settled = False
        self._last: T | None = None

    def read(self) -> T:
        """Return a reading, or the last one.

        Raises:
            UnreadableError: There is none.
        """
        if not self._began.wait(_PATIENCE):
            raise UnreadableError("the command has not begun")
        with self._turn:
            if not self._settled:
                try:
                    self._last = self._read()
                except OSError:
                    pass  # It ends just now: what was seen last stands.
            if self._last is None:
                raise UnreadableError("the command was over before it could be read")
            return self._last

    def settle(self) -> T | None:
        """Take the last reading, if it can be taken, and return it or the one before."""
        if self._turn.acquire(timeout=_PATIENCE):
            try:
                if not self._settled:
                    self._last = self._read()
            except OSError:
                pass
            finally:
                self._settled = True
                self._turn.release()
        return self._last


def _always(*_: object) -> bool:
    """Tell that it does not matter when something was read: what counts is what is read beside it."""
    return True


def _highest(pid: int) -> int:
    """Return the highest resident memory of the program that a process runs, in bytes."""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _or(otherwise: T, read: Callable[[], T]) -> T:
    try:
        return read()
    except (OSError, ValueError):
        return otherwise
