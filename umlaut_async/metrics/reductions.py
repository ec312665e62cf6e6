"""How the value of a call is made from its window: its duration, entries, edge readings and samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.records import Reading
from umlaut_async.summary import Summary, merge, summarise


class Window(NamedTuple):
    """What is known of one call and one metric."""

    duration: int
    """Nanoseconds."""
    entries: float | None = None
    entered: Reading = None
    """The reading at the first edge; None if it could not be taken."""
    left: Reading = None
    samples: Summary | None = None
    """The samples between the edges."""


Outcome: TypeAlias = tuple[float, dict[str, Any] | None]
"""A call's value in the unit of its metric, and what is kept beside it."""


def _time(window: Window) -> Outcome:
    return window.duration / 1e9, None


def _latency(window: Window) -> Outcome | None:
    return (window.duration / 1e9 / window.entries, None) if window.entries else None


def _throughput(window: Window) -> Outcome | None:
    if window.entries is None or not window.duration:
        return None
    return window.entries * 1e9 / window.duration, None


def _cpu(window: Window) -> Outcome | None:
    if window.entered is None or window.left is None or not window.duration:
        return None
    value = 100 * (window.left - window.entered) / window.duration
    return value, _described(window.samples or summarise([value]))


def _io(window: Window) -> Outcome | None:
    if window.entered is None or window.left is None or not window.duration:
        return None
    moved = IOCounters(*(later - earlier for earlier, later in zip(window.entered, window.left, strict=True)))
    value = (moved.read + moved.written) / MIB * 1e9 / window.duration
    return value, _described(window.samples or summarise([value])) | moved._asdict()


def _gauge(window: Window) -> Summary | None:
    edges = [summarise([reading]) for reading in (window.entered, window.left) if reading is not None]
    if window.entered is None:
        return merge(window.samples, edges[0] if edges else None)
    return merge(merge(edges[0], window.samples), edges[1] if len(edges) > 1 else None)


def _peak(window: Window) -> Outcome | None:
    readings = _gauge(window)
    return None if readings is None else (readings.max, _described(readings))


def _mean(window: Window) -> Outcome | None:
    readings = _gauge(window)
    return None if readings is None else (readings.mean, _described(readings))


def _difference(window: Window) -> Outcome | None:
    if window.entered is None or window.left is None:
        return None
    readings = _gauge(window)
    return window.left - window.entered, None if readings is None else _described(readings)


def _described(readings: Summary | None) -> dict[str, Any]:
    if readings is None:
        return {}
    return {
        "n": readings.n,
        "min": readings.min,
        "mean": readings.mean,
        "max": readings.max,
        "first": readings.first,
        "last": readings.last,
    }


NEEDS_ENTRIES = frozenset({"latency", "throughput"})

REDUCTIONS: dict[str, Callable[[Window], Outcome | None]] = {
    "time": _time,
    "latency": _latency,
    "throughput": _throughput,
    "cpu": _cpu,
    "io": _io,
    "peak": _peak,
    "mean": _mean,
    "difference": _difference,
}
"""The reductions by name; each returns None where the window has not what it needs."""
