"""One metric object in several runs and in several benchmarks: what it measures in one is nothing to the others."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.support import calls_of, entries, read
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    EnergyMetric,
    IOMetric,
    LatencyMetric,
    MemoryMetric,
    Metric,
    ThroughputMetric,
    TimeMetric,
)

if TYPE_CHECKING:
    from pathlib import Path


class Counter(Metric):
    measure_type = "own"
    unit = "readings"
    count = 0

    def read(self) -> int:
        self.count += 1
        return self.count


def metrics() -> tuple[ThroughputMetric, list[Metric]]:
    throughput = ThroughputMetric("throughput")
    return throughput, [
        TimeMetric("time"), throughput, LatencyMetric("latency"), CPUMetric("cpu", 0.02), MemoryMetric("memory", 0.02),
        IOMetric("io", 0.02), Counter("own", 0.02), EnergyMetric("energy"),
    ]  # fmt: skip


MEASURED = {"time", "throughput", "cpu", "memory", "io", "own"}
no_counters = not os.path.exists("/sys/class/powercap/intel-rapl")


@pytest.mark.parametrize("collector", ["thread", "process"])
async def test_over_two_runs_of_one_benchmark(database: Path, collector: str) -> None:
    throughput, every = metrics()
    benchmark = Benchmark(database, collector=collector)

    @BenchmarkSupervisor(every, benchmark)
    async def stage(number: int) -> None:
        throughput.track(number)
        await asyncio.sleep(0.1)
        throughput.track(number)

    uuids = []
    for tracked in ((1, 2), (30, 40)):
        async with benchmark:
            uuids.append(benchmark.uuid)
            for number in tracked:
                await stage(number)
    assert len(set(uuids)) == 2
    runs = read(database, "select process.id, run.uuid, status from run join process on run_uuid = uuid")
    assert {(run["uuid"], run["status"]) for run in runs} == {(uuid, "ok") for uuid in uuids}
    calls = calls_of(database)
    for uuid, tracked in zip(uuids, ((1, 2), (30, 40)), strict=True):
        (process,) = [run["id"] for run in runs if run["uuid"] == uuid]
        mine = [call for call in calls if call["process_id"] == process]
        assert [entries(call) for call in mine] == [2 * number for number in tracked]
        assert all(call["results"].keys() - {"energy"} == MEASURED for call in mine)
        series = read(database, "select * from series where process_id = ?", process)
        assert sorted(each["type"] for each in series) == ["cpu", "energy", "io", "memory", "own"]
        samples = read(database, "select t, type from sample join series on series.id = series_id"
                                 " where process_id = ?", process)  # fmt: skip
        # What is read at the edges at least.
        assert {sample["type"] for sample in samples} >= {"memory", "own"}
        assert all(mine[0]["started"] <= sample["t"] for sample in samples)
        if mine[0] is calls[0]:
            assert all(sample["t"] < calls[2]["started"] for sample in samples), "it was sampled on for another run"
        events = read(database, "select * from event where kind = 'unavailable' and process_id = ?", process)
        # Each run says for itself what it lacks.
        assert [event["data"]["type"] for event in events] == ["energy"] * no_counters
    values = [call["results"]["own"]["value"] for call in calls]
    assert values == sorted(set(values)), "the object itself lives on"


async def test_in_two_benchmarks_at_once(tmp_path: Path) -> None:
    throughput, every = metrics()
    benchmarks = [Benchmark(tmp_path / name) for name in ("one.db", "two.db")]
    one, two = (BenchmarkSupervisor(every, benchmark) for benchmark in benchmarks)

    @one
    async def inner(number: int) -> None:
        throughput.track(number)
        await asyncio.sleep(0.05)

    @two
    async def outer(number: int) -> None:
        throughput.track(100 * number)
        await inner(number)
        throughput.track(100 * number)

    async with benchmarks[0], benchmarks[1]:
        await asyncio.gather(*(outer(number) for number in range(1, 6)), inner(6))
    for name, expected in (("one.db", [1, 2, 3, 4, 5, 6]), ("two.db", [200, 400, 600, 800, 1000])):
        calls = calls_of(tmp_path / name)
        assert sorted(entries(call) for call in calls) == expected
        assert all(call["results"].keys() - {"energy"} == MEASURED for call in calls)
        types = [row["type"] for row in read(tmp_path / name, "select type from series order by type")]
        assert types == ["cpu", "energy", "io", "memory", "own"]
        events = read(tmp_path / name, "select * from event where kind = 'unavailable'")
        assert [event["data"]["type"] for event in events] == ["energy"] * no_counters


async def test_a_benchmark_that_ends_leaves_the_metric_to_the_other(tmp_path: Path) -> None:
    throughput, every = metrics()
    first, second = (Benchmark(tmp_path / name) for name in ("first.db", "second.db"))

    async def work(number: int) -> None:
        throughput.track(number)
        await asyncio.sleep(0.05)

    in_first, in_second = (BenchmarkSupervisor(every, benchmark)(work) for benchmark in (first, second))
    async with second:
        async with first:
            await asyncio.gather(in_first(1), in_second(2))
        await in_second(3)
    assert [entries(call) for call in calls_of(tmp_path / "first.db")] == [1]
    calls = calls_of(tmp_path / "second.db")
    assert [entries(call) for call in calls] == [2, 3]
    assert all(call["results"].keys() - {"energy"} == MEASURED for call in calls)
