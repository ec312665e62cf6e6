"""The tables of a result database. All times and durations are integer nanoseconds, times since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, Text, case, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column
from sqlalchemy.types import TypeDecorator

from umlaut_async.store import values

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

__all__ = [
    "CLOCK",
    "Base",
    "Chunk",
    "Event",
    "Process",
    "Result",
    "Run",
    "Sample",
    "Series",
    "Span",
    "key",
    "process_of",
    "source_column",
]

# Only a column whose type is INTEGER to the letter is SQLite's own row id.
_Key = BigInteger().with_variant(Integer(), "sqlite")
_PROCESS_SHIFT = 40


CLOCK = "perf_counter"
_USER = "user"


def key(process_id: int, number: int) -> int:
    """Return the primary key of a process's row with this number.

    Keys come from counters, so that no insert waits for another; those of one process lie side by side.
    """
    return process_id << _PROCESS_SHIFT | number


def process_of(row: int) -> int:
    """Return the key of the process to which the row with this primary key belongs."""
    return row >> _PROCESS_SHIFT


class Json(TypeDecorator[Any]):
    """JSON text, in which non-finite floats are the strings "NaN", "Infinity" and "-Infinity"."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else values.encode(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else values.decode(value)


class Base(DeclarativeBase):
    """The declarative base of all tables."""

    type_annotation_map = {int: BigInteger(), str: Text(), float: Float(53), bytes: LargeBinary(), Any: Json()}


class Run(Base):
    """One run of a pipeline: from the return of `open()`, or the first call or value, to when its end was asked for."""

    __tablename__ = "run"

    uuid: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]
    name: Mapped[str]
    tags: Mapped[Any] = mapped_column(Json())
    started: Mapped[int]
    ended: Mapped[int | None]
    status: Mapped[str]
    """running | ok | error | lost"""
    environment: Mapped[Any] = mapped_column(Json())
    collector: Mapped[Any] = mapped_column(Json())
    """Where the collector ran, and its account: recorded, stored, dropped by reason."""


class Process(Base):
    """A process that took part in a run."""

    __tablename__ = "process"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    run_uuid: Mapped[str] = mapped_column(ForeignKey("run.uuid"), index=True)
    host: Mapped[str]
    pid: Mapped[int]
    pid_started: Mapped[int | None]
    """The start of the process since the epoch: with the pid, its identity on that host."""
    rank: Mapped[int | None]
    started: Mapped[int]
    last_seen: Mapped[int]
    ended: Mapped[int | None]
    ending: Mapped[str | None]


class Span(Base):
    """One supervised call; its `id` is `key(process_id, number)`."""

    __tablename__ = "span"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    process_id: Mapped[int] = mapped_column(ForeignKey("process.id"))
    number: Mapped[int]
    parent: Mapped[int | None]
    """The `id` of the call that this one ran in."""
    name: Mapped[str]
    kind: Mapped[str]
    task: Mapped[str | None]
    """The asyncio task, or else the thread, in which the call began."""
    started: Mapped[int]
    duration: Mapped[int | None]
    producing: Mapped[int | None]
    """Of a generator or iteration: the time spent inside the producer, so far where it is running."""
    status: Mapped[str]
    """running | ok | error | cancelled | closed | abandoned | lost"""
    error: Mapped[str | None]


class Series(Base):
    """The samples of one probe at one interval in one process."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    process_id: Mapped[int] = mapped_column(ForeignKey("process.id"))
    type: Mapped[str]
    unit: Mapped[str]
    source: Mapped[str]
    provenance: Mapped[str]
    """measured | estimated | unavailable; the reason is in an event."""
    interval: Mapped[int]
    description: Mapped[str] = mapped_column(default="", server_default="")
    """That of the first metric that wanted it; results have their own. Empty before version 2 of the schema."""


class Result(Base):
    """One value of one metric of one call, or one value that a `log` or a tracker recorded."""

    __tablename__ = "result"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    process_id: Mapped[int] = mapped_column(ForeignKey("process.id"))
    span: Mapped[int | None] = mapped_column()
    """The `id` of the call."""
    method: Mapped[str]
    type: Mapped[str]
    description: Mapped[str]
    unit: Mapped[str]
    value: Mapped[float | None]
    data: Mapped[Any] = mapped_column(Json(), nullable=True)
    series_id: Mapped[int | None] = mapped_column()
    provenance: Mapped[str]
    """measured | estimated | unavailable; what a user recorded is measured."""
    recorded: Mapped[int]
    source: Mapped[str] = column_property(
        case(
            (span.is_(None), _USER),
            else_=func.coalesce(select(Series.source).where(Series.id == series_id).scalar_subquery(), CLOCK),
        )
    )
    """Where the value comes from: the source of its series; the clock that times the calls, where there is none; or the
    user, outside of calls. It is no column of the table, but can be queried like one."""


def source_column() -> ColumnElement[str]:
    """Return the source of a result of a call, in a query that has an outer join with its series."""
    return func.coalesce(Series.source, CLOCK)


class Sample(Base):
    """One sample of the tail of a series, which is not packed into a chunk yet."""

    __tablename__ = "sample"
    __table_args__ = (Index("sample_series_t", "series_id", "t"),)

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    t: Mapped[int]
    value: Mapped[float]


class Chunk(Base):
    """4096 samples of a series, packed; the columns before `times` answer overviews without reading it."""

    __tablename__ = "chunk"
    __table_args__ = (Index("chunk_series_t0", "series_id", "t0"),)

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    t0: Mapped[int]
    t1: Mapped[int]
    n: Mapped[int]
    min: Mapped[float]
    max: Mapped[float]
    sum: Mapped[float]
    first: Mapped[float]
    last: Mapped[float]
    times: Mapped[bytes]
    """The times as little-endian 64-bit integers."""
    values: Mapped[bytes]
    """The values as little-endian 64-bit floats."""


class Event(Base):
    """Something that a reader of the numbers must know: a drop, a gap, a metric that could not be read."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    process_id: Mapped[int] = mapped_column(ForeignKey("process.id"))
    t: Mapped[int]
    kind: Mapped[str]
    message: Mapped[str]
    data: Mapped[Any] = mapped_column(Json(), nullable=True)
