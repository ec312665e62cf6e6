"""How the value of a call is made from its record, its entries, its edge readings and its samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from umlaut_async.probes import UnreadableError
from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.summary import Summary, merge, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.probes.tree import TreeIO
    from umlaut_async.probes.tree_time import TreeTime
    from umlaut_async.records import CallRecord, Reading

Outcome: TypeAlias = "tuple[float, dict[str, Any] | None]"
"""A call's value in the unit of its metric, and what is kept beside it."""


class Reduction(Protocol):
    """Makes the value of a call."""

    def __call__(
        self,
        call: CallRecord,
        entries: float | None,
        entered: Reading,
        left: Reading,
        samples: Summary | None,
        elapsed: int,
        /,
    ) -> Outcome | None:
        """Return the value, or None where what it needs is missing; a reading may also say why by an error of a probe.

        Args:
            call: The call that has ended.
            entries: What was tracked, or the items that were yielded.
            entered: The reading at the first edge; None if it could not be taken.
            left: The reading at the last edge; likewise.
            samples: The samples between the edges.
            elapsed: The nanoseconds between the two edge readings.
        """
        ...


def _time(call: CallRecord, *_: object) -> Outcome:
    return call.duration / 1e9, None


def _latency(call: CallRecord, entries: float | None, *_: object) -> Outcome | None:
    return (call.duration / 1e9 / entries, None) if entries else None


def _throughput(call: CallRecord, entries: float | None, *_: object) -> Outcome | None:
    return None if entries is None or not call.duration else (entries * 1e9 / call.duration, None)


def _cpu(
    call: CallRecord, entries: object, entered: int | None, left: int | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    if entered is None or left is None or elapsed <= 0:
        return None
    value = 100 * (left - entered) / elapsed
    return value, described(samples or Summary(1, value, value, value, value, value))


def _tree_cpu(
    call: CallRecord,
    entries: object,
    entered: tuple[int | None, TreeTime | None],
    left: tuple[int | None, TreeTime | None],
    samples: Summary | None,
    elapsed: int,
) -> Outcome | None:
    (entered_here, entered_tree), (left_here, left_tree) = entered, left
    if entered_here is None or left_here is None or entered_tree is None or left_tree is None or elapsed <= 0:
        return None
    others = (left_tree.others - entered_tree.others) / elapsed
    value = 100 * ((left_here - entered_here) / max(1, call.duration) + others)
    return value, described(samples or Summary(1, value, value, value, value, value))


def _io(
    call: CallRecord,
    entries: object,
    entered: IOCounters | None,
    left: IOCounters | None,
    samples: Summary | None,
    elapsed: int,
) -> Outcome | None:
    if entered is None or left is None or elapsed <= 0:
        return None
    return io_of(call, IOCounters(*(later - earlier for earlier, later in zip(entered, left, strict=True))), samples)


def _tree_io(
    call: CallRecord,
    entries: object,
    entered: tuple[Sequence[int] | None, TreeIO | None],
    left: tuple[Sequence[int] | None, TreeIO | None],
    samples: Summary | None,
    elapsed: int,
) -> Outcome | None:
    (entered_here, entered_tree), (left_here, left_tree) = entered, left
    if entered_tree is None or left_tree is None or elapsed <= 0:
        return None
    total = IOCounters(*(later - earlier for earlier, later in zip(entered_tree.total, left_tree.total, strict=True)))
    # The tree is read a little after the edges. What the root has moved meanwhile is known from the edges themselves.
    before, behind = _since(entered_here, entered_tree), _since(left_here, left_tree)
    moved = total.read, total.written
    read, written = (max(0, moved[i] + before[i] - behind[i]) for i in range(2))
    return io_of(call, total._replace(read=read, to_write=written, cancelled=0), samples)


def _since(here: Sequence[int] | None, tree: TreeIO) -> tuple[int, int]:
    """Return the bytes that the root has read and written between a reading of its own and one of the tree."""
    if here is None or here[2] != tree.reaped:
        # It has waited for a child meanwhile, whose bytes of a lifetime have become its own.
        return 0, 0
    return tree.root.read - here[0], tree.root.written - here[1]


def io_of(call: CallRecord, moved: IOCounters, samples: Summary | None) -> Outcome | None:
    """Return what bytes that were moved during a call come to."""
    if not call.duration:
        return None
    # More may have been taken back than was written: of a file that is deleted before it was sent to storage.
    value = max(0, moved.read + moved.written) / MIB * 1e9 / call.duration
    return value, described(samples or Summary(1, value, value, value, value, value)) | {
        "read": moved.read,
        "written": moved.written,
        "rchar": moved.rchar,
        "wchar": moved.wchar,
    }


def _peak(
    call: CallRecord, entries: object, entered: float | None, left: float | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    readings = readings_of(entered, left, samples)
    return None if readings is None else (readings.max, described(readings))


def _mean(
    call: CallRecord, entries: object, entered: float | None, left: float | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    readings = readings_of(entered, left, samples)
    return None if readings is None else (readings.mean, described(readings))


def _difference(
    call: CallRecord, entries: object, entered: float | None, left: float | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    # One reading for both edges would be a difference of 0 that nobody has measured.
    if entered is None or left is None or elapsed <= 0:
        return None
    # The readings at the edges are among the samples, where there are any.
    readings = samples or readings_of(entered, left, None)
    assert readings is not None
    return _finite(left - entered), described(readings)


def _finite(value: float) -> float:
    """Return a difference as a finite float; that of large counters may be neither."""
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UnreadableError("the difference of its readings is too large for a floating-point number")
    return value


def readings_of(entered: float | None, left: float | None, samples: Summary | None) -> Summary | None:
    """Summarise the readings at the edges and those between them."""
    # As floats, since the integers of a counter may be longer than what is written can hold.
    first = None if entered is None else summarise((float(entered),))
    last = None if left is None else summarise((float(left),))
    return merge(merge(first, samples), last)


def described(readings: Summary) -> dict[str, Any]:
    """Return what every sampled metric keeps beside its value."""
    return {
        "n": readings.n,
        "min": readings.min,
        "mean": readings.mean,
        "max": readings.max,
        "first": readings.first,
        "last": readings.last,
    }


NEEDS_ENTRIES = frozenset({"latency", "throughput"})

REDUCTIONS: dict[str, Reduction] = {
    "time": _time,
    "latency": _latency,
    "throughput": _throughput,
    "cpu": _cpu,
    "tree cpu": _tree_cpu,
    "io": _io,
    "tree io": _tree_io,
    "peak": _peak,
    "mean": _mean,
    "difference": _difference,
}
"""The reductions by name."""
