"""What the stages of a run used, summed up by the database, and the columns of their calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from umlaut_async.store import chunks, lost
from umlaut_async.store.metric_names import MetricKey, name_of, tell_apart
from umlaut_async.store.models import Chunk, Process, Result, Sample, Series, Span, source_column
from umlaut_async.store.ranges import of_process, of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement

__all__ = [
    "CALL_COLUMNS",
    "Used",
    "UsedByStage",
    "call_columns",
    "growth",
    "last_moment",
    "of_type",
    "samples_from",
    "used",
    "used_beside",
    "used_here",
]

CALL_COLUMNS = ("id", "parent", "name", "kind", "task", "started", "duration", "producing", "status")
_BLOCK = 256


class Used(NamedTuple):
    """The values that one metric had over the calls of a stage; without any, the reason is in an event."""

    unit: str
    n: int
    mean: float | None
    min: float | None
    max: float | None
    provenance: str
    total: float | None
    """The sum of the values."""
    over_time: float | None
    """The mean in which each call has the weight of its duration."""
    entries: float | None
    """What was tracked or yielded, of a throughput or a latency."""
    type: str
    description: str
    source: str
    told: str
    """What tells it from the others of its type in the stage; empty where there are none."""

    @property
    def key(self) -> MetricKey:
        """Which metric of the stage it is."""
        return MetricKey(self.type, self.description, self.source)


UsedByStage = dict[tuple[str, str], dict[str, Used]]
"""By name and kind of the stage, and by name of the metric: its type, and what tells it from others of that type."""


def call_columns(session: Session, run_uuid: str) -> list[list[Any]]:
    """Return the `CALL_COLUMNS` of the calls of a run, in the order in which these were made."""
    gone = lost.find(session, [run_uuid])
    columns = {"duration": lost.duration(gone), "status": lost.status(gone)}
    query = select(*(columns.get(name, getattr(Span, name)) for name in CALL_COLUMNS))
    query = query.where(of_run(session, Span.id, run_uuid)).order_by(Span.id)
    found: list[list[Any]] = [[] for _ in CALL_COLUMNS]
    # Block by block, and past the ORM: a third less time where there are a hundred thousand.
    for block in session.connection().execute(query).partitions(_BLOCK):
        for column, values in zip(found, zip(*block, strict=True), strict=True):
            column.extend(values)
    return found


def last_moment(session: Session, run_uuid: str) -> int | None:
    """Return when a process of a run was last seen."""
    return session.scalar(select(func.max(Process.last_seen)).where(Process.run_uuid == run_uuid))


def samples_from(session: Session, series_id: int, least: float) -> Iterator[tuple[int, float]]:
    """Yield the samples of a series that are so high, block by block; blocks without any are not unpacked."""
    packed = select(Chunk.times, Chunk.values).where(Chunk.series_id == series_id, Chunk.max >= least)
    for block in session.execute(packed.execution_options(yield_per=64)):
        for moment, value in zip(*chunks.unpack(*block), strict=True):
            if value >= least:
                yield moment, value
    tail = select(Sample.t, Sample.value).where(Sample.series_id == series_id, Sample.value >= least)
    for moment, value in session.execute(tail):
        yield moment, value


@contextmanager
def used_here(session: Session, run_uuid: str) -> Iterator[Callable[[], UsedByStage]]:
    """Give a function that asks what was used, as `used` does."""
    yield lambda: used(session, run_uuid)


@contextmanager
def used_beside(session: Session, run_uuid: str) -> Iterator[Callable[[], UsedByStage]]:
    """Ask for it at once, in a thread and on a connection of its own; give a function that waits for the answer."""

    def ask() -> UsedByStage:
        with Session(session.get_bind().engine) as other:
            return used(other, run_uuid)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ask).result


def of_type(metrics: Mapping[str, Used], type_: str) -> list[Used]:
    """Return those metrics of a stage that are of one type, in the order in which the stage has them."""
    return [metric for metric in metrics.values() if metric.type == type_]


def used(session: Session, run_uuid: str) -> UsedByStage:
    """Return what was used by each stage: one entry for each metric, which is told from others of its type."""
    measured = and_(Result.value.is_not(None), Span.duration.is_not(None))
    entries = case(
        (Result.type == "throughput", Result.value * Span.duration / 1e9),
        (and_(Result.type == "latency", Result.value > 0), Span.duration / 1e9 / func.nullif(Result.value, 0)),
    )
    metric = Result.type, Result.description, source_column()
    query = (
        select(
            Span.name,
            Span.kind,
            # The alphabet orders provenances as needed: one estimate makes an estimate, "unavailable" yields to any
            # value.
            func.min(Result.unit),
            func.count(Result.value),
            func.avg(Result.value),
            func.min(Result.value),
            func.max(Result.value),
            func.min(Result.provenance),
            func.sum(Result.value),
            func.sum(Result.value * Span.duration) / func.nullif(func.sum(case((measured, Span.duration))), 0),
            func.sum(entries),
            *metric,
        )
        .join(Span, Span.id == Result.span)
        .outerjoin(Series, Series.id == Result.series_id)
        .where(of_run(session, Result.id, run_uuid), or_(Result.value.is_not(None), Result.provenance == "unavailable"))
        .group_by(Span.name, Span.kind, *metric)
        .order_by(Result.type, func.min(Result.id))
    )
    found: dict[tuple[str, str], list[Used]] = {}
    for name, kind, *values in session.execute(query):
        found.setdefault((name, kind), []).append(Used._make((*values, "")))
    return {stage: _named(metrics) for stage, metrics in found.items()}


def _named(metrics: Sequence[Used]) -> dict[str, Used]:
    told = tell_apart(metric.key for metric in metrics)
    return {name_of(metric.type, told[metric.key]): metric._replace(told=told[metric.key]) for metric in metrics}


def growth(session: Session, process_id: int, type_: str, source: str, since: int) -> dict[tuple[str, str], float]:
    """Return by how much the samples of a source grew in the calls of one process, by name and kind of the stage.

    Args:
        session: Where to ask.
        process_id: The process.
        type_: The type of metric.
        source: The source of its series: a process and its tree grow at once, and that must not count twice.
        since: Calls count that ended after that.
    """
    first, last = (_number_in_data(session, name) for name in ("first", "last"))
    query = (
        select(Span.name, Span.kind, func.coalesce(func.sum(last - first), 0.0))
        .join(Span, Span.id == Result.span)
        .join(Series, Series.id == Result.series_id)
        .where(
            of_process(Result.id, process_id),
            Result.type == type_,
            Series.source == source,
            Span.started + Span.duration > since,
        )
        .group_by(Span.name, Span.kind)
    )
    return {(name, kind): grown for name, kind, grown in session.execute(query)}


def _number_in_data(session: Session, name: str) -> ColumnElement[Any]:
    """Return a number in the data of a result as a column."""
    if session.get_bind().dialect.name == "sqlite":
        return case((func.json_valid(Result.data), func.json_extract(Result.data, f"$.{name}")))
    found: ColumnElement[Any] = cast(Result.data, JSON)[name].as_float()
    return found
