"""Samples and edge readings: enough of them, exact at the edges, and not more for a thousand calls than for one."""

from __future__ import annotations

import asyncio
import threading
import time
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import pytest

from tests.support import best_of_three_awaited, seconds
from umlaut_async import BenchmarkSupervisor, CPUMetric, IOMetric, MemoryMetric, Metric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import EndedCalls, Row, Rows
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone

CONCURRENT = 1000


class Gauge(Metric):
    """A constant that counts its readings."""

    measure_type = "gauge"
    unit = "things"

    def __init__(self, description: str, interval: float = 1) -> None:
        super().__init__(description, interval)
        self.readings: list[float] = []

    def read(self) -> float:
        self.readings.append(perf_counter())
        return 3.5


class Counter(Metric):
    """A number that only grows, by what the test adds."""

    measure_type = "counter"
    unit = "things"
    counter = True

    def __init__(self, description: str, interval: float = 1) -> None:
        super().__init__(description, interval)
        self.total = 1000
        self.was_read = threading.Event()

    def read(self) -> float:
        self.was_read.set()
        return self.total


def samples_in(rows: Rows, measure_type: str, call: Row) -> list[Row]:
    """Return the samples of a type within the window of a call; a short test fills no chunk."""
    assert rows("select * from chunk") == []
    return rows(
        "select sample.* from sample join series on series.id = series_id where type = ? and t between ? and ?"
        " order by t",
        measure_type,
        call["started"],
        call["started"] + call["duration"],
    )


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def compute(seconds: float) -> None:
    end = perf_counter() + seconds
    total = 0
    while perf_counter() < end:
        total += sum(number * number for number in range(1000))


@pytest.mark.parametrize("block", [sleep, compute])
async def test_a_blocked_event_loop_does_not_stop_the_sampling(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, block: Callable[[float], None]
) -> None:
    @BenchmarkSupervisor([CPUMetric("cpu", 0.05), MemoryMetric("memory", 0.05)], benchmark)
    async def stage() -> None:
        block(1)

    await benchmark.open()
    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    for measure_type in ("cpu", "memory"):
        samples = samples_in(rows, measure_type, call)
        assert len(samples) >= 18
        assert [sample["t"] for sample in samples] == sorted({sample["t"] for sample in samples})
        assert call["results"][measure_type]["data"]["n"] >= 18
    assert all(sample["value"] > 1 for sample in samples_in(rows, "memory", call))
    (series,) = rows("select * from series where type = 'memory'")
    assert (series["unit"], series["provenance"], series["interval"]) == ("MiB", "measured", 50_000_000)


async def test_a_call_shorter_than_the_interval_has_its_results(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    gauge = Gauge("gauge")

    @BenchmarkSupervisor([CPUMetric("cpu"), MemoryMetric("memory"), IOMetric("io"), gauge], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.05)

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    assert set(call["results"]) == {"cpu", "memory", "io", "gauge"}
    for result in call["results"].values():
        assert result["value"] >= 0
        # What the caller does not read itself may come late for so short a call.
        assert result["provenance"] == "measured" or result["type"] == "gauge"
    assert call["results"]["memory"]["value"] > 1
    assert call["results"]["gauge"]["value"] == 3.5
    assert call["results"]["gauge"]["data"] | {"n": 1} == {
        "n": 1, "min": 3.5, "mean": 3.5, "max": 3.5, "first": 3.5, "last": 3.5,
    }  # fmt: skip
    assert call["results"]["gauge"]["data"]["n"] >= 1


async def test_the_first_call_of_a_run_has_its_results(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    stage = BenchmarkSupervisor([CPUMetric("cpu"), MemoryMetric("memory")], benchmark)(compute)
    stage(0.005)
    await benchmark.flush()
    (call,) = ended_calls()
    assert set(call["results"]) == {"cpu", "memory"}


async def test_the_cpu_of_a_call_is_the_difference_of_the_process_cpu(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    used: list[float] = []

    @BenchmarkSupervisor([CPUMetric("cpu", interval=1)], benchmark)
    async def stage() -> None:
        start = process_time()
        compute(0.3)
        used.append(process_time() - start)

    async def measure() -> float:
        await stage()
        await benchmark.flush()
        call = ended_calls()[-1]
        recorded = call["results"]["cpu"]["value"] / 100 * seconds(call)
        assert call["results"]["cpu"]["unit"] == "%"
        return float(abs(recorded / used[-1] - 1))

    await best_of_three_awaited(0.02, measure)


async def test_the_cpu_of_short_calls_is_never_skipped(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    used: list[float] = []

    @BenchmarkSupervisor([CPUMetric("cpu", interval=1)], benchmark)
    async def stage() -> None:
        start = process_time()
        compute(0.004)
        used.append(process_time() - start)

    async def measure() -> float:
        used.clear()
        for _ in range(50):
            await stage()
        await benchmark.flush()
        calls = ended_calls()[-50:]
        assert all(call["results"]["cpu"]["value"] > 0 for call in calls)
        recorded = sum(call["results"]["cpu"]["value"] / 100 * seconds(call) for call in calls)
        return float(abs(recorded / sum(used) - 1))

    # The edges themselves are part of so short a call.
    await best_of_three_awaited(0.10, measure)


async def test_the_memory_of_a_call_is_its_peak(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    kept: list[bytearray] = []

    @BenchmarkSupervisor([MemoryMetric("memory", interval=0.02)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.05)
        kept.append(bytearray(b"x") * (64 << 20))
        await asyncio.sleep(0.2)
        kept.clear()
        await asyncio.sleep(0.1)

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    result = call["results"]["memory"]
    assert result["value"] == result["data"]["max"]
    assert result["data"]["max"] - result["data"]["first"] >= 60
    assert result["data"]["max"] - result["data"]["last"] >= 60


async def test_the_value_of_an_own_counter_is_its_exact_difference(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    counter = Counter("counted", interval=0.05)

    @BenchmarkSupervisor([counter], benchmark)
    async def stage() -> None:
        counter.was_read.clear()
        await asyncio.to_thread(counter.was_read.wait, 5)
        counter.total += 40
        await asyncio.sleep(0.12)
        counter.total += 2

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    result = call["results"]["counter"]
    assert (result["value"], result["unit"], result["description"]) == (42, "things", "counted")


async def test_a_thousand_calls_cause_as_many_readings_as_one(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows
) -> None:
    gauge = Gauge("gauge", interval=0.1)

    @BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory", interval=0.1), gauge], benchmark)
    async def stage() -> None:
        await asyncio.sleep(2)

    started = perf_counter()
    await asyncio.gather(*(stage() for _ in range(CONCURRENT)))
    await benchmark.flush()
    calls = ended_calls()
    assert len(calls) == CONCURRENT
    assert all(call["results"]["memory"]["data"]["n"] >= 15 for call in calls)
    (count,) = rows(
        "select (select count(*) from sample where series_id = series.id)"
        " + (select coalesce(sum(n), 0) from chunk where series_id = series.id) as n"
        " from series where type = 'memory'"
    )
    # 20 periodic readings, and edges: at most one in a tenth of the interval, while calls begin and end.
    assert 15 <= count["n"] <= 45
    # Once all of them run, nothing but the periodic readings is left.
    settled = [reading for reading in gauge.readings if started + 0.4 <= reading <= started + 1.9]
    assert 11 <= len(settled) <= 17
    assert len(gauge.readings) < CONCURRENT


async def test_calls_at_different_intervals_do_not_share_their_samples(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows
) -> None:
    @BenchmarkSupervisor([MemoryMetric("fast", interval=0.02)], benchmark)
    async def fast() -> None:
        await asyncio.sleep(0.3)

    @BenchmarkSupervisor([MemoryMetric("slow", interval=0.1)], benchmark)
    async def slow() -> None:
        await asyncio.sleep(0.3)

    await asyncio.gather(fast(), slow(), fast())
    await benchmark.flush()
    assert sorted(row["interval"] for row in rows("select * from series")) == [20_000_000, 100_000_000]
    readings = {call["name"]: call["results"]["memory"]["data"]["n"] for call in ended_calls()}
    assert readings["fast"] >= 10
    assert readings["slow"] <= 8


async def test_the_sampling_stops_with_the_last_call(benchmark: Benchmark) -> None:
    gauge = Gauge("gauge", interval=0.02)

    @BenchmarkSupervisor([gauge], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)

    await stage()
    await asyncio.sleep(0.3)
    readings = len(gauge.readings)
    assert readings >= 3
    await asyncio.sleep(0.2)
    assert len(gauge.readings) == readings
    await stage()
    await benchmark.flush()
    assert len(gauge.readings) > readings


async def test_one_metric_object_serves_several_stages(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    metrics: list[Metric] = [MemoryMetric("memory", 0.02), Gauge("gauge", 0.02), CPUMetric("cpu", 0.02)]

    def supervise(name: str) -> BenchmarkSupervisor:
        return BenchmarkSupervisor(metrics, benchmark, name=name)

    @supervise("first")
    async def first() -> None:
        await asyncio.sleep(0.1)

    @supervise("second")
    async def second() -> None:
        await first()

    await asyncio.gather(first(), second())
    await benchmark.flush()
    calls = ended_calls()
    assert sorted(call["name"] for call in calls) == ["first", "first", "second"]
    assert all(set(call["results"]) == {"memory", "gauge", "cpu"} for call in calls)


async def test_a_result_names_its_series(benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows) -> None:
    @BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory", 0.02)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    (series,) = rows("select * from series")
    assert call["results"]["memory"]["series_id"] == series["id"]
    assert call["results"]["time"]["series_id"] is None
    assert call["results"]["time"]["data"] is None
