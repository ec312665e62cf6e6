"""What a transaction promises, whatever the database is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, models
from umlaut_async.errors import StoreError
from umlaut_async.store import queries
from umlaut_async.store.engine import open_store, reader_engine, run_transaction, sync_reader, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import resolve
from umlaut_async.store.models import Process, Run, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support import Anywhere

SLOW = {
    "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 2000000) SELECT count(*) FROM c",
    "postgresql": "SELECT pg_sleep(1)",
}


@pytest.fixture
async def store(anywhere: Anywhere) -> AsyncIterator[AsyncEngine]:
    engine = await open_store(resolve(anywhere.db_file))
    yield engine
    await engine.dispose()


async def insert(session: AsyncSession, *times: int | None) -> None:
    await insert_for(Sample, without_id=True).run(await session.connection(), [(1, t, 0.5) for t in times])


def stored(anywhere: Anywhere) -> list[int]:
    return [row["t"] for row in anywhere.read("select t from sample order by t")]


async def test_the_tables_are_made_once(anywhere: Anywhere, store: AsyncEngine) -> None:
    async with transaction(store) as session:
        await insert(session, 1)
    several = await asyncio.gather(*(open_store(resolve(anywhere.db_file)) for _ in range(4)))
    for number, engine in enumerate(several):
        async with transaction(engine) as session:
            await insert(session, 2 + number)
        await engine.dispose()
    assert stored(anywhere) == [1, 2, 3, 4, 5]


async def test_several_may_make_the_tables_at_once(anywhere: Anywhere) -> None:
    several = await asyncio.gather(*(open_store(resolve(anywhere.db_file)) for _ in range(8)))
    for engine in several:
        await engine.dispose()
    assert stored(anywhere) == []


async def test_an_exception_takes_back_the_whole_transaction(anywhere: Anywhere, store: AsyncEngine) -> None:
    error = LookupError("of the user")
    with pytest.raises(LookupError) as caught:
        async with transaction(store) as session:
            await insert(session, *range(3000))
            raise error
    assert caught.value is error
    async with transaction(store) as session:
        await insert(session, 7)
    assert stored(anywhere) == [7]


async def test_one_refused_row_takes_back_the_whole_transaction(anywhere: Anywhere, store: AsyncEngine) -> None:
    with pytest.raises(StoreError, match=r"NOT NULL|not-null"):
        async with transaction(store) as session:
            await insert(session, 1)
            await insert(session, None)
    async with transaction(store) as session:
        await insert(session, 7)
    assert stored(anywhere) == [7]


async def test_what_it_begins_with_is_part_of_it(anywhere: Anywhere, store: AsyncEngine) -> None:
    async with transaction(store) as session:
        session.add(Run(uuid="u", description="", name="", tags=[], started=1, status="", environment={}, collector={}))
        await session.flush()
        session.add(Process(id=5, run_uuid="u", host="", pid=1, started=1, last_seen=1))
    first = "UPDATE process SET last_seen = 2 WHERE id IN (5)"
    with pytest.raises(LookupError):
        async with transaction(store, first=first):
            raise LookupError
    assert anywhere.read("select last_seen from process") == [{"last_seen": 1}]
    async with transaction(store, first=first, durable=True):
        pass
    assert anywhere.read("select last_seen from process") == [{"last_seen": 2}]
    with pytest.raises(StoreError):
        async with transaction(store, first="UPDATE nonsense SET last_seen = 2"):
            pass
    async with transaction(store):
        pass


async def test_transactions_of_several_tasks_follow_each_other(anywhere: Anywhere, store: AsyncEngine) -> None:
    async def write(t: int) -> None:
        async with transaction(store) as session:
            await insert(session, t)

    await asyncio.gather(*map(write, range(30)))
    assert stored(anywhere) == list(range(30))


async def test_a_function_in_a_transaction(anywhere: Anywhere, store: AsyncEngine) -> None:
    async def work(session: AsyncSession) -> int:
        await insert(session, 1)
        return 5

    assert await run_transaction(store, work) == 5
    assert stored(anywhere) == [1]


@pytest.mark.parametrize("twice", [False, True])
async def test_a_cancelled_transaction_locks_nobody_out(anywhere: Anywhere, store: AsyncEngine, twice: bool) -> None:
    async def write() -> None:
        async with transaction(store) as session:
            await insert(session, 1)
            await (await session.connection()).exec_driver_sql(SLOW[store.dialect.name])

    task = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    task.cancel()
    if twice:
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with transaction(store) as session:
        await insert(session, 2)
    assert stored(anywhere) == [2]


@pytest.mark.parametrize("steps", range(12))
async def test_cancelling_at_any_step_leaves_all_or_nothing(anywhere: Anywhere, store: AsyncEngine, steps: int) -> None:
    async def write() -> None:
        async with transaction(store, durable=True) as session:
            await insert(session, 1)
            await insert(session, 2)

    task = asyncio.create_task(write())
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.sleep(0 if steps % 2 else 0.0005)
    task.cancel()
    await asyncio.wait([task])
    async with transaction(store) as session:
        await insert(session, 3)
    assert stored(anywhere) in ([3], [1, 2, 3])


async def test_a_readers_session_sees_what_is_new_and_cannot_write(anywhere: Anywhere, store: AsyncEngine) -> None:
    reader = reader_engine(resolve(anywhere.db_file))
    async with AsyncSession(reader) as session:
        assert (await session.scalars(select(Sample.t))).all() == []
        async with transaction(store) as writing:
            await insert(writing, 1)
        assert (await session.scalars(select(Sample.t))).all() == [1]
        session.add(Sample(series_id=1, t=2, value=0.5))
        with pytest.raises(DBAPIError, match=r"read-?only"):
            await session.commit()
    await reader.dispose()
    assert stored(anywhere) == [1]


async def test_a_readers_session_without_asyncio_sees_one_state(anywhere: Anywhere, store: AsyncEngine) -> None:
    reader = sync_reader(resolve(anywhere.db_file))
    with Session(reader) as session:
        assert session.scalars(select(Sample.t)).all() == []
        async with transaction(store) as writing:
            await insert(writing, 1)
        assert session.scalars(select(Sample.t)).all() == []
    with Session(reader) as session:
        assert session.scalars(select(Sample.t)).all() == [1]
        session.add(Sample(series_id=1, t=2, value=0.5))
        with pytest.raises(DBAPIError, match=r"read-?only"):
            session.commit()
    reader.dispose()


async def test_a_whole_run(anywhere: Anywhere) -> None:
    async with Benchmark(anywhere.db_file, "whole", tags=["a"]) as benchmark:

        @BenchmarkSupervisor([CPUMetric("cpu", interval=0.01)], benchmark)
        async def stage(number: int) -> int:
            await asyncio.sleep(0.05)
            if number == 3:
                raise LookupError("three\0")
            return number

        await asyncio.gather(*map(stage, range(8)), return_exceptions=True)
        benchmark.log("räsult 🎉", "numbers", {"a": [1.5, float("inf")]})
        await benchmark.flush()
        results = (await benchmark.session.scalars(select(models.Result).where(models.Result.span.is_(None)))).all()
        assert [result.data for result in results] == [{"a": [1.5, float("inf")]}]
        account = benchmark.accounting
        assert (account.recorded, account.stored, account.dropped) == (9, 9, {})
    reader = sync_reader(resolve(anywhere.db_file))
    with Session(reader) as session:
        (run,) = queries.runs(session)
        (found,) = queries.stages(session, run.uuid)
        (tracked,) = queries.trackers(session, run.uuid)
    reader.dispose()
    assert (run.status, run.tags, run.collector["stored"]) == ("ok", ["a"], 9)
    assert (found.calls, found.statuses) == (8, {"ok": 7, "error": 1})
    assert found.time >= 8 * 50_000_000
    assert type(found.time) is int
    assert found.metrics["cpu"].n == 8
    assert tracked.description == "räsult 🎉"
    assert anywhere.read("select count(*) as n from sample")[0]["n"] > 0
