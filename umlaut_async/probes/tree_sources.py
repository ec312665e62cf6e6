"""What can be read of a process by its pid: from the process file system, or where there is none through psutil."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from umlaut_async.probes.kcmp import share_memory
from umlaut_async.probes.process import IOCounters, io_from, psutil_io

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROCESS_CPU_CLOCK = 2
_FORKED_AND_NOT_EXECUTED = 0x40


class Status(NamedTuple):
    """One look at a process."""

    start: int
    """When it began; with the pid its identity."""
    parent: int
    threads: int
    own: int
    """Its CPU time in nanoseconds."""
    reaped: int
    """The CPU time in nanoseconds of the children that it waited for."""
    forked: bool = False
    """Whether it has not executed a program since it was forked."""
    ended: bool = False
    """Whether it has ended and waits to be waited for."""
    name: bytes = b""
    children_faults: int = 0
    """The page faults of the children that it waited for."""


class Share(NamedTuple):
    """The part of a process in the memory of all, in bytes."""

    proportional: int
    """Its resident memory with a part of each shared page (PSS)."""
    private: int
    """What nobody shares with it."""


class Source(Protocol):
    """Where the processes are read. What says None, or raises OSError, could not be read."""

    step: int
    """By how many nanoseconds `Status.reaped` may be too low."""

    def status(self, pid: int) -> Status | None:
        """Return the status; None if there is no such process (any more)."""
        ...

    def command(self, pid: int) -> bytes | None:
        """Return the command line; it is empty of a process that ends, or begins another program, just now."""
        ...

    def begin_listing(self, root: int) -> None:
        """Prepare for listing the children of a root and of its descendants."""
        ...

    def children(self, pid: int, threads: int) -> Sequence[int]:
        """Return the pids of the children of one process."""
        ...

    def cpu_clock(self, pid: int) -> int | None:
        """Return the CPU time in nanoseconds, more exactly than the status has it."""
        ...

    def resident(self, pid: int) -> int | None:
        """Return the resident memory (RSS) in bytes."""
        ...

    def share(self, pid: int) -> Share | None:
        """Return the part in shared pages, which takes the kernel long."""
        ...

    def share_memory(self, pid: int, other: int) -> bool | None:
        """Return whether two processes have one address space; None if that cannot be known."""
        ...

    def io(self, pid: int) -> IOCounters | None:
        """Return the I/O counters, those of the children that were waited for included."""
        ...


def source_for(proc: str) -> Source:
    """Return the best source of this machine.

    Args:
        proc: Where the process file system is mounted.
    """
    if not os.path.exists(f"{proc}/self/stat"):
        return PsutilSource()
    own = os.getpid()
    return ProcSource(proc) if os.path.exists(f"{proc}/{own}/task/{own}/children") else ListingByPsutil(proc)


class ProcSource:
    """The process file system of Linux, with the lists of children that most kernels offer.

    Args:
        proc: Where it is mounted.
    """

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick = 10**9 // os.sysconf("SC_CLK_TCK")
        self._is_of_this_system = proc == "/proc"
        self.step = 2 * self._tick  # User and system time are rounded down separately.

    def status(self, pid: int) -> Status | None:
        try:
            text = _contents(f"{self._proc}/{pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name of the program stands in brackets and may contain anything, brackets too.
        end_of_name = text.rfind(b")")
        fields = text[end_of_name + 2 :].split(None, 20)
        if len(fields) < 21 or fields[0] in b"Xx":
            return None  # Dead: its parent has been credited already.
        tick = self._tick
        return Status(
            start=int(fields[19]),
            parent=int(fields[1]),
            threads=int(fields[17]),
            own=(int(fields[11]) + int(fields[12])) * tick,
            reaped=(int(fields[13]) + int(fields[14])) * tick,
            forked=bool(int(fields[6]) & _FORKED_AND_NOT_EXECUTED),
            ended=fields[0] == b"Z",
            name=text[text.find(b"(") + 1 : end_of_name],
            children_faults=int(fields[8]),
        )

    def command(self, pid: int) -> bytes | None:
        return _contents(f"{self._proc}/{pid}/cmdline")

    def begin_listing(self, root: int) -> None:
        pass

    def children(self, pid: int, threads: int) -> Sequence[int]:
        tasks = f"{self._proc}/{pid}/task"
        if threads == 1:
            return [*_pids(f"{tasks}/{pid}/children")]
        found: list[int] = []
        for task in os.listdir(tasks):
            try:
                found += _pids(f"{tasks}/{task}/children")
            except OSError:
                continue  # The thread has ended; another one of the process has its children now.
        return found

    def cpu_clock(self, pid: int) -> int | None:
        return time.clock_gettime_ns(~pid << 3 | _PROCESS_CPU_CLOCK) if self._is_of_this_system else None

    def resident(self, pid: int) -> int | None:
        return int(_contents(f"{self._proc}/{pid}/statm").split(None, 2)[1]) * self._page

    def share(self, pid: int) -> Share | None:
        text = _contents(f"{self._proc}/{pid}/smaps_rollup")
        proportional, clean, dirty = (
            int(text[(at := text.index(name) + len(name)) : text.index(b"kB", at)]) * 1024
            for name in (b"\nPss:", b"\nPrivate_Clean:", b"\nPrivate_Dirty:")
        )
        return Share(proportional, clean + dirty)

    def share_memory(self, pid: int, other: int) -> bool | None:
        return share_memory(pid, other) if self._is_of_this_system else None

    def io(self, pid: int) -> IOCounters | None:
        return io_from(_contents(f"{self._proc}/{pid}/io"))


class ListingByPsutil(ProcSource):
    """The process file system of a kernel without lists of children: psutil goes through all processes."""

    def begin_listing(self, root: int) -> None:
        self._children = _children_by_parent(root)

    def children(self, pid: int, threads: int) -> Sequence[int]:
        return self._children.get(pid, ())


class PsutilSource:
    """All through psutil, where there is no process file system. The CPU time of dead children is what it offers."""

    step = 20_000_000

    def status(self, pid: int) -> Status | None:
        import psutil

        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                return Status(
                    start=int(process.create_time() * 1e9),
                    parent=process.ppid(),
                    threads=1,
                    own=int((times.user + times.system) * 1e9),
                    reaped=int((times.children_user + times.children_system) * 1e9),
                )
        except psutil.NoSuchProcess:
            return None
        except psutil.Error as error:
            raise PermissionError(str(error)) from error

    def command(self, pid: int) -> bytes | None:
        return None  # The helpers of other systems are known by their pids.

    def begin_listing(self, root: int) -> None:
        self._children = _children_by_parent(root)

    def children(self, pid: int, threads: int) -> Sequence[int]:
        return self._children.get(pid, ())

    def cpu_clock(self, pid: int) -> int | None:
        return None

    def resident(self, pid: int) -> int | None:
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return None

    def share(self, pid: int) -> Share | None:
        return None

    def share_memory(self, pid: int, other: int) -> bool | None:
        return False

    def io(self, pid: int) -> IOCounters | None:
        import psutil

        try:
            return psutil_io(pid)
        except psutil.Error:
            return None


def _children_by_parent(root: int) -> dict[int, list[int]]:
    import psutil

    children: dict[int, list[int]] = {}
    try:
        for process in psutil.Process(root).children(recursive=True):
            try:
                children.setdefault(process.ppid(), []).append(process.pid)
            except psutil.Error:
                continue
    except psutil.Error:
        pass
    return children


def _contents(path: str) -> bytes:
    """Return what a file of the process file system holds that the kernel makes in one piece."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536)
    finally:
        os.close(descriptor)


def _pids(path: str) -> Iterator[int]:
    """Yield the pids of a list of children; a long one comes in pieces, each of whole pids."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(descriptor, 65536):
            yield from map(int, piece.split())
    finally:
        os.close(descriptor)
