"""How the value of a call is made from its duration, its entries, its edge readings and its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.summary import Summary, merge, summarise

if TYPE_CHECKING:
    from umlaut_async.records import Reading

Outcome: TypeAlias = "tuple[float, dict[str, Any] | None]"
"""A call's value in the unit of its metric, and what is kept beside it."""


class Reduction(Protocol):
    """Makes the value of a call."""

    def __call__(
        self, duration: int, entries: float | None, entered: Reading, left: Reading, samples: Summary | None, /
    ) -> Outcome | None:
        """Return the value, or None where what it needs is missing.

        Args:
            duration: Nanoseconds.
            entries: What was tracked, or the items that were yielded.
            entered: The reading at the first edge; None if it could not be taken.
            left: The reading at the last edge; likewise.
            samples: The samples between the edges.
        """
        ...


def _time(duration: int, entries: object, entered: object, left: object, samples: object) -> Outcome:
    return duration / 1e9, None


def _latency(duration: int, entries: float | None, entered: object, left: object, samples: object) -> Outcome | None:
    return (duration / 1e9 / entries, None) if entries else None


def _throughput(duration: int, entries: float | None, entered: object, left: object, samples: object) -> Outcome | None:
    return None if entries is None or not duration else (entries * 1e9 / duration, None)


def _cpu(
    duration: int, entries: object, entered: int | None, left: int | None, samples: Summary | None
) -> Outcome | None:
    if entered is None or left is None or not duration:
        return None
    value = 100 * (left - entered) / duration
    return value, _described(samples or Summary(1, value, value, value, value, value))


def _io(
    duration: int, entries: object, entered: IOCounters | None, left: IOCounters | None, samples: Summary | None
) -> Outcome | None:
    if entered is None or left is None or not duration:
        return None
    moved = IOCounters(*(later - earlier for earlier, later in zip(entered, left, strict=True)))
    value = (moved.read + moved.written) / MIB * 1e9 / duration
    return value, _described(samples or Summary(1, value, value, value, value, value)) | moved._asdict()


def _peak(
    duration: int, entries: object, entered: float | None, left: float | None, samples: Summary | None
) -> Outcome | None:
    readings = _readings(entered, left, samples)
    return None if readings is None else (readings.max, _described(readings))


def _mean(
    duration: int, entries: object, entered: float | None, left: float | None, samples: Summary | None
) -> Outcome | None:
    readings = _readings(entered, left, samples)
    return None if readings is None else (readings.mean, _described(readings))


def _difference(
    duration: int, entries: object, entered: float | None, left: float | None, samples: Summary | None
) -> Outcome | None:
    readings = _readings(entered, left, samples)
    if entered is None or left is None or readings is None:
        return None
    return left - entered, _described(readings)


def _readings(entered: float | None, left: float | None, samples: Summary | None) -> Summary | None:
    """Summarise the readings at the edges and those between them."""
    first = None if entered is None else summarise((entered,))
    last = None if left is None else summarise((left,))
    return merge(merge(first, samples), last)


def _described(readings: Summary) -> dict[str, Any]:
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
    "io": _io,
    "peak": _peak,
    "mean": _mean,
    "difference": _difference,
}
"""The reductions by name."""
