"""A figure of a run, before it is drawn: the stages, and below them the series by type, all on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.figures.curves import Curve, Window, curve, few
from umlaut_async.analysis.figures.lanes import Call, Row, rows
from umlaut_async.analysis.labels import labels
from umlaut_async.errors import ArgumentError
from umlaut_async.store import run_queries, series_queries, stage_queries
from umlaut_async.store.models import process_of
from umlaut_async.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.run_queries import ProcessRow, SeriesRow

__all__ = ["Chart", "Figure", "build"]

COLUMNS = 1000
# What a figure unpacks at most: a quarter of a second's work. Beyond it the headers of the blocks have to do.
_UNPACKED_BLOCKS = 256
_MOST_OF_ONE = 64
_SECOND = 1_000_000_000
# What databases can compare times with.
_LATEST = 2**63 - 1


class Chart(NamedTuple):
    """All series of one type."""

    type: str
    unit: str
    curves: list[Curve]
    """None where nothing was sampled in this time."""

    @property
    def low(self) -> float:
        """The lowest value."""
        return min((curve.low for curve in self.curves), default=0.0)

    @property
    def high(self) -> float:
        """The highest value."""
        return max((curve.peak for curve in self.curves), default=0.0)


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
    calls = _calls(session, run, processes)
    start, end = _window(session, run, calls, processes, since, until)
    known = run_queries.series(session, run.uuid)
    chosen = _chosen(known, metrics)
    told_apart = labels(known, processes)
    most_blocks = min(_MOST_OF_ONE, _UNPACKED_BLOCKS // max(1, len(chosen)))
    charts: dict[tuple[str, str], list[Curve]] = {}
    for series in chosen:
        label = told_apart[series.id] or series.source or series.type
        found = curve(session, series, label, Window(start, end, columns), most_blocks)
        # Whoever asks for a metric or a time is told where nothing was sampled.
        if found is not None or (metrics, since, until) != (None, None, None):
            charts.setdefault((series.type, series.unit), []).extend([found] if found else [])
    drawn = [Chart(type_, unit, few(curves)) for (type_, unit), curves in charts.items()]
    return Figure(run, start, end, rows(calls, start, end), drawn)


def _calls(session: Session, run: RunInfo, processes: dict[int, ProcessRow]) -> list[Call]:
    ends = {}
    for process in processes.values():
        seen = (run.ended, process.ended, process.last_seen)
        ends[process.id] = max(time for time in seen if time is not None)
    columns = dict(zip(stage_queries.CALL_COLUMNS, stage_queries.call_columns(session, run.uuid), strict=True))
    known = zip(*(columns[name] for name in ("id", "parent", "name", "started", "duration", "status")), strict=True)
    return [
        Call(id_, parent, name, start, max(start, ends[process_of(id_)] if took is None else start + took), status)
        for id_, parent, name, start, took, status in known
    ]


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
    ends = starts + [call.end for call in calls] + ([sampled.last] if sampled else [])
    ends += [run.ended] if run.ended is not None else [process.last_seen for process in processes.values()]
    first, last = min(starts), max(ends)
    start = first if since is None else run.started + round(since * _SECOND)
    end = last if until is None else run.started + round(until * _SECOND)
    if since is not None and until is not None and end <= start:
        raise ArgumentError("the window ends before it begins")
    if since is not None and start >= last:
        shown = duration((last - run.started) / _SECOND)
        raise ArgumentError(f"the run ends after {shown}" if run.ended is not None else f"the run has {shown} so far")
    if until is not None and end <= first:
        raise ArgumentError("the window ends before the run begins")
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
