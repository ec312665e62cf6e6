"""What is exported: the rows of some runs as tables, a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.analysis.tables import Column, Kind, Table
from umlaut_async.store import run_queries, sample_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo, Samples

__all__ = ["TABLES", "UNION", "Source"]

_PIECE = 4096

TABLES: dict[str, dict[str, Kind]] = {
    "runs": {
        "run": "text", "name": "text", "description": "text", "tags": "data", "started": "time", "ended": "time",
        "status": "text", "environment": "data", "collector": "data",
    },
    "processes": {
        "run": "text", "id": "integer", "host": "text", "pid": "integer", "rank": "integer", "started": "time",
        "last_seen": "time", "ended": "time", "ending": "text",
    },
    "calls": {
        "run": "text", "id": "integer", "process": "integer", "parent": "integer", "stage": "text", "kind": "text",
        "task": "text", "started": "time", "duration": "duration", "producing": "duration", "status": "text",
        "error": "text",
    },
    "results": {
        "run": "text", "id": "integer", "process": "integer", "call": "integer", "method": "text", "type": "text",
        "description": "text", "unit": "text", "value": "number", "data": "data", "series": "integer",
        "provenance": "text", "recorded": "time",
    },
    "series": {
        "run": "text", "id": "integer", "process": "integer", "type": "text", "unit": "text", "source": "text",
        "provenance": "text", "interval": "duration", "description": "text",
    },
    "samples": {
        "run": "text", "series": "integer", "type": "text", "unit": "text", "time": "time", "value": "number",
    },
    "events": {
        "run": "text", "id": "integer", "process": "integer", "time": "time", "kind": "text", "message": "text",
        "data": "data",
    },
}  # fmt: skip
"""The columns of each table, and what they hold."""

UNION: dict[str, Kind] = {
    "table": "text",
    **{name: kind for columns in TABLES.values() for name, kind in columns.items()},
}
"""The columns of all tables in one."""


class Source:
    """Some runs of a database that is open.

    Args:
        session: The database.
        runs: The runs.
        progress: Told how many of how many rows were read.
    """

    def __init__(
        self, session: Session, runs: Sequence[RunInfo], progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.session = session
        self.runs = runs
        self._progress = progress
        self._done = 0
        self._total = 0 if progress is None else sum(sum(sample_queries.sizes(session, run.uuid)) for run in runs)

    def read(self, rows: int) -> None:
        """Say that so many rows more were read."""
        self._done += rows
        if self._progress is not None:
            # Of a run that goes on there may be more than there were.
            self._progress(min(self._done, self._total), self._total)

    def calls(self, run: RunInfo) -> list[run_queries.CallRow]:
        """Return the calls of a run in the order of their start."""
        return self._counted(run_queries.calls(self.session, run.uuid))

    def results(self, run: RunInfo) -> list[run_queries.ResultRow]:
        """Return the values of a run in the order in which they were recorded."""
        return self._counted(run_queries.results(self.session, run.uuid))

    def events(self, run: RunInfo) -> list[run_queries.EventRow]:
        """Return the events of a run in the order of time."""
        return self._counted(run_queries.events(self.session, run.uuid))

    def samples(self, series: run_queries.SeriesRow) -> Iterator[Samples]:
        """Yield all samples of a series in the order of time."""
        for samples in sample_queries.sample_blocks(self.session, series.id):
            yield samples
            self.read(len(samples.times))

    def _counted(self, rows: list[Any]) -> list[Any]:
        self.read(len(rows))
        return rows

    def tables(self, names: Iterable[str] = tuple(TABLES)) -> Iterator[Table]:
        """Yield the rows of these tables, a piece of one table at a time."""
        for name in names:
            for run in self.runs:
                yield from self._samples(run) if name == "samples" else self._table(name, run)

    def _table(self, name: str, run: RunInfo) -> Iterator[Table]:
        rows = self._rows(name, run)
        for start in range(0, len(rows), _PIECE):
            piece = [(run.uuid, *row) for row in rows[start : start + _PIECE]]
            yield Table.of_rows(name, TABLES[name], piece)

    def _rows(self, name: str, run: RunInfo) -> Sequence[tuple[Any, ...]]:
        match name:
            case "runs":
                told = (run.name, run.description, run.tags, run.started, run.ended, run.status)
                return [(*told, run.environment, run.collector)]
            case "processes":
                return run_queries.processes(self.session, run.uuid)
            case "calls":
                return self.calls(run)
            case "results":
                return self.results(run)
            case "series":
                return run_queries.series(self.session, run.uuid)
            case _:
                return self.events(run)

    def _samples(self, run: RunInfo) -> Iterator[Table]:
        for series in run_queries.series(self.session, run.uuid):
            constant = (run.uuid, series.id, series.type, series.unit)
            for times, values in self.samples(series):
                columns: list[Sequence[Any]] = [*([value] * len(times) for value in constant), times, values]
                named = zip(TABLES["samples"].items(), columns, strict=True)
                yield Table("samples", [Column(*each, column) for each, column in named])
