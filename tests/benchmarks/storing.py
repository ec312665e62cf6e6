"""What storing samples and results costs."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests import support
from tests.benchmarks.harness import Figures, Row, timed, timed_await
from tests.postgres import Server
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.beginning import open_writer
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series
from umlaut_async.probes import cpu_time
from umlaut_async.store.location import resolve
from umlaut_async.store.models import key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from umlaut_async.collector.writer import Writer

BATCHES = 20
BATCH = 10_000
RESULTS = 2_000
INTERVAL = 1_000_000


async def through_the_writer(db_file: str, read: Callable[[str], Any]) -> float:
    """Return how many samples the writer stores in a second, a batch for each transaction."""
    run: dict[str, Any] = {"uuid": "", "description": "", "name": "", "tags": [], "started": 0, "status": "running"}
    run |= {"environment": {}, "collector": {}}
    process: dict[str, Any] = {"host": "", "pid": 1, "started": 0, "last_seen": 0}
    writer, process_id = await open_writer(
        resolve(db_file), replacing=None, run=run, process=process, ledger=Ledger(), refused=lambda count, error: None
    )
    series = Series(
        Link(), number=1, measure_type="cpu", description="cpu", unit="%", probe=cpu_time(), interval=INTERVAL
    )
    series.provenance = "measured"
    writer.add_series(process_id, series)
    seconds = 0.0
    for batch in range(BATCHES):
        for number in range(batch * BATCH, (batch + 1) * BATCH):
            series.log.insert(number * INTERVAL, float(number))
        seconds += await timed_await(lambda: write(writer))
    await writer.close()
    stored = read("select (select coalesce(sum(n), 0) from chunk) + (select count(*) from sample) as n")[0]["n"]
    if stored != BATCHES * BATCH:
        raise RuntimeError(f"{stored} samples are stored, and not {BATCHES * BATCH}")
    return BATCHES * BATCH / seconds


async def results_through_the_writer(db_file: str, read: Callable[[str], Any]) -> float:
    """Return how many results, a row each, the writer stores in a second, a batch for each transaction."""
    run: dict[str, Any] = {"uuid": "r", "description": "", "name": "", "tags": [], "started": 0, "status": "running"}
    run |= {"environment": {}, "collector": {}}
    process: dict[str, Any] = {"host": "", "pid": 1, "started": 0, "last_seen": 0}
    ledger = Ledger()
    writer, process_id = await open_writer(
        resolve(db_file), replacing=None, run=run, process=process, ledger=ledger, refused=lambda count, error: None
    )
    seconds = 0.0
    for batch in range(BATCHES):
        for number in range(batch * RESULTS, (batch + 1) * RESULTS):
            row = (None, "train", "loss", "a loss", "loss", number / 7, None, None, "measured", number)
            writer.add((None, (key(process_id, number + 1), process_id, *row)))
        ledger.take(RESULTS)
        seconds += await timed_await(lambda: write(writer))
    await writer.close()
    stored = read("select count(*) as n from result")[0]["n"]
    if stored != BATCHES * RESULTS:
        raise RuntimeError(f"{stored} results are stored, and not {BATCHES * RESULTS}")
    return BATCHES * RESULTS / seconds


async def write(writer: Writer) -> None:
    """Store what is there, as the background writer does."""
    await writer.write(time.time_ns(), (), durable=False)


def by_hand(path: Path) -> float:
    """Return how many rows the standard library inserts in a second, with the same settings."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("create table sample (series_id integer, t integer, value real)")
        seconds = 0.0
        for batch in range(BATCHES):
            rows = [(1, number * INTERVAL, float(number)) for number in range(batch * BATCH, (batch + 1) * BATCH)]

            def insert(rows: list[tuple[int, int, float]] = rows) -> None:
                connection.execute("begin immediate")
                connection.executemany("insert into sample values (?, ?, ?)", rows)
                connection.execute("commit")

            seconds += timed(insert)
    return BATCHES * BATCH / seconds


def in_a_file(path: Path, store: Callable[[str, Callable[[str], Any]], Awaitable[float]]) -> float:
    """Return what a function measures on a new file."""
    return asyncio.run(ended(store(str(path), lambda sql: support.read(path, sql))))


async def ended(work: Awaitable[float]) -> float:
    """Return what comes of it."""
    return await work


def on_a_server(store: Callable[[str, Callable[[str], Any]], Awaitable[float]]) -> Figures:
    """Compare a PostgreSQL server, on this machine and as it is installed, with a file."""
    figures = Figures([], [])
    server = Server()
    try:
        for _ in range(5):
            server.clear()
            figures.ours.append(asyncio.run(ended(store(server.url(), server.read))))
            with TemporaryDirectory() as folder:
                figures.peer.append(in_a_file(Path(folder) / "runs.db", store))
    finally:
        server.remove()
    return figures


def samples() -> Figures:
    """Compare the samples stored in a second."""
    figures = Figures([], [])
    for _ in range(5):
        with TemporaryDirectory() as folder:
            figures.ours.append(in_a_file(Path(folder) / "ours.db", through_the_writer))
            figures.peer.append(by_hand(Path(folder) / "peer.db"))
    return figures


ROWS = [
    Row(
        "samples", "samples through the writer, by 10,000", "sqlite3 executemany, same pragmas", samples, 0.5, rate=True
    ),
    Row(
        "server-samples",
        "samples into PostgreSQL, by 10,000",
        "the same into SQLite",
        lambda: on_a_server(through_the_writer),
        None,
        rate=True,
    ),
    Row(
        "server-results",
        "results into PostgreSQL, by 2,000",
        "the same into SQLite",
        lambda: on_a_server(results_through_the_writer),
        None,
        rate=True,
    ),
]
