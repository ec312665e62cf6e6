"""How the value of a call is made from its record, its entries, its edge readings and its samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from umlaut_async.probes import UnreadableError
from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.summary import Summary, merge, summarise

if TYPE_CHECKING:
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
    moved = IOCounters(*(later - earlier for earlier, later in zip(entered, left, strict=True)))
    value = (moved.read + moved.written) / MIB * 1e9 / elapsed
    return value, described(samples or Summary(1, value, value, value, value, value)) | moved._asdict()


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
    readings = readings_of(entered, left, samples)
    # One reading for both edges would be a difference of 0 that nobody has measured.
    if entered is None or left is None or readings is None or elapsed <= 0:
        return None
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
    "peak": _peak,
    "mean": _mean,
    "difference": _difference,
}
"""The reductions by name."""
