"""Series as curves: what they were within the window of a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis import rates
from umlaut_async.analysis.figures.bands import Column, connected, merged, reduce
from umlaut_async.store import series_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.run_queries import SeriesRow
    from umlaut_async.store.series_queries import Point

__all__ = ["MOST_CURVES", "Curve", "Window", "curve", "few"]

MOST_CURVES = 8
# Ticks may be missed; where more are missing, nothing was sampled.
_GAP = 3.5


class Window(NamedTuple):
    """What a figure shows, in nanoseconds since the epoch, and how finely."""

    start: int
    end: int
    columns: int


class Curve(NamedTuple):
    """One series, or several as one, within the window of a figure."""

    label: str
    parts: list[list[Column]]
    """Between two parts nothing was sampled."""
    samples: int
    """0 where the window lies between two samples; then they say what the series was there."""
    low: float
    mean: float
    peak: float
    peak_at: int
    """When the peak was, in nanoseconds since the epoch; of a rate, when it began."""
    provenance: str
    unpacked: bool
    """Whether each sample was seen, not only what their blocks say of them."""
    longest_gap: int
    """How many nanoseconds may be between two of its columns that are connected."""


def curve(session: Session, series: SeriesRow, label: str, window: Window, most_blocks: int) -> Curve | None:
    """Return a series within a window, or None if nothing is known of it there.

    Args:
        session: Where to ask.
        series: The series.
        label: What tells it from others.
        window: The window.
        most_blocks: As many blocks are unpacked; of more, the headers have to do.
    """
    start, end, columns = window
    headers, (times, values) = series_queries.part(session, series.id, start, end, most_blocks)
    reach = rates.reach(series)
    before = after = None
    if reach or not (headers or times):
        before, after = series_queries.neighbours(session, series.id, start, end)

    def begin(at: int) -> int:
        return max(start, rates.begin(times[at], times[at - 1] if at else before and before.t, reach))

    if reach and after is not None:
        # The first sample after the window may have begun to count within it.
        times.append(after.t)
        values.append(after.value)
        if begin(len(times) - 1) > end:
            del times[-1], values[-1]
    if not (headers or times):
        return _between(before, after, series, label, window)
    early = [header._replace(t0=rates.begin(header.t0, None, reach)) for header in headers]
    found = reduce(early, times, values, start, end, columns, begin)
    total = found[0]
    for column in found[1:]:
        total = merged(total, column)
    if values and max(values) == total.high:
        peak_at = begin(values.index(total.high))
    else:
        highest = max(headers, key=lambda header: header.summary.max)
        peak_at = max(start, rates.begin(series_queries.peak_time(session, series.id, highest), None, reach))
    samples = len(times) + sum(header.summary.n for header in headers)
    # The first sample of a rate after a gap counts for one interval of it.
    gap = round(_GAP * series.interval) - reach
    values_of = total.low, total.mean, total.high, peak_at
    return Curve(label, connected(found, gap), samples, *values_of, series.provenance, not headers, gap)


def _between(before: Point | None, after: Point | None, series: SeriesRow, label: str, window: Window) -> Curve | None:
    """Return the part of the line between two samples that is in a window."""
    if before is None or after is None or after.t - before.t > _GAP * series.interval:
        return None
    lowest, highest = sorted((before.value, after.value))
    ends = []
    for time in (window.start, window.end):
        share = (time - before.t) / (after.t - before.t)
        value = min(max(before.value * (1 - share) + after.value * share, lowest), highest)
        ends.append(Column(time, time, 1, value, value, value))
    low, high = sorted(ends, key=lambda column: column.high)
    mean = low.mean / 2 + high.mean / 2
    gap = window.end - window.start
    return Curve(label, [ends], 0, low.low, mean, high.high, high.first, series.provenance, True, gap)


def few(curves: list[Curve]) -> list[Curve]:
    """Return at most so many curves as can be told apart, the highest by themselves and the others as one band."""
    if len(curves) <= MOST_CURVES:
        return curves
    highest = sorted(curves, key=lambda curve: curve.peak, reverse=True)
    return [*highest[: MOST_CURVES - 1], _as_one(highest[MOST_CURVES - 1 :])]


def _as_one(curves: Sequence[Curve]) -> Curve:
    columns = sorted(column for curve in curves for part in curve.parts for column in part)
    joined: list[Column] = []
    for column in columns:
        if joined and column.first <= joined[-1].last:
            joined[-1] = merged(joined[-1], column)
        else:
            joined.append(column)
    samples = sum(curve.samples for curve in curves)
    gap = max(curve.longest_gap for curve in curves)
    return Curve(
        f"{len(curves)} others",
        connected(joined, gap),
        samples,
        min(curve.low for curve in curves),
        sum(curve.mean * ((curve.samples or 1) / (samples or len(curves))) for curve in curves),
        curves[0].peak,
        curves[0].peak_at,
        # The alphabet orders provenances as needed: one estimate makes an estimate.
        min(curve.provenance for curve in curves),
        all(curve.unpacked for curve in curves),
        gap,
    )
