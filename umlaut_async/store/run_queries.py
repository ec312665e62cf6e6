"""The rows of one run, as small values with the columns of their tables. All times are nanoseconds since the epoch."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import null, select

from umlaut_async.records import UNKNOWN
from umlaut_async.store import deaths, lost
from umlaut_async.store.models import Base, Event, Process, Result, Series, Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

__all__ = [
    "CallRow",
    "EventRow",
    "ProcessRow",
    "ResultRow",
    "SeriesRow",
    "calls",
    "events",
    "processes",
    "results",
    "series",
]


class ProcessRow(NamedTuple):
    """A process of the run: the columns of `Process`."""

    id: int
    host: str
    pid: int
    rank: int | None
    started: int
    last_seen: int
    ended: int | None
    ending: str | None


class CallRow(NamedTuple):
    """A supervised call: the columns of `Span`."""

    id: int
    process_id: int
    parent: int | None
    name: str
    kind: str
    task: str | None
    started: int
    duration: int | None
    producing: int | None
    status: str
    error: str | None


class ResultRow(NamedTuple):
    """A value: the columns of `Result`."""

    id: int
    process_id: int
    span: int | None
    method: str
    type: str
    description: str
    unit: str
    value: float | None
    data: Any
    series_id: int | None
    provenance: str
    recorded: int


class SeriesRow(NamedTuple):
    """A series of samples: the columns of `Series`."""

    id: int
    process_id: int
    type: str
    unit: str
    source: str
    provenance: str
    interval: int
    description: str


class EventRow(NamedTuple):
    """An event: the columns of `Event`."""

    id: int
    process_id: int
    t: int
    kind: str
    message: str
    data: Any


_RowT = TypeVar("_RowT", ProcessRow, CallRow, ResultRow, SeriesRow, EventRow)


def processes(session: Session, run_uuid: str) -> list[ProcessRow]:
    """Return the processes of a run in the order in which they joined."""
    query = _columns(Process, ProcessRow).where(Process.run_uuid == run_uuid).order_by(Process.started, Process.id)
    rows = [ProcessRow(*row) for row in session.execute(query)]
    if all(row.ended is not None for row in rows):
        return rows
    gone = lost.find(session, [run_uuid]).processes
    return [row._replace(ended=gone[row.id], ending=UNKNOWN) if row.id in gone else row for row in rows]


def calls(session: Session, run_uuid: str, stage: str | None = None) -> list[CallRow]:
    """Return the calls of a run, or of one of its stages, in the order of their start."""
    which = [] if stage is None else [Span.name == stage]
    gone = lost.find(session, [run_uuid])
    derived = {"duration": lost.duration(gone), "status": lost.status(gone)}
    return _rows(session, run_uuid, Span, CallRow, which, [Span.started, Span.id], derived)


def results(
    session: Session, run_uuid: str, types: Sequence[str] | None = None, *, data: bool = True
) -> list[ResultRow]:
    """Return the values of a run in the order in which they were recorded, those that say "unavailable" as well.

    Args:
        session: Where to ask.
        run_uuid: The run.
        types: Only values of these types.
        data: Whether to read what is no number; without it `data` is None, and reading is several times faster.
    """
    which = [] if types is None else [Result.type.in_(types)]
    order = [Result.recorded, Result.id]
    return _rows(session, run_uuid, Result, ResultRow, which, order, {} if data else {"data": null()})


def series(session: Session, run_uuid: str, types: Sequence[str] | None = None) -> list[SeriesRow]:
    """Return the series of a run, or those of some types."""
    which = [] if types is None else [Series.type.in_(types)]
    return _rows(session, run_uuid, Series, SeriesRow, which, [Series.type, Series.id])


def events(session: Session, run_uuid: str) -> list[EventRow]:
    """Return the events of a run, each by itself, in the order of time; how it was lost as well, if nobody wrote it."""
    found = _rows(session, run_uuid, Event, EventRow, [], [Event.t, Event.id])
    unwritten = map(deaths.as_event, deaths.derived(session, lost.find(session, [run_uuid])))
    found += (EventRow(*(getattr(event, name) for name in EventRow._fields)) for event in unwritten)
    return found


def _columns(model: type[Base], row: type[_RowT], instead: Mapping[str, Any] = MappingProxyType({})) -> Any:
    return select(*(instead[name] if name in instead else getattr(model, name) for name in row._fields))


def _rows(
    session: Session,
    run_uuid: str,
    model: type[Base],
    row: type[_RowT],
    which: Sequence[ColumnElement[bool]],
    order: Sequence[Any],
    instead: Mapping[str, Any] = MappingProxyType({}),
) -> list[_RowT]:
    owner: Any = getattr(model, "process_id")  # noqa: B009 - of the models with processes, which have no common base
    of_run = owner.in_(select(Process.id).where(Process.run_uuid == run_uuid))
    query = _columns(model, row, instead).where(of_run, *which).order_by(*order)
    return [row(*found) for found in session.execute(query)]
