"""Statements of many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from umlaut_async.errors import StoreError
from umlaut_async.store import values
from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import resolve
from umlaut_async.store.models import Base, Chunk, Event, Process, Result, Run, Sample, Series, Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support import Anywhere


@pytest.fixture
async def store(anywhere: Anywhere) -> AsyncIterator[AsyncEngine]:
    engine = await open_store(resolve(anywhere.db_file))
    yield engine
    await engine.dispose()


async def run(store: AsyncEngine, model: type[Base], rows: list[tuple[Any, ...]], **options: bool) -> None:
    async with transaction(store) as session:
        await insert_for(model, **options).run(await session.connection(), rows)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 15, 16, 17, 255, 257, 1023, 1024, 1025, 5461, 10_000])
async def test_every_row_is_inserted_once_and_in_order(store: AsyncEngine, count: int) -> None:
    rows = [(7, t, t / 3) for t in range(count)]
    await run(store, Sample, rows, without_id=True)
    async with transaction(store) as session:
        found = (await session.execute(select(Sample.series_id, Sample.t, Sample.value).order_by(Sample.id))).all()
    assert [tuple(row) for row in found] == rows


VALUES: dict[type[Base], dict[str, Any]] = {
    Run: {
        "uuid": "u", "description": "täst", "name": "n", "tags": ["a", "b"], "started": 2**62, "ended": None,
        "status": "running", "environment": {"x": 1}, "collector": {"dropped": {}},
    },
    Process: {
        "id": 3, "run_uuid": "u", "host": "h", "pid": 4, "pid_started": 5, "rank": None, "started": 6,
        "last_seen": 7, "ended": None, "ending": None,
    },
    Span: {
        "id": 8, "process_id": 3, "number": 8, "parent": None, "name": "load", "kind": "function", "task": "Task-1",
        "started": 9, "duration": None, "producing": None, "status": "running", "error": None,
    },
    Result: {
        "id": 10, "process_id": 3, "span": 8, "method": "load", "type": "cpu", "description": "d", "unit": "%",
        "value": 1.5, "data": {"n": 3, "max": float("inf")}, "series_id": 11, "provenance": "measured", "recorded": 12,
    },
    Series: {
        "id": 11, "process_id": 3, "type": "cpu", "unit": "%", "source": "psutil", "provenance": "measured",
        "interval": 13, "description": "d",
    },
    Chunk: {
        "series_id": 11, "t0": 14, "t1": 15, "n": 2, "min": -0.5, "max": 2.5, "sum": 2.0, "first": -0.5, "last": 2.5,
        "times": b"\0" * 32768, "values": b"\xff" * 32768,
    },
    Event: {"id": 16, "process_id": 3, "t": 17, "kind": "drop", "message": "m", "data": None},
}  # fmt: skip


@pytest.mark.parametrize("model", VALUES, ids=lambda model: model.__name__)
async def test_rows_of_every_table_come_back_through_the_models(store: AsyncEngine, model: type[Base]) -> None:
    row = VALUES[model]
    insert = insert_for(model, without_id=model is Chunk)
    assert set(insert.columns) == set(row)
    jsons = {"tags", "environment", "collector", "data"}
    encoded = {
        name: values.encode(value) if name in jsons and value is not None else value for name, value in row.items()
    }
    await run(store, model, [tuple(encoded[name] for name in insert.columns)], without_id=model is Chunk)
    async with transaction(store) as session:
        found = (await session.scalars(select(model))).one()
        assert {name: getattr(found, name) for name in row} == row


async def test_thousands_of_chunks_fit_in(store: AsyncEngine) -> None:
    row = tuple(VALUES[Chunk][name] for name in insert_for(Chunk, without_id=True).columns)
    await run(store, Chunk, [row] * 70, without_id=True)
    async with transaction(store) as session:
        assert (await session.execute(select(func.count(), func.sum(func.length(Chunk.times))))).one() == (
            70,
            70 * 32768,
        )


async def test_an_ended_call_replaces_its_running_row(store: AsyncEngine) -> None:
    columns = insert_for(Span, upsert=True).columns
    spans = [{**VALUES[Span], "id": key, "number": key} for key in range(300)]
    ended = [{**span, "duration": 5, "status": "ok"} for span in spans[100:200]]
    for rows in (spans, ended, ended):
        await run(store, Span, [tuple(span[name] for name in columns) for span in rows], upsert=True)
    async with transaction(store) as session:
        found = (await session.execute(select(Span.id, Span.duration, Span.status).order_by(Span.id))).all()
    expected = [(key, 5, "ok") if 100 <= key < 200 else (key, None, "running") for key in range(300)]
    assert [tuple(row) for row in found] == expected


async def test_a_key_that_is_there_is_never_overwritten(store: AsyncEngine) -> None:
    # PostgreSQL takes it for a batch that is sent again, which has brought this row before.
    columns = insert_for(Event).columns
    event = tuple(VALUES[Event][name] for name in columns)
    await run(store, Event, [event])
    other = tuple({**VALUES[Event], "message": "other"}[name] for name in columns)
    if store.dialect.name == "sqlite":
        with pytest.raises(StoreError, match="UNIQUE"):
            await run(store, Event, [other])
    else:
        await run(store, Event, [other])
    async with transaction(store) as session:
        assert (await session.scalars(select(Event.message))).all() == ["m"]


async def test_a_row_that_comes_twice_replaces_itself(store: AsyncEngine) -> None:
    columns = insert_for(Series, upsert=True).columns
    rows = [tuple({**VALUES[Series], "provenance": said}[name] for name in columns) for said in ("measured", "absent")]
    await run(store, Series, rows, upsert=True)
    async with transaction(store) as session:
        assert (await session.scalars(select(Series.provenance))).all() == ["absent"]


async def test_a_row_of_the_wrong_length_is_refused(store: AsyncEngine) -> None:
    with pytest.raises(StoreError, match=r"binding|expects 3 arguments"):
        await run(store, Sample, [(1, 2)], without_id=True)


def test_the_same_texts_serve_every_call() -> None:
    assert insert_for(Span, upsert=True) is insert_for(Span, upsert=True)
    assert insert_for(Span) is not insert_for(Span, upsert=True)


async def test_a_null_character_is_stored_as_an_escape_where_it_must(store: AsyncEngine) -> None:
    columns = insert_for(Event).columns
    await run(store, Event, [tuple({**VALUES[Event], "message": "a\0b"}[name] for name in columns)])
    async with transaction(store) as session:
        (message,) = (await session.scalars(select(Event.message))).all()
    assert message == ("a\0b" if store.dialect.name == "sqlite" else "a\\x00b")
