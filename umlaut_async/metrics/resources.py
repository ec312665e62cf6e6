"""Metrics of what a call uses of the machine: CPU, memory and I/O of the process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from umlaut_async.errors import ArgumentTypeError
from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.reductions import described, readings_of
from umlaut_async.probes import Probe, cgroup, cpu_time, io_counters, resident_memory
from umlaut_async.probes.process import MIB
from umlaut_async.probes.tree import tree_cpu, tree_io, tree_memory

if TYPE_CHECKING:
    from umlaut_async.metrics.reductions import Outcome, Reduction
    from umlaut_async.summary import Summary


EXACT, HIGHEST_SAMPLE = "exact", "highest sample"
"""How the peak of a call's memory is known."""


class _Resource(Metric):
    def __init__(self, description: str, interval: float = 1, *, children: bool = False) -> None:
        if not isinstance(children, bool):
            raise ArgumentTypeError(f"children must be True or False, not {type(children).__name__}")
        self.children = children
        super().__init__(description, interval)


class CPUMetric(_Resource):
    """Measure the CPU use of the process during a call, in percent of one core.

    A call's value is the exact CPU time between its edges over its duration; samples hold the rate between ticks.
    The source is the CPU clock of the process; with its children also what the kernel accounts to each of them. That
    is read a little after the edges; where it is long for a call, the part of the children is estimated, or all absent.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        children: Whether the processes that it has started count as well, and those that these have started.
    """

    measure_type = "cpu"
    unit = "%"
    reduction = "cpu"

    def __init__(self, description: str, interval: float = 1, *, children: bool = False) -> None:
        super().__init__(description, interval, children=children)
        if children:
            self.reduction = "tree cpu"

    def probe(self) -> Probe:
        return tree_cpu() if self.children else cpu_time()


class MemoryMetric(_Resource):
    """Measure the resident memory of the process during a call, in MiB.

    A call's value is its exact peak where the memory of the process rose to its highest so far during the call, which
    the kernel keeps (`ru_maxrss`). Otherwise, and with children, it is the highest of its samples and of the readings
    at its edges: a peak between two samples is not seen. `peak` in the data says which: "exact" or "highest sample".
    Beside it is kept its share of what the process may use, in percent: of the memory of the machine, or of the limit
    of its control groups where that is less. The source is `/proc/self/statm`, or psutil where there is none. Memory
    that several processes share is counted once where the kernel tells it (PSS).

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        children: Whether the processes that it has started count as well, and those that these have started.
    """

    measure_type = "memory"
    unit = "MiB"
    reduction = "own memory"

    def __init__(self, description: str, interval: float = 1, *, children: bool = False) -> None:
        super().__init__(description, interval, children=children)
        if children:
            self.reduction = "memory"

    def probe(self) -> Probe:
        return tree_memory() if self.children else resident_memory()


class IOMetric(_Resource):
    """Measure what the process reads from and writes to storage during a call, in MiB/s.

    A call's value is the exact number of bytes between its edges over its duration; the bytes read and written, and
    those that passed through `read` and `write` calls (`rchar`, `wchar`), are kept beside it. Bytes that were written
    and deleted before they reached storage do not count (`cancelled_write_bytes`), and neither does what this package
    itself stores. The source is `/proc/self/io`, or psutil where there is none; it includes children that have ended
    and were waited for.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        children: Whether the processes that it has started count as well, and those that these have started.
    """

    measure_type = "io"
    unit = "MiB/s"
    reduction = "io"

    def __init__(self, description: str, interval: float = 1, *, children: bool = False) -> None:
        super().__init__(description, interval, children=children)
        if children:
            self.reduction = "tree io"

    def probe(self) -> Probe:
        return tree_io() if self.children else io_counters()


def _memory(
    call: object, entries: object, entered: float | None, left: float | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    readings = readings_of(entered, left, samples)
    return None if readings is None else memory_of(readings)


def _own_memory(
    call: object,
    entries: object,
    entered: tuple[float | None, float | None],
    left: tuple[float | None, float | None],
    samples: Summary | None,
    elapsed: int,
) -> Outcome | None:
    readings = readings_of(entered[0], left[0], samples)
    if readings is None:
        return None
    before, after = entered[1], left[1]
    if before is None or after is None or after <= before:
        return memory_of(readings)
    return memory_of(readings._replace(max=max(readings.max, after)), peak=EXACT)


def memory_of(readings: Summary, peak: str = HIGHEST_SAMPLE) -> Outcome:
    """Return what readings of memory in MiB come to, and how the highest of them is known."""
    share = 100 * readings.max * MIB / _usable_memory()
    return readings.max, described(readings) | {"share": share, "peak": peak}


@cache
def _usable_memory() -> int:
    """Return the bytes that this process may use, as it was at first: to look at each call would be too dear."""
    usable = cgroup.memory_limit()
    if usable is None:
        import psutil

        usable = int(psutil.virtual_memory().total)
    return usable


REDUCTIONS: dict[str, Reduction] = {"memory": _memory, "own memory": _own_memory}
"""The reductions of this family by name."""
