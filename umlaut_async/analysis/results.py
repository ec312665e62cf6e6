"""Databases and runs as Python sees them: questions to a database that only read it, answered by tables."""

from __future__ import annotations

import weakref
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.analysis import card, windows
from umlaut_async.analysis.comparing import compare
from umlaut_async.analysis.comparison import MARGIN
from umlaut_async.analysis.databases import copied, is_old, remove
from umlaut_async.analysis.filters import RunFilter
from umlaut_async.analysis.selectors import select, select_one
from umlaut_async.analysis.tables import Column, Kind, Table
from umlaut_async.errors import ArgumentError
from umlaut_async.store import queries, run_queries
from umlaut_async.store.reading import querying, reading

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from umlaut_async.analysis.comparing import Comparison
    from umlaut_async.analysis.windows import Window
    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.run_queries import CallRow, SeriesRow

__all__ = ["Results", "RunResults"]

_CALLS: dict[str, Kind] = {
    "id": "integer", "process": "integer", "parent": "integer", "stage": "text", "kind": "text", "task": "text",
    "started": "time", "duration": "duration", "producing": "duration", "status": "text", "error": "text",
}  # fmt: skip
_RESULTS: dict[str, Kind] = {
    "id": "integer", "process": "integer", "call": "integer", "method": "text", "type": "text", "description": "text",
    "unit": "text", "value": "number", "data": "data", "series": "integer", "provenance": "text", "recorded": "time",
}  # fmt: skip
_EVENTS: dict[str, Kind] = {
    "id": "integer", "process": "integer", "time": "time", "kind": "text", "message": "text", "data": "data",
}  # fmt: skip
_STAGES: dict[str, Kind] = {
    "stage": "text", "kind": "text", "calls": "integer", "statuses": "data", "duration": "duration", "started": "time",
    "entries_per_second": "number",
}  # fmt: skip
_STATISTICS = ("n", "mean", "min", "max")


class Results:
    """A database of results. Nothing stays open: each question sees what is committed when it is asked.

    Of a database that UMLAUT wrote, what it holds now is read: a copy in our form is made for as long as this lives.

    Args:
        db_file: The path of a database, or its URL.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why. Any later question may raise it as well.
    """

    def __init__(self, db_file: str | os.PathLike[str]) -> None:
        self.db_file = db_file
        self._read_file: str | os.PathLike[str] = db_file
        if is_old(db_file):
            self._read_file = copied(db_file)
            weakref.finalize(self, remove, self._read_file)
        with self._reading():
            pass

    def session(self) -> AbstractContextManager[Session]:
        """Open the database for queries of your own through SQLAlchemy: `with results.session() as session`."""
        return querying(self._read_file)

    def _reading(self) -> AbstractContextManager[Session]:
        """Open the database for what this package asks: where that fails, the database is looked at."""
        return reading(self._read_file)

    def runs(
        self,
        selector: str | None = None,
        *,
        tag: str | None = None,
        name: str | None = None,
        status: str | None = None,
        since: int | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[RunResults]:
        """Return runs, by default all of them, the newest first.

        Args:
            selector: Those that this means: `last`, `last~2`, the beginning of a uuid, a name, `tag:x`, `@baseline`, or
                several of these with commas.
            tag: Those with this tag.
            name: Those of this name; `*` stands for any letters.
            status: Those that ended so: running, ok, error or lost.
            since: Those that began then or later, in nanoseconds since the epoch.
            before: Those that began earlier.
            limit: The first so many of these.

        Raises:
            ArgumentError: The limit is negative.
            SelectorError: The selector means no run, or may mean several things.
        """
        if limit is not None and limit < 0:
            raise ArgumentError(f"limit must be at least 0, not {limit}")
        wanted = RunFilter(tag, name, status, since, before, limit)
        with self._reading() as session:
            found = queries.runs(session) if selector is None else select(session, selector)
        return [RunResults(self, info) for info in wanted.apply(found)]

    def run(self, selector: str = "last") -> RunResults:
        """Return one run, by default the newest.

        Raises:
            SelectorError: The selector means no run, or several.
        """
        with self._reading() as session:
            return RunResults(self, select_one(session, selector))

    def compare(self, base: str, new: str, *, margin: float = MARGIN, metrics: Sequence[str] = ()) -> Comparison:
        """Compare two groups of runs: what is higher, lower or the same, and where that takes more runs.

        Args:
            base: The runs that are the measure of the others, selected as by `runs`.
            new: The runs that are compared with them.
            margin: The share by which things may differ and be called the same.
            metrics: Only these types of metrics or rows, `*` standing for any letters; by default all of them.

        Raises:
            ArgumentError: The margin is no positive number, or there is no such metric.
            SelectorError: A selector means no run that ended well, may mean several things, or both mean the same run.
            MissingExtraError: scipy is not installed.
        """
        with self._reading() as session:
            return compare(session, base, new, margin=margin, metrics=metrics)

    def __repr__(self) -> str:
        return f"Results({self.db_file!r})"

    def _repr_html_(self) -> str:
        with self._reading() as session:
            return card.runs_html(queries.runs(session, details=False))


class RunResults:
    """One run. Its properties ask the database anew each time, since the run may go on.

    Args:
        results: The database.
        info: What the table of runs said of it.
    """

    def __init__(self, results: Results, info: RunInfo) -> None:
        self._results = results
        self.info = info

    @property
    def uuid(self) -> str:
        """The identity of the run."""
        return self.info.uuid

    @property
    def name(self) -> str:
        """Its name, by default that of the script."""
        return self.info.name

    @property
    def status(self) -> str:
        """How it ended, when it was asked for: running, ok, error or lost."""
        return self.info.status

    @property
    def tags(self) -> list[str]:
        """Its tags, when it was asked for."""
        return list(self.info.tags or ())

    @property
    def environment(self) -> Any:
        """What it ran on: machine, versions, git commit, limits."""
        return self.info.environment

    @property
    def stages(self) -> Table:
        """The stages in the order of their first calls; of each type of metric `n`, `mean`, `min` and `max`."""
        with self._results._reading() as session:
            found = queries.stages(session, self.uuid)
        types = sorted({type_ for stage in found for type_ in stage.metrics})
        kinds = _STAGES | {f"{type_}_{each}": _statistic_kind(each) for type_ in types for each in _STATISTICS}
        rows = [
            (
                stage.name, stage.kind, stage.calls, stage.statuses, stage.time, stage.first_started,
                stage.entries_per_second,
                *(getattr(stage.metrics.get(type_), each, None) for type_ in types for each in _STATISTICS),
            )
            for stage in found
        ]  # fmt: skip
        return Table.of_rows("stages", kinds, rows)

    @property
    def calls(self) -> Table:
        """The supervised calls in the order of their start; those that are running have no duration yet."""
        with self._results._reading() as session:
            return Table.of_rows("calls", _CALLS, run_queries.calls(session, self.uuid))

    @property
    def results(self) -> Table:
        """The values of metrics, of trackers and of `log`, in the order in which they were recorded."""
        with self._results._reading() as session:
            return Table.of_rows("results", _RESULTS, run_queries.results(session, self.uuid))

    @property
    def events(self) -> Table:
        """What one must know before trusting the numbers: drops, gaps, metrics that could not be read."""
        with self._results._reading() as session:
            return Table.of_rows("events", _EVENTS, run_queries.events(session, self.uuid))

    def samples(self, metric: str, stage: str | None = None, points: int | None = None) -> Table:
        """Return the samples of a metric: columns `series`, `time` and `value`, in the order of time in each series.

        Args:
            metric: The type of the metric, such as "cpu", or its description.
            stage: Only what was sampled while calls of this stage ran, in the series that they used; with `points` from
                the start of the first to the end of the last one.
            points: Instead of all samples, their `n`, `min`, `mean` and `max` in at most so many equal steps of time
                for each series. This reads none but the headers of packed samples, however many they are, and loses no
                peak: a block of samples counts in the step of its middle.

        Raises:
            ArgumentError: Nothing was sampled under this name, there is no such stage, or too few points are asked for.
        """
        with self._results._reading() as session:
            chosen = _chosen_series(session, self.uuid, metric, stage)
            if points is not None:
                return _overview(session, chosen, points)
            found = [
                (series.id, queries.samples(session, series.id, *_bounds(within)), within) for series, within in chosen
            ]
        numbers, times, values = array("q"), array("q"), array("d")
        for number, samples, within in found:
            moments, readings = samples if within is None else windows.cut(samples, within)
            numbers += array("q", [number]) * len(moments)
            times += moments
            values += readings
        columns = Column("series", "integer", numbers), Column("time", "time", times), Column("value", "number", values)
        return Table("samples", columns)

    def __repr__(self) -> str:
        return f"<run {self.uuid[:8]} of {self.name!r}: {self.info.status}>"

    def _repr_html_(self) -> str:
        with self._results._reading() as session:
            return card.run_html(session, self.info)


class _Chosen(NamedTuple):
    series: SeriesRow
    within: list[Window] | None
    """When it counts; None for always."""


def _statistic_kind(statistic: str) -> Kind:
    return "integer" if statistic == "n" else "number"


def _chosen_series(session: Session, run_uuid: str, metric: str, stage: str | None) -> list[_Chosen]:
    known = run_queries.series(session, run_uuid)
    values = run_queries.results(session, run_uuid, data=False) if stage is not None or _none_is(known, metric) else []
    described = {value.series_id for value in values if value.description == metric and value.series_id is not None}
    of_metric = [series for series in known if metric in (series.type, series.description) or series.id in described]
    if not of_metric:
        types = ", ".join(dict.fromkeys(series.type for series in known)) or "nothing"
        raise ArgumentError(f"the run has no samples of {metric!r}; sampled were: {types}")
    if stage is None:
        return [_Chosen(series, None) for series in of_metric]
    calls = {call.id: call for call in run_queries.calls(session, run_uuid, stage)}
    if not calls:
        stages = ", ".join(found.name for found in queries.stages(session, run_uuid)) or "none"
        raise ArgumentError(f"the run has no stage {stage!r}; its stages are: {stages}")
    last_seen = {process.id: process.last_seen for process in run_queries.processes(session, run_uuid)}
    by_series: dict[int, list[Window]] = {}
    for value in values:
        if value.series_id is not None and value.span in calls:
            by_series.setdefault(value.series_id, []).append(_window(calls[value.span], last_seen))
    return [_Chosen(series, windows.merged(by_series[series.id])) for series in of_metric if series.id in by_series]


def _window(call: CallRow, last_seen: Mapping[int, int]) -> Window:
    if call.duration is not None:
        return call.started, call.started + call.duration
    return call.started, max(call.started, last_seen.get(call.process_id, call.started))


def _none_is(known: Iterable[SeriesRow], metric: str) -> bool:
    return all(series.type != metric for series in known)


def _bounds(within: Sequence[Window] | None) -> tuple[int | None, int | None]:
    return (within[0][0], within[-1][1]) if within else (None, None)


def _overview(session: Session, chosen: Iterable[_Chosen], points: int) -> Table:
    kinds: dict[str, Kind] = {
        "series": "integer", "time": "time", "n": "integer", "min": "number", "mean": "number", "max": "number",
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for series, within in chosen:
        buckets = queries.series_overview(session, series.id, points, *_bounds(within))
        rows += ((series.id, *bucket) for bucket in buckets)
    return Table.of_rows("samples", kinds, rows)
