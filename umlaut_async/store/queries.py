"""Questions to a result database, with typed answers. All of them only read; times are nanoseconds since the epoch.

They take a plain `Session`; asynchronous callers hand them to `AsyncSession.run_sync`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import le
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, null, select

from umlaut_async.records import LOST
from umlaut_async.store import chunks, deaths, lost, stage_queries
from umlaut_async.store.models import Chunk, Event, Process, Result, Run, Sample, Span
from umlaut_async.store.ranges import of_run
from umlaut_async.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from umlaut_async.store.stage_queries import Used

__all__ = [
    "EventGroup",
    "RunInfo",
    "Samples",
    "Stage",
    "Tracked",
    "events",
    "runs",
    "samples",
    "series_overview",
    "stages",
    "trackers",
]

# Databases take only so many parameters of one statement.
_AT_ONCE = 500
_MISSED = "missed-ticks"


@dataclass(frozen=True)
class RunInfo:
    """One run."""

    uuid: str
    name: str
    description: str
    tags: list[str]
    started: int
    ended: int | None
    status: str
    environment: Any
    collector: Any


@dataclass(frozen=True)
class Stage:
    """All calls of one name and kind."""

    name: str
    kind: str
    calls: int
    statuses: dict[str, int]
    time: int
    """The sum of the durations of the calls that ended, in nanoseconds."""
    first_started: int
    metrics: dict[str, Used] = field(default_factory=dict)
    """By name: the type, and what tells it from others of that type."""

    @property
    def entries_per_second(self) -> float | None:
        """All entries by all the time of the calls that counted entries; None where they count different things."""
        rates = {metric.over_time for metric in stage_queries.of_type(self.metrics, "throughput")}
        return rates.pop() if len(rates) == 1 else None


@dataclass(frozen=True)
class Tracked:
    """One value that a tracker or a `log` recorded outside of any call."""

    method: str
    type: str
    description: str
    unit: str
    value: float | None
    data: Any
    recorded: int


@dataclass(frozen=True)
class EventGroup:
    """Events that say the same."""

    kind: str
    message: str
    count: int
    first: int
    last: int
    data: Any
    """That of the last one; `missed`, a number of samples, is summed up over all."""


class Samples(NamedTuple):
    """The samples of a series in the order of time."""

    times: array[int]
    values: array[float]


def runs(session: Session, uuids: Sequence[str] | None = None, *, details: bool = True) -> list[RunInfo]:
    """Return all runs, or those with these uuids, the newest first.

    Args:
        session: Where to ask.
        uuids: The runs, all by default.
        details: Whether to read environments and accounts, the long part of a run; without it they are None.
    """
    long = (Run.environment, Run.collector) if details else (null(), null())
    query = select(Run.uuid, Run.name, Run.description, Run.tags, Run.started, Run.ended, Run.status, *long).order_by(
        Run.started.desc(), Run.uuid
    )
    if uuids is None:
        return _run_infos(session, query, None)
    found: list[RunInfo] = []
    for start in range(0, len(uuids), _AT_ONCE):
        some = uuids[start : start + _AT_ONCE]
        found += _run_infos(session, query.where(Run.uuid.in_(some)), some)
    return sorted(found, key=lambda run: (-run.started, run.uuid))


def _run_infos(session: Session, query: Any, uuids: Sequence[str] | None) -> list[RunInfo]:
    infos = [RunInfo(*run) for run in session.execute(query)]
    if not any(info.status == "running" for info in infos):
        return infos
    ended = lost.find(session, uuids).runs
    return [replace(info, status=LOST, ended=ended[info.uuid]) if info.uuid in ended else info for info in infos]


def stages(session: Session, run_uuid: str) -> list[Stage]:
    """Return the stages of a run in the order of their first calls."""
    found: dict[tuple[str, str], Stage] = {}
    used = stage_queries.used(session, run_uuid)
    gone = lost.find(session, [run_uuid])
    status, duration = lost.status(gone).label("state"), lost.duration(gone)
    by_status = (
        select(Span.name, Span.kind, status, func.count(), func.sum(duration), func.min(Span.started))
        .where(of_run(session, Span.id, run_uuid))
        .group_by(Span.name, Span.kind, status)
    )
    for name, kind, status, calls, time, first in session.execute(by_status):
        before = found.get((name, kind))
        found[name, kind] = Stage(
            name,
            kind,
            calls + (before.calls if before else 0),
            {**(before.statuses if before else {}), status: calls},
            int(time or 0) + (before.time if before else 0),
            min(first, before.first_started) if before else first,
            used.get((name, kind), {}),
        )
    return sorted(found.values(), key=lambda stage: (stage.first_started, stage.name, stage.kind))


def trackers(session: Session, run_uuid: str, type_: str | None = None) -> list[Tracked]:
    """Return what was recorded outside of any call, in that order; only of one type, if that is named."""
    query = (
        select(Result.method, Result.type, Result.description, Result.unit, Result.value, Result.data, Result.recorded)
        .where(of_run(session, Result.id, run_uuid), Result.span.is_(None))
        .order_by(Result.recorded, Result.id)
    )
    if type_ is not None:
        query = query.where(Result.type == type_)
    return [Tracked(*row) for row in session.execute(query)]


def events(session: Session, run_uuid: str) -> list[EventGroup]:
    """Return the events of a run, those that say the same as one, in the order of their first occurrence.

    How it was lost is among them, be it written or not.
    """
    groups = (
        select(func.max(Event.id).label("id"), func.count().label("count"), func.min(Event.t), func.max(Event.t))
        .join(Process, Process.id == Event.process_id)
        .where(Process.run_uuid == run_uuid)
        .group_by(Event.kind, Event.message)
        .subquery()
    )
    _, count, first, last = groups.columns
    query = select(Event.kind, Event.message, count, first, last, Event.data).join(groups, groups.c.id == Event.id)
    found = [EventGroup(*row) for row in session.execute(query.order_by(first, Event.id))]
    missed = _missed(session, run_uuid) if any(group.kind == _MISSED for group in found) else {}
    unwritten = map(deaths.as_event, deaths.derived(session, lost.find(session, [run_uuid])))
    found += (EventGroup(event.kind, event.message, 1, event.t, event.t, event.data) for event in unwritten)
    return [
        replace(group, data={**group.data, "missed": missed[group.message]})
        if group.kind == _MISSED and group.message in missed
        else group
        for group in found
    ]


def _missed(session: Session, run_uuid: str) -> dict[str, int]:
    """Return how many samples are missing by the messages of the events that say so."""
    query = select(Event.message, Event.data).join(Process, Process.id == Event.process_id)
    missed: dict[str, int] = {}
    for message, data in session.execute(query.where(Process.run_uuid == run_uuid, Event.kind == _MISSED)):
        if isinstance(data, dict) and isinstance(data.get("missed"), int):
            missed[message] = missed.get(message, 0) + data["missed"]
    return missed


def series_overview(
    session: Session, series_id: int, buckets: int = 200, start: int | None = None, end: int | None = None
) -> list[chunks.Bucket]:
    """Return a series, or a window of it, in at most so many equal steps of time.

    Only the headers of its chunks and the samples of its tail are read: see `chunks.overview` for what follows.
    """
    rows = session.execute(
        select(Chunk.t0, Chunk.t1, Chunk.n, Chunk.min, Chunk.max, Chunk.sum, Chunk.first, Chunk.last).where(
            Chunk.series_id == series_id, *_touching(start, end)
        )
    )
    headers = [
        chunks.Header(t0, t1, Summary(n, low, high, total, first, last))
        for t0, t1, n, low, high, total, first, last in rows
    ]
    return chunks.overview(headers, _tail(session, series_id, start, end), buckets, start, end)


def samples(session: Session, series_id: int, start: int | None = None, end: int | None = None) -> Samples:
    """Return all samples of a series, or of a window with both its ends, in the order of time."""
    times, values = array("q"), array("d")
    packed = select(Chunk.times, Chunk.values).where(Chunk.series_id == series_id, *_touching(start, end))
    for block in session.execute(packed.order_by(Chunk.t0).execution_options(yield_per=64)):
        moments, numbers = chunks.unpack(*block)
        times += moments
        values += numbers
    for t, value in _tail(session, series_id, start, end):
        times.append(t)
        values.append(value)
    # Neighbouring blocks may overlap a little, where an edge reading was late.
    if not all(map(le, times, islice(times, 1, None))):
        order = sorted(range(len(times)), key=times.__getitem__)
        times, values = array("q", [times[i] for i in order]), array("d", [values[i] for i in order])
    window = slice(
        None if start is None else bisect_left(times, start), None if end is None else bisect_right(times, end)
    )
    return Samples(times[window], values[window])


def _touching(start: int | None, end: int | None) -> list[ColumnElement[bool]]:
    after = [] if start is None else [Chunk.t1 >= start]
    return after if end is None else [*after, Chunk.t0 <= end]


def _tail(session: Session, series_id: int, start: int | None, end: int | None) -> list[tuple[int, float]]:
    query = select(Sample.t, Sample.value).where(Sample.series_id == series_id).order_by(Sample.t, Sample.id)
    if start is not None:
        query = query.where(Sample.t >= start)
    if end is not None:
        query = query.where(Sample.t <= end)
    return [(t, value) for t, value in session.execute(query)]
