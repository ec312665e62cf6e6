"""What the engines for SQLite do beside what every database promises, and what their errors say."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from umlaut_async.errors import CorruptStoreError, NotAStoreError, StoreBusyError, StoreError
from umlaut_async.store import driver, sqlite
from umlaut_async.store.engine import journal_mode, open_store, reader_engine, sync_reader, transaction
from umlaut_async.store.failures import translate
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.journal import choose
from umlaut_async.store.location import APPLICATION_ID, SCHEMA_VERSION, Location, resolve
from umlaut_async.store.models import Base, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return resolve(tmp_path / "runs.db")


@pytest.fixture
async def store(location: Location) -> AsyncIterator[AsyncEngine]:
    engine = await open_store(location)
    yield engine
    await engine.dispose()


async def insert(session: AsyncSession, *times: int) -> None:
    connection = await session.connection()
    await insert_for(Sample, without_id=True).run(connection, [(1, t, 0.5) for t in times])


async def pragma(session: AsyncSession, name: str) -> object:
    return (await (await session.connection()).exec_driver_sql(f"PRAGMA {name}")).scalar_one()


def stored(location: Location) -> list[int]:
    with contextlib.closing(sqlite3.connect(str(location.path), timeout=0)) as other:
        return [t for (t,) in other.execute("SELECT t FROM sample ORDER BY t")]


@pytest.mark.usefixtures("store")
def test_a_new_database_is_marked_as_ours_and_has_a_log(location: Location) -> None:
    with contextlib.closing(sqlite3.connect(str(location.path))) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert other.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = {name for (name,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == set(Base.metadata.tables)


async def test_a_durable_transaction_is_synced_and_the_others_are_not(store: AsyncEngine) -> None:
    for durable, synchronous in ((False, 1), (True, 2), (True, 2), (False, 1), (False, 1)):
        async with transaction(store, durable=durable) as session:
            assert await pragma(session, "synchronous") == synchronous
    assert await journal_mode(store) == "wal"


async def test_a_transaction_holds_the_write_lock_from_its_start(location: Location, store: AsyncEngine) -> None:
    with contextlib.closing(sqlite3.connect(str(location.path), timeout=0, isolation_level=None)) as other:
        async with transaction(store):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


RACE = """
import asyncio, os, sys
from umlaut_async.store.engine import journal_mode, open_store, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import look, resolve
from umlaut_async.store.models import Sample

async def write(path, number):
    location = resolve(path)
    look(location, "a")
    engine = await open_store(location)
    async with transaction(engine) as session:
        connection = await session.connection()
        await insert_for(Sample, without_id=True).run(connection, [(number, t, 0.5) for t in range(100)])
    await engine.dispose()

folder, writers, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for round in range(rounds):
    start, go = os.pipe()
    children = []
    for number in range(writers):
        if not (child := os.fork()):
            os.close(go)
            os.read(start, 1)
            try:
                asyncio.run(write(f"{folder}/{round}.db", number))
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(start)
    os.close(go)
    failed = [status for child in children if (status := os.waitpid(child, 0)[1])]
    print(len(failed))
"""


def test_sixteen_processes_may_make_one_database_at_once(tmp_path: Path) -> None:
    rounds = 6
    command = [sys.executable, "-W", "error", "-c", RACE, str(tmp_path), "16", str(rounds)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (out.returncode, out.stdout.split(), out.stderr) == (0, ["0"] * rounds, "")
    for number in range(rounds):
        with contextlib.closing(sqlite3.connect(tmp_path / f"{number}.db")) as connection:
            rows = connection.execute("SELECT series_id, count(*) FROM sample GROUP BY series_id").fetchall()
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert rows == [(writer, 100) for writer in range(16)]


async def test_opening_waits_for_one_who_is_about_to_make_the_database(location: Location) -> None:
    with contextlib.closing(sqlite3.connect(str(location.path), isolation_level=None)) as other:
        # SQLite refuses to begin a log at once, whatever the busy timeout, while another connection writes without one.
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.2, other.execute, "COMMIT")
        engine = await open_store(location)
    assert await journal_mode(engine) == "wal"
    await engine.dispose()


@pytest.mark.parametrize("steps", range(8))
async def test_a_close_that_is_stopped_ends(tmp_path: Path, steps: int) -> None:
    connection = driver.Connection(str(tmp_path / "runs.db"), isolation_level=None, check_same_thread=False)
    await connection
    closing = asyncio.create_task(connection.close())
    for _ in range(steps):
        await asyncio.sleep(0)
        time.sleep(0.002)
    stopped = connection.stop()
    await asyncio.wait_for(closing, 5)
    if stopped is not None:
        # The thread answers this too, and must find the loop of the test still open.
        await asyncio.wait_for(stopped, 5)


def test_a_process_that_never_closes_its_engine_ends(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from umlaut_async.store.engine import journal_mode, open_store\n"
        "from umlaut_async.store.location import resolve\n"
        "engine = asyncio.run(open_store(resolve(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "runs.db")]
    assert subprocess.run(command, timeout=20).returncode == 0


async def test_without_a_log_every_commit_is_synced(caplog: pytest.LogCaptureFixture) -> None:
    # A database in memory is the one that refuses a log on every machine.
    async with driver.Connection(":memory:", isolation_level=None) as opened:
        connection = cast("driver.Connection", opened)
        assert await sqlite._prepare_driver(choose("x"), "x", connection) == "always FULL"
        async with connection.execute("PRAGMA synchronous") as cursor:
            assert await cursor.fetchone() == (2,)
    assert "no write-ahead log" in caplog.text


async def test_a_missing_folder(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(StoreError, match="folder must exist"):
        await open_store(resolve(tmp_path / "missing" / "runs.db"))
    async with asyncio.timeout(5):
        # The thread of a connection that was refused has a last answer to give, while the loop is there.
        while set(threading.enumerate()) - before:
            await asyncio.sleep(0.01)


async def test_a_file_that_became_anothers_since_it_was_looked_at(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmark (url)")
    (tmp_path / "text.db").write_text("text" * 1000)
    for name in ("other.db", "text.db"):
        before = (tmp_path / name).stat()
        with pytest.raises(NotAStoreError):
            await open_store(resolve(tmp_path / name))
        assert (tmp_path / name).stat().st_size == before.st_size


async def test_a_full_disk(location: Location, store: AsyncEngine) -> None:
    async with transaction(store) as session:
        await pragma(session, "max_page_count = 60")
    with pytest.raises(StoreError, match="no space left"):
        async with transaction(store) as session:
            await insert(session, *range(100_000))
    async with transaction(store) as session:
        await insert(session, 7)
    assert stored(location) == [7]


async def test_a_database_that_another_program_locks(location: Location, store: AsyncEngine) -> None:
    async with transaction(store) as session:
        await pragma(session, "busy_timeout = 50")
    with contextlib.closing(sqlite3.connect(str(location.path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match=r"runs\.db is locked"):
            async with transaction(store) as session:
                await insert(session, 1)
    async with transaction(store) as session:
        await insert(session, 2)
    assert stored(location) == [2]


async def test_a_database_that_is_damaged_while_it_is_open(location: Location, tmp_path: Path) -> None:
    engine = await open_store(location)
    async with transaction(engine) as session:
        await insert(session, *range(20_000))
    await engine.dispose()
    path = tmp_path / "runs.db"
    content = bytearray(path.read_bytes())
    content[4096 * 10 :] = b"\xa5" * (len(content) - 4096 * 10)
    path.write_bytes(content)
    engine = await open_store(location)
    with pytest.raises(CorruptStoreError, match="damaged"):
        async with transaction(engine) as session:
            await session.execute(select(Sample.value))
    await engine.dispose()


def test_errors_of_others_pass_translation() -> None:
    with pytest.raises(KeyError), translate("runs.db"):
        raise KeyError


@pytest.mark.usefixtures("store")
async def test_a_readers_session_does_not_hold_up_a_checkpoint(location: Location) -> None:
    reader = reader_engine(location)
    async with AsyncSession(reader) as session:
        assert (await session.scalars(select(Sample.t))).all() == []
        with contextlib.closing(sqlite3.connect(str(location.path), timeout=0)) as other:
            other.execute("INSERT INTO sample (series_id, t, value) VALUES (1, 1, 0.5)")
            other.commit()
            busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0
    await reader.dispose()


@pytest.mark.usefixtures("store")
async def test_a_reader_does_not_trust_the_file(location: Location) -> None:
    reader = sync_reader(location)
    with Session(reader) as session:
        connection = session.connection()
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("query_only", "trusted_schema", "cell_size_check", "mmap_size")
        }
    reader.dispose()
    assert pragmas == {"query_only": 1, "trusted_schema": 0, "cell_size_check": 1, "mmap_size": 0}
