"""From when to when a run lasts: the time of the user, without that of its opening and of its last writing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from tests.support import Row, Rows

WAIT = 0.3

pytestmark = pytest.mark.parametrize("collector", ["thread", "process"])


@contextmanager
def locked(database: Path) -> Iterator[sqlite3.Connection]:
    """Let nobody write a database until the connection rolls back."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("begin immediate")
        yield other


def check(rows: Rows) -> Row:
    """Return the run that was begun last, in which all lies that was recorded in it."""
    (run,) = rows("select * from run order by rowid desc limit 1")
    processes = rows("select * from process where run_uuid = ?", run["uuid"])
    assert min(process["started"] for process in processes) == run["started"]
    assert all(run["started"] <= process["ended"] <= run["ended"] for process in processes)
    assert all(process["last_seen"] == process["ended"] for process in processes)
    moments = rows(
        "select started as moment, process_id from span union all select started + duration, process_id from span"
        " union all select recorded, process_id from result"
    )
    ours = {process["id"] for process in processes}
    assert all(run["started"] <= row["moment"] <= run["ended"] for row in moments if row["process_id"] in ours)
    return run


async def test_waiting_for_the_opening_and_for_the_end_is_not_time_of_the_run(
    written: Path, rows: Rows, collector: str
) -> None:
    benchmark = Benchmark(written, collector=collector)
    with locked(written) as other:
        opening = asyncio.create_task(benchmark.open())
        await asyncio.sleep(WAIT)
        opened = time.time_ns()
        other.execute("rollback")
        await opening
    BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")(len)([])
    with locked(written) as other:
        ending = asyncio.create_task(benchmark.close())
        await asyncio.sleep(WAIT)
        ended = time.time_ns()
        other.execute("rollback")
        await ending
    run = check(rows)
    assert run["started"] >= opened
    assert run["ended"] <= ended - WAIT * 5e8


async def test_a_call_during_the_opening_begins_the_run(written: Path, rows: Rows, collector: str) -> None:
    benchmark = Benchmark(written, collector=collector)
    with locked(written) as other:
        opening = asyncio.create_task(benchmark.open())
        await asyncio.sleep(WAIT / 2)
        BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")(len)([])
        await asyncio.sleep(WAIT / 2)
        other.execute("rollback")
        await opening
    await benchmark.close()
    (call,) = rows("select * from span")
    assert check(rows)["started"] == call["started"]


async def test_what_outlives_its_run_or_is_in_other_processes_lies_within_it(
    database: Path, rows: Rows, collector: str
) -> None:
    benchmark = Benchmark(database, collector=collector)

    @BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")
    async def items() -> AsyncGenerator[int]:
        yield 1

    async with benchmark:
        left = items()
        await anext(left)
        BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")(len)([])
        if (child := os.fork()) == 0:
            BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")(time.sleep)(0.01)
            asyncio.run(benchmark.close())
            os._exit(0)
        assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
    await left.aclose()
    check(rows)
    assert sorted(row["status"] for row in rows("select status from span")) == ["abandoned", "ok", "ok"]
    assert len(rows("select id from process")) == 2
