"""The statements by which one transaction of the writer stores what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from umlaut_async.store.inserts import insert_for
from umlaut_async.store.models import Chunk, Event, Result, Run, Sample, Series, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from umlaut_async.collector.batches import Rest
    from umlaut_async.collector.rows import Row, Unit

_PARAMETERS = 10_000
"""How many values one statement names at the most; databases have a limit."""

_SPANS = insert_for(Span, upsert=True)
_RESULTS = insert_for(Result)
_EVENTS = insert_for(Event)
_SERIES = insert_for(Series, upsert=True)
_CHUNKS = insert_for(Chunk, without_id=True)
_SAMPLES = insert_for(Sample, without_id=True)


async def store(session: AsyncSession, run_uuid: str, units: Sequence[Unit], rest: Rest | None) -> None:
    """Store records, and what there is beside them.

    Args:
        session: A session in a transaction.
        run_uuid: The key of the run.
        units: The records.
        rest: What there is beside them.
    """
    connection = await session.connection()
    if rest is not None:
        # Before the records: a call of these that has ended meanwhile is among them.
        await _SPANS.run(connection, rest.running)
        for start in range(0, len(rest.unrecorded), _PARAMETERS):
            gone = Span.id.in_(rest.unrecorded[start : start + _PARAMETERS])
            await session.execute(delete(Span).where(gone, Span.status == "running"))
    await _SPANS.run(connection, [unit[0] for unit in units if unit[0] is not None])
    await _RESULTS.run(connection, [row for _, *rows in units for row in rows])
    if rest is not None:
        await _store_samples(session, connection, rest)
        if rest.run:
            await _describe(session, run_uuid, rest.run)


async def _describe(session: AsyncSession, run_uuid: str, columns: dict[str, Any]) -> None:
    if "tags" in columns:
        # The user may have given and taken some meanwhile.
        tags = await session.scalar(select(Run.tags).where(Run.uuid == run_uuid).with_for_update())
        columns = {**columns, "tags": [*dict.fromkeys([*(tags or ()), *columns["tags"]])]}
    await session.execute(update(Run).where(Run.uuid == run_uuid).values(**columns))


async def _store_samples(session: AsyncSession, connection: AsyncConnection, rest: Rest) -> None:
    await _EVENTS.run(connection, rest.events)
    await _SERIES.run(connection, rest.series)
    rows: list[Row] = []
    for write in rest.tails:
        series_id = write.tail.series_id
        if write.clear:
            await session.execute(delete(Sample).where(Sample.series_id == series_id))
        await _CHUNKS.run(connection, [(series_id, *block) for block in write.blocks])
        rows += [(series_id, t, value) for t, value in write.rows]
    await _SAMPLES.run(connection, rows)
