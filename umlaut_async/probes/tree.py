"""Counters of a process and all its descendants: CPU time, memory and I/O."""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from umlaut_async import originals
from umlaut_async.probes import helpers, own
from umlaut_async.probes.probe import FIRST_DEADLINE, Place, Probe, UnreadableError
from umlaut_async.probes.process import MIB, NO_IO, IOCounters, mib_per_second
from umlaut_async.probes.tree_ledger import Entry, Ledger
from umlaut_async.probes.tree_memory import TreeMemory
from umlaut_async.probes.tree_sight import sight_of
from umlaut_async.probes.tree_sources import source_for
from umlaut_async.probes.tree_time import TreeTime, others_stood_still, read_clocks
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from umlaut_async.probes.tree_walk import Reading

T = TypeVar("T")

SOURCE = "process-tree"

_STEP_OF_OWN_CHILDREN = 2_000
_TICK = 4_000_000
"""Nanoseconds: some kernels bring the clock of another process, while it runs, up to date only at their ticks."""


class TreeIO(NamedTuple):
    """The I/O of a tree of processes, as one reading."""

    total: IOCounters
    root: IOCounters
    """The part of the root, with what the kernel credits it with for children that it waited for."""
    reaped: int
    """What changes whenever the root waits for a child, see `own.children_faults`."""


def tree_cpu(pid: int | None = None, proc: str = "/proc") -> Probe:
    """Return the probe of the CPU time of a process and its descendants, in nanoseconds; its rate is % of one core.

    Counted are the living processes, those that were waited for, as the kernel credits their parents, and of those
    that were not waited for (SIGCHLD ignored, orphans) what was last seen. A process that begins, is orphaned and
    ends between two readings cannot be seen. The sum never decreases.

    Args:
        pid: The root; None is this process, in a forked child the child.
        proc: Where the process file system is mounted.
    """

    def reader(root: int) -> Callable[[], TreeTime]:
        source = source_for(proc)
        family, ledger, sight = Family(root, source), Ledger(), sight_of(root, proc)
        here = proc == "/proc"

        def exactly_reaped(pid: int) -> int | None:
            return _reaped_by_this_process() if here and pid == os.getpid() else None

        def read() -> TreeTime:
            reading = family.read(exactly_reaped)
            sight.note(reading.living)
            clocks, at = read_clocks(source, [member.key[0] for member in reading.living], here)
            entries, own_of_root = [], 0
            for (key, parent, exactly, status), clock in zip(reading.living, clocks, strict=True):
                own = status.own if clock is None else clock
                reaped, step = (status.reaped, source.step) if exactly is None else (exactly, _STEP_OF_OWN_CHILDREN)
                entries.append(Entry(key, parent, own, reaped, step, status.ended))
                if key[0] == root:
                    own_of_root = own
            return TreeTime(ledger.update(entries, reading.gone), own_of_root, at)

        return read

    return Probe(
        ("tree-cpu", pid, proc),
        _in_each_process(pid, reader),
        SOURCE,
        Place.THREAD,
        rate=_percent,
        first_deadline=FIRST_DEADLINE,
        stamp=attrgetter("at"),
        step=_TICK,
        beside=own.cpu_time().read if pid is None and proc == "/proc" else None,
        still=others_stood_still,
        together=("tree", pid, proc),
        outside=_outside("tree-cpu", pid),
    )


def tree_memory(pid: int | None = None, proc: str = "/proc") -> Probe:
    """Return the probe of the resident memory of a process and its descendants in MiB.

    Pages that several processes share are counted once, in proportion (PSS). That is dear, so between two such
    readings the growth of each process's RSS is added to its last PSS, and a process that was forked counts with its
    growth alone until the next. The sum is no less than the RSS of the largest process. Where a process may not be
    read so, its RSS counts; where the kernel has no PSS at all, the provenance is "estimated", since shared pages
    count as often as they are mapped.

    Args:
        pid: The root; None is this process, in a forked child the child.
        proc: Where the process file system is mounted.
    """

    def reader(root: int) -> Callable[[], float]:
        source = source_for(proc)
        memory = TreeMemory(Family(root, source), source, has_shares, sight_of(root, proc))
        return lambda: memory.total() / MIB

    has_shares = os.path.exists(f"{proc}/self/smaps_rollup")
    return Probe(
        ("tree-memory", pid, proc),
        _in_each_process(pid, reader),
        SOURCE,
        Place.THREAD,
        provenance="measured" if has_shares else "estimated",
        together=("tree", pid, proc),
        outside=_outside("tree-memory", pid),
    )


def tree_io(pid: int | None = None, proc: str = "/proc") -> Probe:
    """Return the probe of the I/O counters of a process and its descendants in bytes; its rate is MiB/s.

    What is counted is as for `tree_cpu`: Linux credits a parent with the I/O of the children that it waited for. Of a
    process that may not be read, or no longer, what was last seen stands.

    Args:
        pid: The root; None is this process, in a forked child the child.
        proc: Where the process file system is mounted.
    """

    def reader(root: int) -> Callable[[], TreeIO]:
        source = source_for(proc)
        family, sight = Family(root, source), sight_of(root, proc)

        def measure(pid: int) -> IOCounters | None:
            if pid != os.getpid() or proc != "/proc":
                return source.io(pid)
            return own.users_io()

        ledgers = [Ledger() for _ in IOCounters._fields]

        def read() -> TreeIO:
            reading = family.read(measure)
            sight.note(reading.living)
            if not any(member.value is not None for member in reading.living):
                raise PermissionError(f"the I/O counters of the process {root} cannot be read")
            total = IOCounters(
                *(ledger.update(_io_entries(reading, i), reading.gone) for i, ledger in enumerate(ledgers))
            )
            at_root = next(member for member in reading.living if member.key[0] == root)
            return TreeIO(total, at_root.value or NO_IO, at_root.status.children_faults)

        return read

    return Probe(
        ("tree-io", pid, proc),
        _in_each_process(pid, reader),
        SOURCE,
        Place.THREAD,
        rate=_mib_per_second,
        beside=own.io_and_children if pid is None and proc == "/proc" else None,
        together=("tree", pid, proc),
        outside=_outside("tree-io", pid),
    )


def _io_entries(reading: Reading[IOCounters], index: int) -> list[Entry]:
    # The kernel adds the I/O of reaped children to the parent's own counters.
    return [
        Entry(key, parent, 0, value[index], 0, status.ended)
        for key, parent, value, status in reading.living
        if value is not None
    ]


def _in_each_process(pid: int | None, make: Callable[[int], Callable[[], T]]) -> Callable[[], T]:
    """Return a read function that is made at first use, and for a root that is this process again in a forked child."""
    made: dict[int, tuple[Callable[[], T], threading.Lock]] = {}

    def read() -> T:
        root = os.getpid() if pid is None else pid
        if root not in made:
            made.clear()
            made[root] = make(root), originals.lock()
        read_tree, turn = made[root]
        # What was read before is part of a reading, so there can be but one at a time, and no one waits for one that
        # hangs.
        if not turn.acquire(blocking=False):
            raise UnreadableError("an earlier reading of the processes has not returned yet")
        try:
            return read_tree()
        finally:
            turn.release()

    return read


def _outside(name: str, pid: int | None) -> tuple[str] | None:
    return (name,) if pid is None else None


def _reaped_by_this_process() -> int:
    """Return the CPU time of the user's children that were waited for in nanoseconds, in steps of a microsecond."""
    import resource

    usage, helped = helpers.beside(lambda: resource.getrusage(resource.RUSAGE_CHILDREN))
    return max(0, round((usage.ru_utime + usage.ru_stime) * 1e9) - helped.cpu)


def _percent(earlier: int, later: int, elapsed: int) -> float | None:
    return 100 * (later - earlier) / elapsed if elapsed > 0 else None


def _mib_per_second(earlier: TreeIO, later: TreeIO, elapsed: int) -> float | None:
    return mib_per_second(earlier.total, later.total, elapsed) if elapsed > 0 else None
