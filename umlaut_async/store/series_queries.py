"""What is stored of the samples of a run, read no further than a figure of it needs."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from math import isfinite
from operator import le
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from umlaut_async.store import chunks
from umlaut_async.store.models import Chunk, Process, Sample, Series
from umlaut_async.store.queries import Samples
from umlaut_async.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

__all__ = ["Extent", "Part", "Point", "extent", "neighbours", "part", "peak_time"]

# Databases take only so many parameters of one statement.
_AT_ONCE = 500


class Extent(NamedTuple):
    """From when to when there are samples, in nanoseconds since the epoch."""

    first: int
    last: int


class Point(NamedTuple):
    """One sample."""

    t: int
    value: float


class Part(NamedTuple):
    """The samples of a series within a window: of whole blocks only the headers, if there are many."""

    headers: list[chunks.Header]
    samples: Samples
    """All others, finite and in the order of time."""


def extent(session: Session, run_uuid: str) -> Extent | None:
    """Return from when to when a run has samples, or None if it has none."""
    of_run = select(Series.id).join(Process, Process.id == Series.process_id).where(Process.run_uuid == run_uuid)
    in_blocks = select(func.min(Chunk.t0), func.max(Chunk.t1), func.count()).where(Chunk.series_id.in_(of_run))
    in_tail = select(func.min(Sample.t), func.max(Sample.t), func.count()).where(Sample.series_id.in_(of_run))
    found = [session.execute(query).one() for query in (in_blocks, in_tail)]
    known = [(first, last) for first, last, count in found if count]
    return Extent(min(known)[0], max(last for _, last in known)) if known else None


def part(session: Session, series_id: int, start: int, end: int, most_blocks: int) -> Part:
    """Return a series within a window, to which both its ends belong.

    Args:
        session: Where to ask.
        series_id: The series.
        start: The start of the window.
        end: Its end.
        most_blocks: As many blocks are unpacked. If there are more, only those are that reach over the window.
    """
    query = select(Chunk.id, Chunk.t0, Chunk.t1, Chunk.n, Chunk.min, Chunk.max, Chunk.sum, Chunk.first, Chunk.last)
    rows = session.execute(query.where(Chunk.series_id == series_id, Chunk.t1 >= start, Chunk.t0 <= end)).all()
    headers, unpacked = [], []
    for row in rows:
        number, t0, t1, n, *values = row
        if len(rows) > most_blocks and start <= t0 <= t1 <= end and all(map(isfinite, values)) and n > 0:
            headers.append(chunks.Header(t0, t1, Summary(n, *values)))
        else:
            unpacked.append(number)
    return Part(headers, _samples(session, series_id, unpacked, start, end))


def neighbours(session: Session, series_id: int, start: int, end: int) -> tuple[Point | None, Point | None]:
    """Return the last finite sample before a window and the first one after it."""
    blocks = select(Chunk.times, Chunk.values).where(Chunk.series_id == series_id)
    tail = select(Sample.t, Sample.value).where(Sample.series_id == series_id)
    before = (
        blocks.where(Chunk.t0 < start).order_by(Chunk.t0.desc()),
        tail.where(Sample.t < start).order_by(Sample.t.desc()),
    )
    after = blocks.where(Chunk.t1 > end).order_by(Chunk.t0), tail.where(Sample.t > end).order_by(Sample.t)
    found = []
    for in_blocks, in_tail in (before, after):
        points = [Point(*row) for row in session.execute(in_tail.limit(1))]
        # Neighbouring blocks may overlap a little.
        for packed in session.execute(in_blocks.limit(2)):
            points += map(Point, *chunks.unpack(*packed))
        found.append([point for point in points if isfinite(point.value)])
    return (
        max((point for point in found[0] if point.t < start), default=None),
        min((point for point in found[1] if point.t > end), default=None),
    )


def peak_time(session: Session, series_id: int, block: chunks.Header) -> int:
    """Return when a block, of which the header is known, was at its highest for the first time."""
    query = select(Chunk.times, Chunk.values).where(
        Chunk.series_id == series_id, Chunk.t0 == block.t0, Chunk.t1 == block.t1, Chunk.max == block.summary.max
    )
    found = session.execute(query.limit(1)).first()
    times, values = chunks.unpack(*found) if found else (array("q"), array("d"))
    return times[values.index(max(values))] if values else block.t0


def _samples(session: Session, series_id: int, blocks: Sequence[int], start: int, end: int) -> Samples:
    times, values = array("q"), array("d")
    for at in range(0, len(blocks), _AT_ONCE):
        query = select(Chunk.times, Chunk.values).where(Chunk.id.in_(blocks[at : at + _AT_ONCE])).order_by(Chunk.t0)
        for packed in session.execute(query.execution_options(yield_per=64)):
            moments, numbers = chunks.unpack(*packed)
            times += moments
            values += numbers
    tail = select(Sample.t, Sample.value).where(Sample.series_id == series_id, Sample.t >= start, Sample.t <= end)
    for t, value in session.execute(tail.order_by(Sample.t, Sample.id)):
        times.append(t)
        values.append(value)
    if _are_in_order(times) and all(map(isfinite, values)):
        inside = slice(*_within(times, start, end))
        return Samples(times[inside], values[inside])
    # Neighbouring blocks may overlap a little, where an edge reading was late.
    kept = sorted(at for at in zip(times, values, strict=True) if start <= at[0] <= end and isfinite(at[1]))
    return Samples(array("q", [t for t, _ in kept]), array("d", [value for _, value in kept]))


def _are_in_order(times: array[int]) -> bool:
    return all(map(le, times, islice(times, 1, None)))


def _within(times: array[int], start: int, end: int) -> tuple[int, int]:
    return bisect_left(times, start), bisect_right(times, end)
