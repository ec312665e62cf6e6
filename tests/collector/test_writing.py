"""Samples on their way to the database: packed by the block, exactly once, whatever fails in between."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from umlaut_async.collector.account import Ledger
from umlaut_async.collector.beginning import open_writer
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series
from umlaut_async.errors import StoreError
from umlaut_async.probes import Probe
from umlaut_async.store.chunks import BLOCK, unpack
from umlaut_async.store.location import resolve
from umlaut_async.store.models import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support import Anywhere, Rows
    from umlaut_async.collector.writer import Writer

RUN = {
    "uuid": "run", "description": "", "name": "", "tags": [], "started": 1, "ended": None, "status": "running",
    "environment": {}, "collector": {},
}  # fmt: skip
PROCESS = {
    "host": "host", "pid": 1, "pid_started": 1, "rank": None, "started": 1, "last_seen": 1, "ended": None,
    "ending": None,
}  # fmt: skip


only_sqlite = pytest.mark.parametrize("anywhere", ["sqlite"], indirect=True)


@pytest.fixture
def rows(anywhere: Anywhere) -> Rows:
    """Return a function that queries the database."""
    return anywhere.read


@pytest.fixture
def series() -> Series:
    """Return a series of a gauge."""
    return Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test"), 1_000_000)


@pytest.fixture
def refusals() -> list[Exception]:
    """Return the list of what the database refused for good."""
    return []


@pytest.fixture
async def writer(anywhere: Anywhere, series: Series, refusals: list[Exception]) -> AsyncIterator[Writer]:
    """Yield a writer that knows the series."""
    writer, process_id = await open_writer(
        resolve(anywhere.db_file),
        replacing=None,
        run=RUN,
        process=PROCESS,
        ledger=Ledger(),
        refused=lambda count, error: refusals.append(error),
    )
    writer.add_series(process_id, series)
    yield writer
    await writer.close()


def stored(rows: Rows) -> list[tuple[int, float]]:
    """Return all samples in the database in the order of time, from chunks and from the tail."""
    found = [(row["t"], row["value"]) for row in rows("select t, value from sample")]
    for chunk in rows("select * from chunk"):
        times, values = unpack(chunk["times"], chunk["values"])
        assert chunk["n"] == len(times) == BLOCK
        assert (chunk["t0"], chunk["t1"]) == (times[0], times[-1])
        assert (chunk["min"], chunk["max"]) == (min(values), max(values))
        found += zip(times, values, strict=True)
    return sorted(found)


@pytest.mark.parametrize("batch", [1000, 10_000])
async def test_full_blocks_are_packed_and_the_rest_are_rows(
    writer: Writer, series: Series, rows: Rows, batch: int
) -> None:
    samples = [(t, t % 97 + 0.5) for t in range(1, 3 * BLOCK + 1002)]
    for start in range(0, len(samples), batch):
        for t, value in samples[start : start + batch]:
            series.log.insert(t, value)
        await writer.write(1, [], False)
    assert stored(rows) == samples
    assert rows("select count(*) as n from chunk") == [{"n": 3}]
    assert rows("select count(*) as n from sample") == [{"n": 1001}]
    # What is packed is not needed any more to be stored.
    assert len(series.log.pending_times) == 1001


async def test_a_late_sample_between_two_writes_is_stored_once(writer: Writer, series: Series, rows: Rows) -> None:
    for t in (10, 20, 30):
        series.log.insert(t, t)
    await writer.write(1, [], False)
    series.log.insert(15, 15)
    series.log.insert(40, 40)
    await writer.write(1, [], False)
    assert stored(rows) == [(10, 10), (15, 15), (20, 20), (30, 30), (40, 40)]


@only_sqlite
async def test_samples_wait_while_the_database_cannot_be_written(
    writer: Writer, series: Series, rows: Rows, database: Path
) -> None:
    expected = [(t, float(t)) for t in range(1, 2 * BLOCK)]
    for t, value in expected[:BLOCK]:
        series.log.insert(t, value)
    with closing(sqlite3.connect(database)) as limited:
        # A full disk, as far as SQLite is concerned: the limit belongs to the connection of the writer.
        pages = limited.execute("pragma page_count").fetchone()[0]
    await limit_pages(writer, pages)
    with pytest.raises(StoreError, match="no space"):
        await writer.write(1, [], False)
    for t, value in expected[BLOCK:]:
        series.log.insert(t, value)
    with pytest.raises(StoreError, match="no space"):
        await writer.write(1, [], False)
    await limit_pages(writer, 2**30)
    await writer.write(1, [], False)
    assert stored(rows) == expected


async def limit_pages(writer: Writer, pages: int) -> None:
    """Let the writer's connection extend the file to this many pages at the most."""
    from umlaut_async.store.engine import transaction

    async with transaction(writer._engine) as session:
        await (await session.connection()).exec_driver_sql(f"pragma max_page_count = {pages}")


async def test_samples_that_are_refused_cost_only_themselves(
    writer: Writer, series: Series, rows: Rows, refusals: list[Exception], anywhere: Anywhere
) -> None:
    anywhere.refuse("sample", 13)
    for t in (12, 13, 14):
        series.log.insert(t, t)
    await writer.write(1, [], False)
    assert stored(rows) == []
    assert ["unlucky" in str(error) for error in refusals] == [True]
    series.log.insert(15, 15)
    await writer.write(1, [], False)
    assert stored(rows) == [(15, 15)]


async def test_a_series_says_what_it_has_become(writer: Writer, series: Series, rows: Rows) -> None:
    await writer.write(1, [], False)
    assert [row["provenance"] for row in rows("select provenance from series")] == ["measured"]
    series.provenance = "unavailable"
    writer.add_series(1, series)
    await writer.write(1, [], False)
    assert [row["provenance"] for row in rows("select provenance from series")] == ["unavailable"]


def test_the_log_holds_plain_arrays(series: Series) -> None:
    series.log.insert(1, 1)
    assert (series.log.times, series.log.values) == (array("q", [1]), array("d", [1]))


async def test_records_that_are_refused_cost_only_themselves(
    writer: Writer, rows: Rows, refusals: list[Exception], anywhere: Anywhere
) -> None:
    anywhere.refuse("result", 13)
    for number in range(30):
        writer.add(unit(number))
    await writer.write(1, [], True)
    assert [row["value"] for row in rows("select value from result order by id")] == [n for n in range(30) if n != 13]
    assert ["unlucky" in str(error) for error in refusals] == [True]


def unit(number: int) -> tuple[None, tuple[object, ...]]:
    """Return the rows of a value that a user recorded."""
    return None, (key(1, number + 1), 1, None, "m", "t", "d", "u", float(number), None, None, "measured", 1)
