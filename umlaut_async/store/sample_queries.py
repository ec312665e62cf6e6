"""All samples of a run, a block at a time: however many there are, few are in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from umlaut_async.store import chunks
from umlaut_async.store.models import Chunk, Event, Process, Result, Sample, Series, Span
from umlaut_async.store.queries import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

__all__ = ["Sizes", "sample_blocks", "sizes"]


class Sizes(NamedTuple):
    """How many rows a run has."""

    calls: int
    results: int
    samples: int
    events: int


def sizes(session: Session, run_uuid: str) -> Sizes:
    """Return how many rows a run has."""
    processes = select(Process.id).where(Process.run_uuid == run_uuid)
    series = select(Series.id).where(Series.process_id.in_(processes))

    def count(model: Any) -> int:
        query = select(func.count()).select_from(model).where(model.process_id.in_(processes))
        return int(session.scalar(query) or 0)

    packed = session.scalar(select(func.sum(Chunk.n)).where(Chunk.series_id.in_(series))) or 0
    tail = session.scalar(select(func.count()).select_from(Sample).where(Sample.series_id.in_(series))) or 0
    return Sizes(count(Span), count(Result), int(packed) + int(tail), count(Event))


def sample_blocks(session: Session, series_id: int) -> Iterator[Samples]:
    """Yield all samples of a series in the order of time, in pieces of about a block."""
    of_series = Sample.series_id == series_id
    rows = session.execute(select(Sample.t, Sample.value).where(of_series).order_by(Sample.t, Sample.id)).all()
    tail = Samples(array("q", [t for t, _ in rows]), array("d", [value for _, value in rows]))
    query = select(Chunk.t0, Chunk.id).where(Chunk.series_id == series_id)
    pieces: list[tuple[int, int | None]] = [(t0, number) for t0, number in session.execute(query)]
    pieces += [(tail.times[0], None)] if tail.times else []
    pieces.sort(key=lambda piece: piece[0])
    times, values = array("q"), array("d")
    for (_, number), (next_start, _) in zip(pieces, [*pieces, (None, None)][1:], strict=True):
        moments, numbers = tail if number is None else _block(session, number)
        # Neighbouring blocks may overlap a little, where an edge reading was late.
        times, values = chunks.in_order(times + moments, values + numbers)
        done = len(times) if next_start is None else bisect_left(times, next_start)
        if done:
            yield Samples(times[:done], values[:done])
            times, values = times[done:], values[done:]


def _block(session: Session, number: int) -> Samples:
    times, values = session.execute(select(Chunk.times, Chunk.values).where(Chunk.id == number)).one()
    return Samples(*chunks.unpack(times, values))
