"""`track`: which call takes the entries, and what latency and throughput make of them."""

from __future__ import annotations

import asyncio
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import check_message, entries, run_in_thread
from umlaut_async import BenchmarkSupervisor, LatencyMetric, NoRunningCallError, ThroughputMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support import EndedCalls, Rows
    from umlaut_async import Benchmark


async def test_tracked_entries_add_up_per_call_and_metric(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput, latency = ThroughputMetric("throughput"), LatencyMetric("latency")

    @BenchmarkSupervisor([throughput, latency], benchmark)
    async def stage(number: int) -> None:
        for _ in range(number):
            throughput.track(2)
            latency.track(5)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(stage(number) for number in (1, 2, 3)))
    await benchmark.flush()
    assert [(entries(call), entries(call, "latency")) for call in ended_calls()] == [(2, 5), (4, 10), (6, 15)]
    units = {kind: result["unit"] for kind, result in ended_calls()[0]["results"].items()}
    assert units == {"throughput": "Entries/second", "latency": "Seconds/entry"}


async def test_entries_need_not_be_whole_nor_plain(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    import numpy as np

    throughput = ThroughputMetric("throughput")

    @BenchmarkSupervisor([throughput], benchmark)
    async def stage() -> None:
        throughput.track(0.5)
        throughput.track(np.int64(3))  # type: ignore[arg-type, unused-ignore]
        throughput.track(np.float32(0.25))  # type: ignore[arg-type, unused-ignore]
        await asyncio.sleep(0.02)

    await stage()
    await benchmark.flush()
    assert [entries(call) for call in ended_calls()] == [3.75]


@pytest.mark.parametrize("measure_type", ["throughput", "latency"])
async def test_the_innermost_call_with_the_metric_takes_the_entries(
    benchmark: Benchmark, ended_calls: EndedCalls, measure_type: str
) -> None:
    metric = {"throughput": ThroughputMetric, "latency": LatencyMetric}[measure_type]("mine")
    other = ThroughputMetric("mine") if measure_type == "throughput" else LatencyMetric("mine")

    @BenchmarkSupervisor([metric], benchmark)
    async def outer() -> None:
        metric.track(1)
        await middle()
        await inner()

    @BenchmarkSupervisor([other, TimeMetric("time")], benchmark)
    async def middle() -> None:
        # This stage has an equal metric, but not this one.
        metric.track(10)
        other.track(100)
        await asyncio.sleep(0.01)

    @BenchmarkSupervisor([metric], benchmark)
    async def inner() -> None:
        metric.track(1000)
        await asyncio.sleep(0.01)

    await outer()
    await benchmark.flush()
    tracked = {call["name"]: entries(call, measure_type) for call in ended_calls()}
    assert tracked == {"outer": 11, "middle": 100, "inner": 1000}


@pytest.mark.parametrize("ending", ["with", "close"])
def test_the_call_of_a_block_takes_nothing_after_its_end(
    benchmark: Benchmark, ended_calls: EndedCalls, ending: str
) -> None:
    supervisor = BenchmarkSupervisor([ThroughputMetric("throughput")], benchmark, name="block")
    with supervisor as call:
        call.track(3)
        if ending == "close":
            call.close()
            with pytest.raises(NoRunningCallError):
                call.track(99)
    with pytest.raises(NoRunningCallError, match="track") as caught:
        call.track(99)
    check_message(caught.value)
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [3]


def test_the_call_of_a_block_is_not_disturbed_by_the_end_of_the_run(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    supervisor = BenchmarkSupervisor([ThroughputMetric("throughput")], benchmark, name="block")
    with supervisor as ended_before:
        ended_before.track(1)
    with supervisor as call:
        call.track(3)
        asyncio.run(benchmark.close())
        call.track(99)
    call.track(99)
    ended_before.track(99)
    assert [call["status"] for call in ended_calls()] == ["ok", "abandoned"]


async def test_the_call_of_a_block_tracks_for_all_its_metrics(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    metrics = [ThroughputMetric("throughput"), LatencyMetric("latency"), TimeMetric("time")]
    supervisor = BenchmarkSupervisor(metrics, benchmark, name="block")
    with supervisor as outer:
        async with supervisor as inner:
            await asyncio.sleep(0.01)
            inner.track(3)
            outer.track(5)
    await benchmark.flush()
    assert [(entries(call), entries(call, "latency")) for call in ended_calls()] == [(5, 5), (3, 3)]


def test_a_block_in_a_generator_tracks_by_its_call(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    supervisor = BenchmarkSupervisor([ThroughputMetric("throughput")], benchmark, name="block")

    def numbers(count: int) -> Iterator[int]:
        with supervisor as call:
            for number in range(count):
                call.track(number)
                yield number

    assert list(zip(numbers(5), numbers(5), strict=True)) == [(number, number) for number in range(5)]
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [10, 10]


async def test_items_are_the_entries_of_a_generator(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    supervisor = BenchmarkSupervisor([ThroughputMetric("throughput"), LatencyMetric("latency")], benchmark)

    @supervisor
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0.001)
            yield number

    @supervisor
    def letters(count: int) -> Iterator[str]:
        yield from "abcdefgh"[:count]

    assert [number async for number in numbers(5)] == [0, 1, 2, 3, 4]
    assert list(letters(7)) == list("abcdefg")
    await benchmark.flush()
    assert [(entries(call), entries(call, "latency")) for call in ended_calls()] == [(5, 5), (7, 7)]


async def test_tracked_entries_replace_the_items_of_a_generator(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput, latency = ThroughputMetric("throughput"), LatencyMetric("latency")

    @BenchmarkSupervisor([throughput, latency], benchmark)
    async def batches() -> AsyncIterator[list[int]]:
        for _ in range(3):
            await asyncio.sleep(0.001)
            throughput.track(32)
            yield [0] * 32

    assert len([batch async for batch in batches()]) == 3
    await benchmark.flush()
    assert [(entries(call), entries(call, "latency")) for call in ended_calls()] == [(96, 3)]


async def test_a_stage_that_never_tracked_has_no_latency_nor_throughput(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows
) -> None:
    @BenchmarkSupervisor([TimeMetric("time"), LatencyMetric("latency"), ThroughputMetric("throughput")], benchmark)
    async def stage() -> None: ...

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    assert set(call["results"]) == {"time"}
    events = rows("select * from event where kind = 'untracked'")
    assert events
    assert all("track" in event["message"] for event in events)
    assert any("latency" in event["message"] for event in events)
    assert any("throughput" in event["message"] for event in events)


async def test_no_entries_give_no_latency(benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows) -> None:
    latency, throughput = LatencyMetric("latency"), ThroughputMetric("throughput")

    @BenchmarkSupervisor([latency, throughput], benchmark)
    async def stage() -> None:
        latency.track(0)
        throughput.track(0)

    await stage()
    await benchmark.flush()
    (call,) = ended_calls()
    assert set(call["results"]) == {"throughput"}
    assert call["results"]["throughput"]["value"] == 0
    (event,) = rows("select * from event where kind = 'untracked'")
    assert "track" in event["message"]


async def test_a_thread_with_the_context_finds_its_call(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput = ThroughputMetric("throughput")

    @BenchmarkSupervisor([throughput], benchmark)
    async def stage(number: int) -> None:
        await asyncio.to_thread(throughput.track, number)

    await asyncio.gather(stage(3), stage(4))
    await benchmark.flush()
    assert sorted(entries(call) for call in ended_calls()) == [3, 4]


def test_a_thread_without_context_finds_the_only_running_call(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput, other = ThroughputMetric("throughput"), ThroughputMetric("other")

    @BenchmarkSupervisor([throughput], benchmark)
    def stage() -> None:
        assert run_in_thread(lambda: throughput.track(5)) == []

    @BenchmarkSupervisor([other], benchmark)
    def around() -> None:
        stage()

    around()
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls("stage")] == [5]


def test_a_thread_without_context_cannot_choose_among_calls(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput = ThroughputMetric("throughput")
    entered, leave = Event(), Event()

    @BenchmarkSupervisor([throughput], benchmark)
    def stage(last: bool) -> None:
        throughput.track(1)
        if last:
            (error,) = run_in_thread(lambda: throughput.track(5))
            assert isinstance(error, NoRunningCallError)
            assert "context" in str(error) or "call" in str(error)
            leave.set()
        else:
            entered.set()
            assert leave.wait(10)

    other = Thread(target=stage, args=(False,))
    other.start()
    assert entered.wait(10)
    stage(True)
    other.join()
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 1]


async def test_a_background_task_tracks_for_what_still_runs(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput = ThroughputMetric("throughput")
    supervisor = BenchmarkSupervisor([throughput], benchmark)
    stage_ended = asyncio.Event()

    async def background() -> None:
        throughput.track(1)
        await stage_ended.wait()
        throughput.track(10)

    @supervisor
    async def stage() -> Any:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task

    @supervisor
    async def run() -> None:
        task = await stage()
        stage_ended.set()
        await task

    await run()
    await benchmark.flush()
    assert {call["name"]: entries(call) for call in ended_calls()} == {"run": 10, "stage": 1}


async def test_a_background_task_whose_calls_have_all_ended_is_told(benchmark: Benchmark) -> None:
    throughput = ThroughputMetric("throughput")
    stage_ended = asyncio.Event()

    async def background() -> None:
        await stage_ended.wait()
        throughput.track(10)

    @BenchmarkSupervisor([throughput], benchmark)
    async def stage() -> asyncio.Task[None]:
        return asyncio.create_task(background())

    task = await stage()
    stage_ended.set()
    with pytest.raises(NoRunningCallError, match="track"):
        await task
