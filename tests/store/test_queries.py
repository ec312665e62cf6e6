"""Runs, stages, trackers, events and series as a reader finds them."""

from __future__ import annotations

import sqlite3
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

from umlaut_async.errors import CorruptStoreError
from umlaut_async.store import queries, values
from umlaut_async.store.chunks import BLOCK, pack
from umlaut_async.store.engine import open_store, sync_reader, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import Location, resolve
from umlaut_async.store.models import Base, Chunk, Event, Process, Result, Run, Sample, Span, key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support import Anywhere

only_sqlite = pytest.mark.parametrize("anywhere", ["sqlite"], indirect=True)

Rows = dict[type[Base], "list[tuple[Any, ...]]"]
WITHOUT_ID = (Sample, Chunk)


@pytest.fixture
def location(anywhere: Anywhere) -> Location:
    return resolve(anywhere.db_file)


@pytest.fixture
def session(location: Location) -> Iterator[Session]:
    engine = sync_reader(location)
    with Session(engine) as session:
        yield session
    engine.dispose()


async def store(location: Location, rows: Rows) -> None:
    engine = await open_store(location)
    async with transaction(engine) as session:
        connection = await session.connection()
        for model, several in rows.items():
            await insert_for(model, without_id=model in WITHOUT_ID).run(connection, several)
    await engine.dispose()


def run(uuid: str, started: int, status: str = "ok") -> tuple[Any, ...]:
    return (uuid, f"about {uuid}", "train.py", '["gpu"]', started, None, status, '{"python":"3"}', '{"recorded":3}')


def process(number: int, uuid: str) -> tuple[Any, ...]:
    return (number, uuid, "host", 1, 1, None, 0, 0, None, None)


def span(process_id: int, number: int, name: str, started: int, duration: int | None, **others: Any) -> tuple[Any, ...]:
    row = {"kind": "function", "status": "ok", **others}
    return (
        key(process_id, number), process_id, number, None, name, row["kind"], None, started, duration, None,
        row["status"], None,
    )  # fmt: skip


def result(
    number: int, process_id: int, call: int | None, type_: str, value: float | None, **others: Any
) -> tuple[Any, ...]:
    row = {
        "description": "description",
        "unit": "u",
        "data": None,
        "series": None,
        "provenance": "measured",
        "recorded": number,
        **others,
    }
    data = None if row["data"] is None else values.encode(row["data"])
    return (
        key(process_id, number), process_id, None if call is None else key(process_id, call), "method", type_,
        row["description"], row["unit"], value, data, row["series"], row["provenance"], row["recorded"],
    )  # fmt: skip


async def test_runs_come_newest_first(location: Location, session: Session) -> None:
    await store(location, {Run: [run("aaa1", 1), run("aab2", 3, "running"), run("bbb3", 2)]})
    assert [found.uuid for found in queries.runs(session)] == ["aab2", "bbb3", "aaa1"]
    newest = queries.runs(session)[0]
    assert (newest.name, newest.description, newest.tags) == ("train.py", "about aab2", ["gpu"])
    assert (newest.started, newest.ended, newest.status) == (3, None, "running")
    assert (newest.environment, newest.collector) == ({"python": "3"}, {"recorded": 3})


async def test_some_runs_by_their_uuids(location: Location, session: Session) -> None:
    await store(location, {Run: [run(f"{number:04}", number) for number in range(1200)]})
    assert [found.uuid for found in queries.runs(session, ["0003", "0007", "none"])] == ["0007", "0003"]
    assert queries.runs(session, []) == []
    (short,) = queries.runs(session, ["0003"], details=False)
    assert (short.environment, short.collector, short.uuid, short.tags) == (None, None, "0003", ["gpu"])
    assert queries.runs(session, [f"{number:04}" for number in range(1200)]) == queries.runs(session)


async def test_a_database_without_runs(location: Location, session: Session) -> None:
    await store(location, {})
    assert queries.runs(session) == []


async def test_stages_in_the_order_of_their_first_calls(location: Location, session: Session) -> None:
    await store(
        location,
        {
            Run: [run("one", 1), run("two", 2)],
            Process: [process(1, "one"), process(2, "one"), process(3, "two")],
            Span: [
                span(1, 1, "train", 50, 1_000),
                span(1, 2, "load", 10, 100),
                span(2, 1, "load", 5, 300, status="error"),
                span(2, 2, "load", 60, None, status="running"),
                span(2, 3, "load", 70, 7, kind="coroutine"),
                span(3, 1, "load", 1, 9_999),
            ],
            Result: [
                result(1, 1, 2, "cpu", 10.0, unit="%"),
                result(1, 2, 1, "cpu", 40.0, unit="%", provenance="estimated"),
                result(2, 1, 2, "throughput", 2.0),
                result(2, 2, 1, "throughput", 6.0),
                result(3, 1, 2, "power", None, provenance="unavailable", unit="Watt"),
                result(4, 1, 2, "loss", None, data=[1, 2]),
                result(5, 1, None, "cpu", 99.0),
                result(6, 1, 1, "time", 0.5, unit="sec"),
                result(1, 3, 1, "cpu", 77.0),
            ],
        },
    )
    load, train, load_later = queries.stages(session, "one")
    assert (load.name, load.kind, load.calls, load.time, load.first_started) == ("load", "function", 3, 400, 5)
    assert load.statuses == {"ok": 1, "error": 1, "running": 1}
    assert {type_: used[:6] for type_, used in load.metrics.items()} == {
        "cpu": ("%", 2, 25.0, 10.0, 40.0, "estimated"),
        "power": ("Watt", 0, None, None, None, "unavailable"),
        "throughput": ("u", 2, 4.0, 2.0, 6.0, "measured"),
    }
    # 200 entries and 1800 entries, in units of a nanosecond, by 400 of them.
    assert load.entries_per_second == pytest.approx(5.0)
    assert (train.name, train.calls, train.entries_per_second) == ("train", 1, None)
    assert {type_: used[:6] for type_, used in train.metrics.items()} == {
        "time": ("sec", 1, 0.5, 0.5, 0.5, "measured"),
    }  # fmt: skip
    assert (load_later.name, load_later.kind, load_later.calls, load_later.metrics) == ("load", "coroutine", 1, {})
    assert queries.stages(session, "nobody") == []


async def test_what_was_recorded_outside_of_calls(location: Location, session: Session) -> None:
    await store(
        location,
        {
            Run: [run("one", 1), run("two", 2)],
            Process: [process(1, "one"), process(2, "two")],
            Result: [
                result(1, 1, None, "loss", None, data=[0.5, float("nan")], recorded=9),
                result(2, 1, None, "speed", 3.5, unit="m/s", recorded=4),
                result(3, 1, 1, "cpu", 1.0),
                result(4, 2, None, "speed", 4.5),
            ],
        },
    )
    speed, loss = queries.trackers(session, "one")
    assert speed == queries.Tracked("method", "speed", "description", "m/s", 3.5, None, 4)
    assert (loss.type, loss.value, loss.data[0], str(loss.data[1])) == ("loss", None, 0.5, "nan")


async def test_repeated_events_are_one(location: Location, session: Session) -> None:
    def event(number: int, process_id: int, t: int, kind: str, message: str, data: Any = None) -> tuple[Any, ...]:
        return (key(process_id, number), process_id, t, kind, message, None if data is None else values.encode(data))

    await store(
        location,
        {
            Run: [run("one", 1), run("two", 2)],
            Process: [process(1, "one"), process(2, "two")],
            Event: [
                event(1, 1, 30, "unreadable", "power could not be read", {"type": "power"}),
                *(event(2 + i, 1, 10 + i, "drop", "full", {"count": i}) for i in range(4)),
                event(6, 1, 40, "drop", "too late"),
                event(1, 2, 5, "drop", "full"),
            ],
        },
    )
    assert queries.events(session, "one") == [
        queries.EventGroup("drop", "full", 4, 10, 13, {"count": 3}),
        queries.EventGroup("unreadable", "power could not be read", 1, 30, 30, {"type": "power"}),
        queries.EventGroup("drop", "too late", 1, 40, 40, None),
    ]


async def test_missed_samples_are_summed_up(location: Location, session: Session) -> None:
    def missed(number: int, message: str, data: Any) -> tuple[Any, ...]:
        return (key(1, number), 1, number, "missed-ticks", message, values.encode(data))

    await store(
        location,
        {
            Run: [run("one", 1)],
            Process: [process(1, "one")],
            Event: [
                missed(1, "of a", {"type": "a", "missed": 3}),
                missed(2, "of a", {"type": "a", "missed": 4}),
                missed(3, "of b", {"type": "b", "missed": 1}),
                missed(4, "of c", ["no number"]),
            ],
        },
    )
    assert queries.events(session, "one") == [
        queries.EventGroup("missed-ticks", "of a", 2, 1, 2, {"type": "a", "missed": 7}),
        queries.EventGroup("missed-ticks", "of b", 1, 3, 3, {"type": "b", "missed": 1}),
        queries.EventGroup("missed-ticks", "of c", 1, 4, 4, ["no number"]),
    ]


def blocks(series_id: int, times: Sequence[int], numbers: Sequence[float]) -> Rows:
    """Make the rows of a series: full blocks as chunks, the rest as samples."""
    full = len(times) - len(times) % BLOCK
    return {
        Chunk: [
            (series_id, *pack(array("q", times[i : i + BLOCK]), array("d", numbers[i : i + BLOCK])))
            for i in range(0, full, BLOCK)
        ],
        Sample: [(series_id, t, value) for t, value in zip(times[full:], numbers[full:], strict=True)],
    }


async def test_samples_come_back_whole_and_in_order(location: Location, session: Session) -> None:
    count = 2 * BLOCK + 100
    times, numbers = [10 * i for i in range(count)], [i / 7 for i in range(count)]
    await store(location, blocks(1, times, numbers))
    await store(location, blocks(2, [5], [0.5]))
    found = queries.samples(session, 1)
    assert (list(found.times), list(found.values)) == (times, numbers)
    for start, end in ((None, 95), (95, 95), (90, 90), (40_000, 82_000), (81_000, None), (10**9, None)):
        inside = [
            (t, v) for t, v in zip(times, numbers, strict=True) if (start or 0) <= t <= (10**9 if end is None else end)
        ]
        window = queries.samples(session, 1, start, end)
        assert list(zip(*window, strict=True)) == inside
    assert queries.samples(session, 3) == (array("q"), array("d"))


async def test_blocks_that_overlap_are_merged(location: Location, session: Session) -> None:
    times = [10 * i for i in range(2 * BLOCK)]
    times[BLOCK - 1], times[BLOCK] = times[BLOCK] + 5, times[BLOCK - 1]
    rows = blocks(1, times, [float(t) for t in times])
    rows[Sample] = [(1, 10 * 2 * BLOCK - 15, -1.0)]
    await store(location, rows)
    found = queries.samples(session, 1)
    assert list(found.times) == sorted([*times, 10 * 2 * BLOCK - 15])
    assert found.values[-2:] == array("d", [-1.0, 10.0 * (2 * BLOCK - 1)])


async def test_an_overview_of_a_window(location: Location, session: Session) -> None:
    times = list(range(3 * BLOCK + 50))
    await store(location, blocks(1, times, [float(t) for t in times]))
    tail = queries.series_overview(session, 1, 10, start=3 * BLOCK, end=3 * BLOCK + 49)
    assert [(step.t, step.n, step.min, step.mean, step.max) for step in tail] == [
        (start, 5, start, start + 2, start + 4) for start in range(3 * BLOCK, 3 * BLOCK + 50, 5)
    ]
    (middle,) = queries.series_overview(session, 1, 1, start=BLOCK + 1, end=2 * BLOCK - 2)
    assert (middle.n, middle.min, middle.max) == (BLOCK, BLOCK, 2 * BLOCK - 1)
    assert queries.series_overview(session, 2) == []


@only_sqlite
async def test_a_damaged_block_is_called_damaged(location: Location, session: Session) -> None:
    times, numbers = list(range(BLOCK)), [0.0] * BLOCK
    await store(location, blocks(1, times, numbers))
    connection = sqlite3.connect(str(location.path))
    connection.execute("UPDATE chunk SET times = 'text'")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptStoreError, match="block"):
        queries.samples(session, 1)


@only_sqlite
async def test_a_million_samples_are_small_and_their_overview_reads_headers_only(
    location: Location, session: Session
) -> None:
    count, peak = 1_000_000, 654_321
    times = array("q", range(0, count * 100_000_000, 100_000_000))
    numbers = array("d", [float(i % 1000) for i in range(count)])
    numbers[peak] = 1e6
    await store(location, blocks(1, times, numbers))
    path = Path(str(location.path))
    assert not Path(f"{path}-wal").exists()
    assert path.stat().st_size / count <= 20

    driver: Any = session.connection().connection.dbapi_connection
    read = set()

    def note(action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ:
            read.add((table, column))
        return sqlite3.SQLITE_OK

    driver.set_authorizer(note)
    before = bytes_read()
    steps = queries.series_overview(session, 1, 200)
    after = bytes_read()
    driver.set_authorizer(None)

    assert ("chunk", "max") in read
    assert not read & {("chunk", "times"), ("chunk", "values")}
    # The whole file has more than 16 million.
    assert after - before < 1_000_000
    assert 100 < len(steps) <= 200
    assert sum(step.n for step in steps) == count
    (highest,) = [step for step in steps if step.max == 1e6]
    assert highest.t - 410_000_000_000 <= times[peak] <= highest.t + 2 * 500_000_000_000
    assert min(step.min for step in steps) == 0
    assert all(480 < step.mean < 800 for step in steps)


def bytes_read() -> int:
    """Return how many bytes this process has read from files, or 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    return 0
