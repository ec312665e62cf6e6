"""The lag of event loops against clocks inside the stage: each call has that of its own loop and its own time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.support import best_of_three, best_of_three_awaited, calls_of
from umlaut_async import BenchmarkSupervisor, EventLoopLagMetric, Metric, TimeMetric
from umlaut_async.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support import EndedCalls, Row, Rows
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone

BLOCKS = 3
BLOCK = 0.5


@pytest.fixture
def flush(benchmark: Benchmark) -> Callable[[], None]:
    """Return a function that waits until everything is on disk."""
    return lambda: asyncio.run(benchmark.flush())


@pytest.fixture
def lags(database: Path, flush: Callable[[], None]) -> Callable[[str], list[Row]]:
    """Return a function that gives the lags of the calls of a stage."""

    def query(name: str) -> list[Row]:
        flush()
        return [call["results"]["looplag"] for call in calls_of(database, name)]

    return query


def in_threads(*works: Callable[[], object]) -> None:
    """Run functions at the same time, each in a thread of its own."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


async def test_a_blocked_loop_shows_each_block_with_its_time(benchmark: Benchmark, database: Path, rows: Rows) -> None:
    await benchmark.open()
    blocks: list[tuple[int, float]] = []

    @BenchmarkSupervisor([EventLoopLagMetric("lag")], benchmark)
    async def stage() -> None:
        blocks.clear()
        for _ in range(BLOCKS):
            await asyncio.sleep(0.4)
            before = perf_counter()
            time.sleep(0.5)
            blocks.append((time_ns(), perf_counter() - before))
        await asyncio.sleep(0.2)

    async def measure() -> float:
        await stage()
        await benchmark.flush()
        call = calls_of(database, "stage")[-1]
        found = rows(
            "select t, value from sample where value > 0.3 and t between ? and ? order by t",
            call["started"],
            call["started"] + call["duration"],
        )
        assert len(found) == BLOCKS
        assert call["results"]["looplag"]["value"] == max(block["value"] for block in found)
        lengths = [abs(block["value"] - length) for block, (_, length) in zip(found, blocks, strict=True)]
        times = [abs(block["t"] - ended) / 1e9 for block, (ended, _) in zip(found, blocks, strict=True)]
        return float(max(*lengths, *times))

    await best_of_three_awaited(0.03, measure)


@pytest.mark.parametrize("blocked_first", [True, False])
def test_of_two_loops_at_once_each_has_its_own_lag(
    benchmark: Benchmark, lags: Callable[[str], list[Row]], blocked_first: bool
) -> None:
    supervise = BenchmarkSupervisor([EventLoopLagMetric("lag")], benchmark)
    # Both calls are there before the block and after it, and it is known which of them came first.
    begun, met, left = threading.Event(), threading.Barrier(2, timeout=20), threading.Barrier(2, timeout=20)

    async def body(block: float) -> None:
        begun.set()
        await asyncio.to_thread(met.wait)
        await asyncio.sleep(0.1)
        time.sleep(block)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(left.wait)

    @supervise
    async def blocked() -> None:
        await body(BLOCK)

    @supervise
    async def calm() -> None:
        await body(0)

    first, second = (blocked, calm) if blocked_first else (calm, blocked)

    def run_second() -> None:
        assert begun.wait(20)
        asyncio.run(second())

    def measure() -> float:
        begun.clear()
        in_threads(lambda: asyncio.run(first()), run_second)
        own, other = lags("blocked")[-1], lags("calm")[-1]
        assert own["series_id"] != other["series_id"]
        assert own["value"] >= BLOCK / 2
        return float(max(abs(own["value"] - BLOCK), other["value"]))

    best_of_three(0.1, measure)


def test_a_stage_without_a_loop_takes_nothing_from_one_that_has_a_loop(
    benchmark: Benchmark, lags: Callable[[str], list[Row]], rows: Rows, database: Path
) -> None:
    lag = EventLoopLagMetric("my lag")

    @BenchmarkSupervisor([lag], benchmark)
    async def on_loop() -> None:
        for _ in range(6):
            await asyncio.sleep(0.05)

    @BenchmarkSupervisor([lag, TimeMetric("time")], benchmark)
    def alone() -> None:
        time.sleep(0.2)

    def run() -> None:
        asyncio.run(on_loop())

    def run_beside() -> None:
        time.sleep(0.05)
        for _ in range(2):
            alone()

    alone()
    in_threads(run, run_beside)
    (found,) = lags("on_loop")
    assert found["provenance"] == "measured"
    assert found["data"]["n"] >= 3
    assert [row["kind"] for row in rows("select kind from event")] == ["unavailable"]
    values = [call["results"].get("looplag", {}).get("value") for call in calls_of(database, "alone")]
    assert values == [None, None, None]
    document = json.loads(CliRunner().invoke(main, ["show", "--json", str(database)]).stdout)
    metrics = {stage["name"]: stage["metrics"]["looplag"] for stage in document["stages"]}
    assert (metrics["on_loop"]["n"], metrics["on_loop"]["provenance"]) == (1, "measured")
    assert (metrics["alone"]["n"], metrics["alone"]["provenance"]) == (0, "unavailable")


def test_where_there_is_no_loop_the_lag_is_unavailable(
    benchmark: Benchmark, flush: Callable[[], None], rows: Rows, caplog: pytest.LogCaptureFixture, database: Path
) -> None:
    @BenchmarkSupervisor([EventLoopLagMetric("my lag"), TimeMetric("time")], benchmark)
    def stage() -> int:
        return 5

    assert stage() == 5
    assert stage() == 5
    flush()
    assert [row["type"] for row in rows("select type from result where value is not null")] == ["time", "time"]
    # One result of the stage says so, not one for each call.
    assert [row["provenance"] for row in rows("select provenance from result where value is null")] == ["unavailable"]
    assert [row["provenance"] for row in rows("select provenance from series where type = 'looplag'")] == [
        "unavailable"
    ]
    (event,) = rows("select * from event")
    assert event["kind"] == "unavailable"
    assert event["data"] == {
        "type": "looplag",
        "description": "my lag",
        "reason": "a stage with it ran on no asyncio event loop",
        "cure": "use it on coroutines, and on what they call",
    }
    assert len([record for record in caplog.records if record.name == "umlaut_async"]) == 1
    shown = CliRunner().invoke(main, ["show", str(database)]).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("my lag ")]
    assert event["data"]["reason"] in line
    assert event["data"]["cure"] in line


def test_loops_one_after_the_other_share_one_series_and_give_no_cause_for_complaint(
    benchmark: Benchmark, lags: Callable[[str], list[Row]], rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    @BenchmarkSupervisor([EventLoopLagMetric("lag", 0.01)], benchmark)
    async def stage(number: int) -> None:
        if number % 2:
            await asyncio.sleep(0.02)

    for number in range(20):
        asyncio.run(stage(number))
    found = lags("stage")
    assert len(found) == 20
    assert all(lag["value"] is not None for lag in found)
    assert len({lag["series_id"] for lag in found}) == 1
    assert rows("select message from event where kind != 'missed-ticks'") == []
    assert [record.getMessage() for record in caplog.records if record.name == "umlaut_async"] == []


async def test_a_block_belongs_to_the_call_in_which_it_was(benchmark: Benchmark, database: Path) -> None:
    supervise = BenchmarkSupervisor([EventLoopLagMetric("lag")], benchmark)

    @supervise
    async def blocks_at_its_end() -> None:
        await asyncio.sleep(0.2)
        time.sleep(BLOCK)

    @supervise
    async def follows() -> None:
        await asyncio.sleep(0.2)

    @supervise
    async def never_awaits() -> None:
        time.sleep(0.3)

    async def measure() -> float:
        await blocks_at_its_end()
        await follows()
        await never_awaits()
        await benchmark.flush()
        latest = {call["name"]: call["results"]["looplag"]["value"] for call in calls_of(database)}
        return float(
            max(
                abs(latest["blocks_at_its_end"] - BLOCK),
                abs(latest["never_awaits"] - 0.3),
                latest["follows"],
            )
        )

    await best_of_three_awaited(0.1, measure)


def test_a_loop_that_stands_between_two_calls_is_not_blocked(
    benchmark: Benchmark, lags: Callable[[str], list[Row]]
) -> None:
    @BenchmarkSupervisor([EventLoopLagMetric("lag", 0.01)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)

    def measure() -> float:
        loop = asyncio.new_event_loop()
        try:
            for _ in range(3):
                loop.run_until_complete(stage())
                time.sleep(0.3)
        finally:
            loop.close()
        return max(float(lag["value"]) for lag in lags("stage")[-3:])

    best_of_three(0.15, measure)


class Own(Metric):
    """A client of a server, as users have them: each loop has its own."""

    measure_type = "own"
    unit = "things"

    def __init__(self) -> None:
        super().__init__("mine", 0.02)
        self.clients: dict[asyncio.AbstractEventLoop, float] = {}

    async def read(self) -> float:
        return self.clients[asyncio.get_running_loop()]


def test_an_own_metric_asks_only_the_client_of_the_loop_of_the_call(
    benchmark: Benchmark, flush: Callable[[], None], ended_calls: EndedCalls
) -> None:
    metric = Own()
    met, left = threading.Barrier(2, timeout=20), threading.Barrier(2, timeout=20)

    @BenchmarkSupervisor([metric], benchmark, name="stage")
    async def stage() -> None:
        await asyncio.to_thread(met.wait)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(left.wait)

    async def run(client: float) -> None:
        metric.clients[asyncio.get_running_loop()] = client
        await stage()
        await benchmark.flush()

    in_threads(lambda: asyncio.run(run(1.0)), lambda: asyncio.run(run(2.0)))
    found: list[dict[str, Any]] = [call["results"]["own"]["data"] for call in ended_calls("stage")]
    assert sorted((data["min"], data["max"]) for data in found) == [(1.0, 1.0), (2.0, 2.0)]
    assert all(data["n"] >= 4 for data in found)
