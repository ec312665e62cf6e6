"""Databases of version 1 of the schema: read as they are, and brought up to date by who writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from tests.cli.conftest import store, umlaut
from tests.cli.rows import process, result, run, span
from tests.figures.sampled import series
from tests.store.test_queries import location
from tests.support import execute, read
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric
from umlaut_async.analysis import Results
from umlaut_async.models import Series as PublicSeries
from umlaut_async.store.engine import open_store, reader_engine, sync_reader
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import SCHEMA_VERSION
from umlaut_async.store.models import Series, key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut
    from umlaut_async.store.location import Location

__all__ = ["location", "store", "umlaut"]

WITHOUT = "ALTER TABLE series DROP COLUMN description"
COLUMNS = "SELECT name FROM pragma_table_info('series')"


@pytest.fixture
def older(store: Store, database: Path) -> Path:
    """Return a file of version 1."""
    call = span("train")
    store(run(), process(), call, *series([1.0, 2.0]), result("memory", "MiB", 2.0, span=call.id, series_id=key(1, 1)))
    execute(database, WITHOUT)
    execute(database, "PRAGMA user_version = 1")
    return database


async def test_reading_leaves_it_as_it_is(older: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    before = older.read_bytes()
    exports = [("export", "-f", form) for form in ("csv", "otlp", "chrome")]
    for command, *options in (("show",), ("report", "-o", str(tmp_path / "out.html")), *exports):
        shown = umlaut(command, older, *options)
        assert (shown.exit_code, shown.stderr.count("fault")) == (0, 0), shown.stderr
    assert [*Results(older).run().samples("memory")["value"]] == [1.0, 2.0]
    async with Benchmark(older, mode="r") as benchmark:
        (found,) = await benchmark.session.scalars(select(PublicSeries))
        assert (found.type, found.source, found.description) == ("memory", "statm", "")
    assert older.read_bytes() == before


async def test_writing_brings_it_up_to_date(older: Path, umlaut: Umlaut) -> None:
    async with Benchmark(older) as benchmark:
        with BenchmarkSupervisor([MemoryMetric("of now")], benchmark, name="now"):
            pass
    assert read(older, "PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]
    assert [row["description"] for row in read(older, "SELECT description FROM series ORDER BY id")] == ["", "of now"]
    assert umlaut("show", older).exit_code == 0


async def test_on_every_database(location: Location) -> None:
    row = (key(1, 1), 1, "memory", "MiB", "statm", "measured", 10, "m")
    engine = await open_store(location)
    try:
        async with engine.begin() as connection:
            await insert_for(Series).run(connection, [row])
            await connection.execute(text(WITHOUT))
            version = "PRAGMA user_version = 1"
            if location.path is None:
                version = "COMMENT ON TABLE run IS 'umlaut_async, schema version 1'"
            await connection.execute(text(version))
    finally:
        await engine.dispose()
    reader = sync_reader(location)
    with Session(reader) as session:
        assert session.scalars(select(Series.description)).all() == [""]
    reader.dispose()
    asynchronous = reader_engine(location)
    async with AsyncSession(asynchronous) as other:
        assert (await other.scalars(select(Series.description))).all() == [""]
    await asynchronous.dispose()
    engine = await open_store(location)
    try:
        async with engine.begin() as connection:
            await insert_for(Series).run(connection, [(key(1, 2), *row[1:])])
            found = await connection.execute(select(Series.description).order_by(Series.id))
            assert [*found.scalars()] == ["", "m"]
    finally:
        await engine.dispose()
