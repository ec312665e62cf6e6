"""Generators that have not ended: how long each has been inside its producer so far, and whose time that is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.cli.rows import SECOND, process, run, span
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.analysis.selectors import select_one
from umlaut_async.analysis.stages import stage_table
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cli.conftest import Store
    from tests.support import Rows, RunScript

PAUSE = 0.03

KILLED = """
import asyncio, os, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark("runs.db", collector="process")

@BenchmarkSupervisor([TimeMetric("time")], bm)
async def load():
    time.sleep(0.03)
    yield 1

async def main():
    async with bm:
        loading = load()
        await anext(loading)
        await bm.flush()
        os._exit(1)

asyncio.run(main())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
async def test_the_time_inside_so_far_is_stored_at_each_flush(database: Path, rows: Rows, collector: str) -> None:
    benchmark = Benchmark(database, collector=collector)

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def load() -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(PAUSE)
            yield 1

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def train() -> list[int | None]:
        stored = []
        async for _ in load():
            await asyncio.sleep(PAUSE)
            await benchmark.flush()
            (call,) = rows("select * from span where name = 'load'")
            assert (call["status"], call["duration"]) == ("running", None)
            assert rows("select producing from span where name = 'train'") == [{"producing": None}]
            stored.append(call["producing"])
            if len(stored) == 2:
                break
        return stored

    first, second = await train()
    assert first is not None
    assert second is not None
    assert first >= PAUSE * 0.9e9
    assert second >= first + PAUSE * 0.9e9
    await benchmark.close()
    (call,) = rows("select producing, duration from span where name = 'load'")
    assert second <= call["producing"] <= call["duration"] - 2 * PAUSE * 0.9e9


def test_the_time_inside_is_known_of_what_was_killed(run_script: RunScript, rows: Rows) -> None:
    assert run_script(KILLED).returncode == 1
    support.until(lambda: rows("select * from run where status = 'lost'"))
    (call,) = rows("select * from span")
    assert call["status"] == "lost"
    assert call["producing"] >= 0.03 * 1e9


@pytest.mark.parametrize(
    ("producing", "shares"), [(3 * SECOND, [7, 2, 1]), (SECOND // 2, [9, 0, 1]), (None, [9, 0, 1]), (0, [9, 0, 1])]
)
@pytest.mark.parametrize("status", ["running", "lost"])
def test_an_open_generator_has_the_time_inside_and_its_consumer_the_rest(
    store: Store, database: Path, status: str, producing: int | None, shares: list[int]
) -> None:
    # What is elsewhere counts as alive as long as it was seen a short time ago.
    began, lasted = time.time_ns() - 10 * SECOND, None if status == "running" else 10 * SECOND
    open_call = {"started": began, "duration": lasted, "status": status}
    train = span("train", **open_call)
    load = span("load", kind="async generator", parent=train.id, producing=producing, **open_call)
    member = process()
    member.host, member.last_seen = "elsewhere", began + 10 * SECOND
    store(
        run(status=status, started=began, ended=None if lasted is None else began + lasted),
        member,
        train,
        load,
        span("read", parent=load.id, started=began + SECOND, duration=SECOND),
    )
    with reading(database) as session:
        table = stage_table(session, select_one(session, "last"))
    assert [round(stage.budget.share / SECOND, 6) for stage in table.stages] == shares
    assert table.untracked == 0
    if lasted is None:
        # The time of its calls that have ended is not known, nor what part of it was waiting.
        assert [stage.waiting for stage in table.stages] == [None, None, None]
