"""A figure of a run, before it is drawn: the stages, and below them the series by type, all on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.figures.bands import Column, connected, merged, reduce
from umlaut_async.analysis.figures.lanes import Call, Row, rows
from umlaut_async.errors import ArgumentError
from umlaut_async.store import run_queries, series_queries
from umlaut_async.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.run_queries import CallRow, ProcessRow, SeriesRow
    from umlaut_async.store.series_queries import Part

__all__ = ["Chart", "Curve", "Figure", "build"]

COLUMNS = 1000
MOST_CURVES = 8
# What a figure unpacks at most: a quarter of a second's work. Beyond it the headers of the blocks have to do.
_UNPACKED_BLOCKS = 256
_MOST_OF_ONE = 64
# Ticks may be missed; where more are missing, nothing was sampled.
_GAP = 3.5
_SECOND = 1_000_000_000
# What databases can compare times with.
_LATEST = 2**63 - 1


class Curve(NamedTuple):
    """One series, or several as one, within the window of a figure."""

    label: str
    parts: list[list[Column]]
    """Between two parts nothing was sampled."""
    samples: int
    low: float
    mean: float
    peak: float
    peak_at: int
    """When the peak was, in nanoseconds since the epoch."""
    provenance: str
    unpacked: bool
    """Whether each sample was seen, not only what their blocks say of them."""


class Chart(NamedTuple):
    """All series of one type."""

    type: str
    unit: str
    curves: list[Curve]

    @property
    def low(self) -> float:
        """The lowest value."""
        return min(curve.low for curve in self.curves)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(curve.peak for curve in self.curves)


class Figure(NamedTuple):
    """What is drawn; times are nanoseconds since the epoch."""

    run: RunInfo
    start: int
    end: int
    rows: list[Row]
    charts: list[Chart]

    def seconds(self, time: int) -> float:
        """Return a time in seconds since the start of the run."""
        return (time - self.run.started) / _SECOND

    def at(self, time: float) -> float:
        """Return where on the axis a time is, from 0 to 1."""
        return min(1.0, max(0.0, (time - self.start) / (self.end - self.start)))


def build(
    session: Session,
    run: RunInfo,
    metrics: Sequence[str] | None = None,
    since: float | None = None,
    until: float | None = None,
    columns: int = COLUMNS,
) -> Figure:
    """Read what a figure of a run shows.

    Args:
        session: Where to ask.
        run: The run.
        metrics: The types of the series, in the order in which they are to be drawn; all by default.
        since: Where the figure begins, in seconds since the start of the run.
        until: Where it ends.
        columns: How finely it is to be drawn.

    Raises:
        ArgumentError: There are no samples of such a type, or the window is empty.
    """
    processes = {process.id: process for process in run_queries.processes(session, run.uuid)}
    calls = _calls(run_queries.calls(session, run.uuid), run, processes)
    start, end = _window(session, run, calls, processes, since, until)
    known = run_queries.series(session, run.uuid)
    chosen = _chosen(known, metrics)
    labels = _labels(known, processes)
    most_blocks = min(_MOST_OF_ONE, _UNPACKED_BLOCKS // max(1, len(chosen)))
    charts: dict[tuple[str, str], list[tuple[Curve, int]]] = {}
    for series in chosen:
        part = series_queries.part(session, series.id, start, end, most_blocks)
        if part.headers or part.samples.times:
            curve = _curve(session, series, part, labels[series.id], start, end, columns)
            charts.setdefault((series.type, series.unit), []).append((curve, series.interval))
    drawn = [Chart(type_, unit, _few(curves)) for (type_, unit), curves in charts.items()]
    return Figure(run, start, end, rows(calls, start, end), drawn)


def _calls(found: Sequence[CallRow], run: RunInfo, processes: dict[int, ProcessRow]) -> list[Call]:
    calls = []
    for call in found:
        if call.duration is not None:
            end = call.started + call.duration
        else:
            process = processes.get(call.process_id)
            seen = (run.ended, process and process.ended, process and process.last_seen)
            end = max(call.started, *(time for time in seen if time is not None))
        calls.append(Call(call.id, call.parent, call.name, call.started, max(call.started, end), call.status))
    return calls


def _window(
    session: Session,
    run: RunInfo,
    calls: Sequence[Call],
    processes: dict[int, ProcessRow],
    since: float | None,
    until: float | None,
) -> tuple[int, int]:
    sampled = series_queries.extent(session, run.uuid)
    starts = [run.started, *(call.start for call in calls), *([sampled.first] if sampled else [])]
    ends = [call.end for call in calls] + ([sampled.last] if sampled else [])
    ends += [run.ended] if run.ended is not None else [process.last_seen for process in processes.values()]
    start = min(starts) if since is None else run.started + round(since * _SECOND)
    end = max(starts + ends) if until is None else run.started + round(until * _SECOND)
    if end < start or ((since is not None or until is not None) and end == start):
        shown = duration((max(starts + ends) - run.started) / _SECOND)
        raise ArgumentError(f"the window ends before it begins; the run has {shown} to show")
    start = min(max(start, -_LATEST), _LATEST - 1)
    return start, min(max(end, start + 1), _LATEST)


def _chosen(known: Sequence[SeriesRow], metrics: Sequence[str] | None) -> list[SeriesRow]:
    if metrics is None:
        return list(known)
    for metric in metrics:
        if all(series.type != metric for series in known):
            types = ", ".join(dict.fromkeys(series.type for series in known)) or "nothing"
            raise ArgumentError(f"the run has no samples of {metric!r}; sampled were: {types}")
    return [series for metric in dict.fromkeys(metrics) for series in known if series.type == metric]


def _labels(known: Sequence[SeriesRow], processes: dict[int, ProcessRow]) -> dict[int, str]:
    """Say of each series what tells it from the others of its type."""
    labels = {}
    for series in known:
        others = [other for other in known if (other.type, other.unit) == (series.type, series.unit)]
        label = []
        if len({other.process_id for other in others}) > 1:
            label.append(_process_label(processes.get(series.process_id)))
        same = [other for other in others if other.process_id == series.process_id]
        if len({other.source for other in same}) > 1:
            label.append(series.source)
        if len({other.interval for other in same}) > 1:
            label.append(f"every {duration(series.interval / _SECOND)}")
        alike = [other.id for other in same if (other.source, other.interval) == (series.source, series.interval)]
        if len(alike) > 1:
            label.append(f"no. {alike.index(series.id) + 1}")
        labels[series.id] = ", ".join(label) or series.source or series.type
    return labels


def _process_label(process: ProcessRow | None) -> str:
    if process is None:
        return "unknown process"
    return f"process {process.pid}" if process.rank is None else f"rank {process.rank}"


def _curve(session: Session, series: SeriesRow, part: Part, label: str, start: int, end: int, columns: int) -> Curve:
    headers, (times, values) = part
    found = reduce(headers, times, values, start, end, columns)
    total = found[0]
    for column in found[1:]:
        total = merged(total, column)
    if values and max(values) == total.high:
        peak_at = times[values.index(total.high)]
    else:
        peak_at = series_queries.peak_time(session, series.id, max(headers, key=lambda header: header.summary.max))
    samples = len(times) + sum(header.summary.n for header in headers)
    parts = connected(found, round(_GAP * series.interval))
    return Curve(
        label, parts, samples, total.low, total.mean, total.high, peak_at, series.provenance, unpacked=not headers
    )


def _few(found: Sequence[tuple[Curve, int]]) -> list[Curve]:
    """Return at most so many curves as can be told apart, the highest by themselves and the others as one band."""
    curves = [curve for curve, _ in found]
    if len(curves) <= MOST_CURVES:
        return curves
    highest = sorted(curves, key=lambda curve: curve.peak, reverse=True)
    own, others = highest[: MOST_CURVES - 1], highest[MOST_CURVES - 1 :]
    columns = sorted(column for curve in others for part in curve.parts for column in part)
    joined: list[Column] = []
    for column in columns:
        if joined and column.first <= joined[-1].last:
            joined[-1] = merged(joined[-1], column)
        else:
            joined.append(column)
    samples = sum(curve.samples for curve in others)
    rest = Curve(
        f"{len(others)} others",
        connected(joined, round(_GAP * max(interval for _, interval in found))),
        samples,
        min(curve.low for curve in others),
        sum(curve.mean * (curve.samples / samples) for curve in others),
        others[0].peak,
        others[0].peak_at,
        # The alphabet orders provenances as needed: one estimate makes an estimate.
        min(curve.provenance for curve in others),
        all(curve.unpacked for curve in others),
    )
    return [*own, rest]
