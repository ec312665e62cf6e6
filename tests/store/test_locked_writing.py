"""Writing with one lock between all processes, copying the log, and what a close leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.support import environment
from umlaut_async.errors import StoreBusyError, StoreError
from umlaut_async.store import sqlite as engines
from umlaut_async.store.engine import journal_mode, open_store, reader_engine, sync_reader, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.journal import Journal, choose
from umlaut_async.store.location import Location, look, resolve
from umlaut_async.store.lockfile import LockFile
from umlaut_async.store.models import Chunk, Sample
from umlaut_async.store.reading import reading
from umlaut_async.store.replacing import replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

LOCKED, UNLOCKED = Journal(log=True, lock=True, file_system=None), Journal(log=True, lock=False, file_system=None)
MEGABYTE = 1_000_000


@pytest.fixture
def location(database: Path) -> Location:
    return resolve(database)


@pytest.fixture(params=[LOCKED, UNLOCKED], ids=["locked", "unlocked"])
def journal(request: pytest.FixtureRequest) -> Journal:
    """Return how the database is written."""
    found: Journal = request.param
    return found


@pytest.fixture
async def store(location: Location) -> AsyncIterator[AsyncEngine]:
    engine = await open_store(location, LOCKED)
    yield engine
    await engine.dispose()


@pytest.fixture
def lock(location: Location) -> Iterator[LockFile]:
    """Yield a lock that another process could have."""
    lock = LockFile(f"{location.path}-lock")
    yield lock
    lock.close()


def is_free(lock: LockFile) -> bool:
    try:
        lock.acquire(0)
    except StoreBusyError:
        return False
    lock.release()
    return True


async def insert(engine: AsyncEngine, *times: int) -> None:
    async with transaction(engine) as session:
        await insert_for(Sample, without_id=True).run(await session.connection(), [(1, t, 0.5) for t in times])


async def insert_megabyte(engine: AsyncEngine) -> None:
    block = bytes(MEGABYTE // 20)
    rows = [(1, 0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0, block, block)] * 10
    async with transaction(engine) as session:
        await insert_for(Chunk, without_id=True).run(await session.connection(), rows)


def stored(location: Location) -> list[int]:
    with contextlib.closing(sqlite3.connect(f"file:{location.path}?mode=ro", uri=True)) as other:
        return [t for (t,) in other.execute("SELECT t FROM sample ORDER BY t")]


def test_this_sqlite_decides_by_default(database: Path) -> None:
    async def write() -> list[str]:
        engine = await open_store(resolve(database))
        try:
            await insert(engine, 1)
            return os.listdir(database.parent)
        finally:
            await engine.dispose()

    affected = choose(str(database)).lock
    assert (f"{database.name}-lock" in asyncio.run(write())) == affected


async def test_every_transaction_holds_the_lock_and_no_longer(store: AsyncEngine, lock: LockFile) -> None:
    for durable in (False, True):
        assert is_free(lock)
        async with transaction(store, durable=durable) as session:
            assert not is_free(lock)
            await insert_for(Sample, without_id=True).run(await session.connection(), [(1, 1, 0.5)])
            assert not is_free(lock)
        assert is_free(lock)
    with pytest.raises(LookupError):
        async with transaction(store):
            raise LookupError
    assert is_free(lock)
    with pytest.raises(StoreError):
        async with transaction(store, first="nonsense"):
            pass
    assert is_free(lock)
    await insert(store, 2)


async def test_a_transaction_waits_for_the_lock(location: Location, store: AsyncEngine, lock: LockFile) -> None:
    lock.acquire(0)
    writing = asyncio.create_task(insert(store, 7))
    await asyncio.sleep(0.2)
    assert stored(location) == []
    assert not writing.done()
    lock.release()
    await asyncio.wait_for(writing, 20)
    assert stored(location) == [7]


async def test_a_lock_that_never_comes_is_said(
    location: Location, lock: LockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BUSY_SECONDS", 0.2)
    engine = await open_store(location, LOCKED)
    lock.acquire(0)
    with pytest.raises(StoreBusyError, match="held by another process"):
        await insert(engine, 7)
    lock.release()
    await insert(engine, 8)
    assert stored(location) == [8]
    await engine.dispose()


@pytest.mark.parametrize("pause", [0, 0.001, 0.05])
async def test_who_is_cancelled_while_it_waits_leaves_the_lock_to_others(
    location: Location, store: AsyncEngine, lock: LockFile, pause: float
) -> None:
    lock.acquire(0)
    writing = asyncio.create_task(insert(store, 7))
    await asyncio.sleep(pause)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    lock.release()
    lock.acquire(20)
    lock.release()
    await insert(store, 8)
    assert stored(location) == [8]
    assert is_free(lock)


async def test_who_is_cancelled_while_it_begins_leaves_no_transaction_open(
    location: Location, store: AsyncEngine, lock: LockFile
) -> None:
    with contextlib.closing(sqlite3.connect(str(location.path), isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(insert(store, 7))
        while is_free(lock):
            await asyncio.sleep(0.01)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        other.execute("COMMIT")
        await asyncio.to_thread(lock.acquire, 20)
        lock.release()
        other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")
    assert stored(location) == []


async def test_only_transactions_that_hold_the_lock_copy_the_log(location: Location, journal: Journal) -> None:
    engine = await open_store(location, journal)
    log = Path(f"{location.path}-wal")
    async with transaction(engine) as session:
        connection = await session.connection()
        assert (await connection.exec_driver_sql("PRAGMA wal_autocheckpoint")).scalar_one() == 0
    for _ in range(30):
        await insert_megabyte(engine)
        # The limit, and what one transaction adds.
        assert log.stat().st_size < 8 * MEGABYTE + 2 * MEGABYTE
    assert Path(str(location.path)).stat().st_size > 20 * MEGABYTE
    await engine.dispose()


async def test_a_log_that_grew_behind_a_reader_is_cut_when_it_has_gone(location: Location, journal: Journal) -> None:
    engine = await open_store(location, journal)
    log = Path(f"{location.path}-wal")
    with contextlib.closing(sqlite3.connect(str(location.path), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sample").fetchall()
        for _ in range(15):
            await insert_megabyte(engine)
        assert log.stat().st_size > 14 * MEGABYTE
        reader.execute("COMMIT")
        for _ in range(3):
            await insert(engine, 1)
        assert log.stat().st_size <= 8_192_000
    await engine.dispose()


async def test_the_last_one_to_close_leaves_one_plain_file(location: Location, journal: Journal) -> None:
    path = Path(str(location.path))
    first, second = await open_store(location, journal), await open_store(location, journal)
    await insert(first, 1)
    await insert(second, 2)
    await first.dispose()
    assert Path(f"{path}-wal").exists()
    await insert(second, 3)
    assert await journal_mode(second) == "wal"
    await second.dispose()
    assert os.listdir(path.parent) == [path.name]
    reader = sync_reader(location)
    with reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sample")).scalar_one() == 3
    reader.dispose()
    assert os.listdir(path.parent) == [path.name]
    again = await open_store(location, journal)
    assert await journal_mode(again) == "wal"
    await again.dispose()


async def test_a_reader_that_is_there_at_the_close_goes_on(location: Location, journal: Journal) -> None:
    engine = await open_store(location, journal)
    await insert(engine, 1)
    with contextlib.closing(sqlite3.connect(f"file:{location.path}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT t FROM sample").fetchall() == [(1,)]
        began = time.monotonic()
        await engine.dispose()
        assert time.monotonic() < began + 10
        assert reader.execute("SELECT t FROM sample").fetchall() == [(1,)]
        again = await open_store(location, journal)
        await insert(again, 2)
        assert reader.execute("SELECT t FROM sample").fetchall() == [(1,), (2,)]
        await again.dispose()
    assert stored(location) == [1, 2]


async def test_a_close_waits_for_the_lock_but_not_for_ever(location: Location, lock: LockFile) -> None:
    engine = await open_store(location, LOCKED)
    await insert(engine, 1)
    lock.acquire(5)
    closing = asyncio.create_task(engine.dispose())
    await asyncio.sleep(0.2)
    assert not closing.done()
    await asyncio.wait_for(closing, 20)
    lock.release()
    assert stored(location) == [1]


KILLED = """
import asyncio, os, sys
from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.journal import Journal
from umlaut_async.store.location import resolve
from umlaut_async.store.models import Sample

async def write(path, log):
    engine = await open_store(resolve(path), Journal(log, log, None))
    async with transaction(engine) as session:
        await insert_for(Sample, without_id=True).run(await session.connection(), [(1, 1, 0.5)])
    async with transaction(engine) as session:
        connection = await session.connection()
        await connection.exec_driver_sql("pragma cache_size = 2")
        await insert_for(Sample, without_id=True).run(connection, [(1, t, 0.5) for t in range(2, 50_000)])
        os._exit(0)

asyncio.run(write(sys.argv[1], sys.argv[2] == "log"))
"""


def kill_a_writer(path: Path, journal: str) -> None:
    """Let a process die in the middle of its second transaction."""
    subprocess.run([sys.executable, "-c", KILLED, str(path), journal], env=environment(), check=True, timeout=30)


async def test_readers_leave_the_log_of_a_killed_writer_as_it_is(database: Path, location: Location) -> None:
    kill_a_writer(database, "log")
    before = database.read_bytes(), Path(f"{database}-wal").stat().st_size
    look(location, "a")
    with reading(database) as session:
        assert session.execute(text("SELECT t FROM sample")).scalars().all() == [1]
    reader = reader_engine(location)
    async with reader.connect() as connection:
        assert (await connection.execute(text("SELECT t FROM sample"))).scalars().all() == [1]
    await reader.dispose()
    # The last to close it copies the log into the database if it may, which only a writer does, under the lock.
    assert (database.read_bytes(), Path(f"{database}-wal").stat().st_size) == before
    await (await open_store(location)).dispose()
    assert stored(location) == [1]
    # Where SQLite needs no lock of ours, that of the killed one stays.
    assert {*os.listdir(database.parent)} - {f"{database.name}-lock"} == {database.name}


@pytest.mark.parametrize("mode", ["a", "w"])
async def test_without_a_log_what_a_killed_writer_left_is_taken_back_by_the_next_writer(
    database: Path, location: Location, mode: str
) -> None:
    kill_a_writer(database, "no log")
    with pytest.raises(StoreError, match=r"killed while it wrote.* mode 'a'"), reading(database) as session:
        session.execute(text("SELECT t FROM sample"))
    look(location, mode)
    if mode == "w":
        replace(location)
    await (await open_store(location)).dispose()
    assert stored(location) == ([1] if mode == "a" else [])
