"""Resident memory of this process, and what its counters of CPU time and I/O come to."""

from __future__ import annotations

import os
import resource
import sys
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.probes.probe import Probe, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
# macOS counts bytes, all others kibibytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class IOCounters(NamedTuple):
    """Bytes since the process began."""

    read: int
    """Fetched from storage."""
    to_write: int
    """On their way to storage."""
    rchar: int
    """Passed to `read` and its kin, from the page cache too."""
    wchar: int
    """Passed to `write` and its kin."""
    cancelled: int = 0
    """Taken back on their way to storage, since the file was deleted or truncated. It may grow later than `to_write`,
    so that only the two of them never fall."""

    @property
    def written(self) -> int:
        """Bytes sent to storage, or still on their way."""
        return self.to_write - self.cancelled


NO_IO = IOCounters(0, 0, 0, 0, 0)


def io_from(text: bytes) -> IOCounters:
    """Return the counters that an `io` of the process file system holds.

    Raises:
        IndexError: It is cut off.
        ValueError: It holds something else.
    """
    # rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled_write_bytes, each as "name: number".
    fields = text.split()
    return IOCounters(int(fields[9]), int(fields[11]), int(fields[1]), int(fields[3]), int(fields[13]))


def percent(earlier: int, later: int, elapsed: int) -> float:
    """Return the share of one core, in percent, that CPU times in nanoseconds come to."""
    return 100 * (later - earlier) / elapsed


def resident_memory(proc: str = "/proc") -> Probe:
    """Return the probe of this process's resident memory (RSS) in MiB.

    The source is `statm` of the process, kept open; where there is none, psutil.

    Args:
        proc: Where the process file system is mounted.
    """
    path = f"{proc}/self/statm"
    if not os.path.exists(path):
        return Probe(("memory", proc), _psutil_memory, "psutil", peak=highest_memory)
    return Probe(("memory", proc), resident_of(path), "statm", outside=("memory",), peak=highest_memory)


def highest_memory() -> float:
    """Return the highest resident memory that this process has had so far, in MiB, as `getrusage` tells it.

    The kernel keeps it exactly, and nothing here resets it: the user's own code may read it.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT / MIB


@cache
def resident_of(path: str) -> Callable[[], float]:
    """Return what reads the resident memory of a process in MiB from its `statm`, kept open."""
    file = _KeptOpen(path)
    page = os.sysconf("SC_PAGE_SIZE") / MIB
    pread = os.pread

    def read() -> float:
        return int(pread(file.descriptor, 128, 0).split(None, 2)[1]) * page

    return read


def _psutil_memory() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss / MIB)


@cache
def io_of(path: str) -> Callable[[], IOCounters]:
    """Return what reads the counters of a process from its `io`, kept open."""
    file = _KeptOpen(path)
    pread = os.pread

    def read() -> IOCounters:
        return io_from(pread(file.descriptor, 512, 0))

    return read


def psutil_io(pid: int | None = None) -> IOCounters:
    """Return the I/O counters of a process, by default this one, as psutil has them.

    Raises:
        UnavailableError: The system has none.
    """
    import psutil

    if not hasattr(psutil.Process, "io_counters"):
        reason = "this system, as macOS, counts no I/O of processes"
        raise UnavailableError(reason, "run it on Linux, Windows or a BSD to have it")
    counters = psutil.Process(pid).io_counters()
    characters = getattr(counters, "read_chars", 0), getattr(counters, "write_chars", 0)
    return IOCounters(counters.read_bytes, counters.write_bytes, *characters)


def mib_per_second(earlier: IOCounters, later: IOCounters, elapsed: int) -> float:
    """Return the rate in MiB/s at which bytes were read and written between two readings."""
    moved = later.read - earlier.read + later.written - earlier.written
    return moved / MIB * 1e9 / elapsed


class _KeptOpen:
    """A file that is opened at first use and again in a forked child, where "self" is another process."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.register_at_fork(after_in_child=self._forget)

    def __getattr__(self, name: str) -> int:
        if name != "descriptor":
            raise AttributeError(name)
        self.descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self.descriptor

    def _forget(self) -> None:
        descriptor = self.__dict__.pop("descriptor", None)
        if descriptor is not None:  # It may be 0.
            os.close(descriptor)
