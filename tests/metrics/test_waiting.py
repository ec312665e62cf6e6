"""Await and wait metrics against clocks inside the stage."""

from __future__ import annotations

import asyncio
import inspect
import time
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import best_of_three_awaited, calls_of, seconds
from umlaut_async import ArgumentTypeError, AwaitMetric, BenchmarkSupervisor, TimeMetric, WaitMetric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
    from pathlib import Path

    from tests.support import EndedCalls, Row
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone


def latest(database: Path, name: str, measure_type: str) -> Row:
    """Return the latest result of a stage."""
    result: Row = calls_of(database, name)[-1]["results"][measure_type]
    return result


async def test_a_coroutine_that_awaits_and_computes(benchmark: Benchmark, database: Path) -> None:
    supervise = BenchmarkSupervisor([AwaitMetric("how it waits"), TimeMetric("time")], benchmark)

    @supervise
    async def stage() -> tuple[float, list[float]]:
        moments = [perf_counter()]
        for _ in range(2):
            await asyncio.sleep(0.15)
            moments.append(perf_counter())
            while perf_counter() < moments[-1] + 0.1:
                pass
            moments.append(perf_counter())
        awaited, computed, awaited_again, computed_again = (b - a for a, b in pairwise(moments))
        # The loop takes its time to wake whom a busy machine lets wait: what was awaited is known here alone.
        assert awaited + awaited_again >= 0.299
        return awaited + awaited_again, [computed, computed_again]

    async def measure() -> float:
        awaited, computed = await stage()
        await benchmark.flush()
        result = latest(database, "stage", "await")
        assert result["unit"] == "sec"
        assert result["value"] == latest(database, "stage", "time")["value"]
        assert result["data"]["running"] + result["data"]["awaiting"] == pytest.approx(result["value"])
        errors = (
            result["value"] - awaited - sum(computed),
            result["data"]["running"] - sum(computed),
            result["data"]["awaiting"] - awaited,
            result["data"]["longest_step"] - max(computed),
        )
        return float(max(map(abs, errors)))

    await best_of_three_awaited(0.015, measure)


@pytest.mark.parametrize(("producer", "consumer"), [(0.02, 0.01), (0.01, 0.02)])
@pytest.mark.parametrize("kind", ["async generator", "generator", "iterate", "async iterate"])
async def test_the_share_for_which_a_consumer_waits(
    benchmark: Benchmark, database: Path, kind: str, producer: float, consumer: float
) -> None:
    supervise = BenchmarkSupervisor([WaitMetric("wait")], benchmark, name="loader")

    def items() -> Iterator[int]:
        for item in range(12):
            time.sleep(producer)
            yield item

    async def async_items() -> AsyncIterator[int]:
        for item in range(12):
            await asyncio.sleep(producer)
            yield item

    async def measure() -> float:
        waited = held = 0.0
        before = perf_counter()
        if "async" in kind:
            source = supervise(async_items)() if kind == "async generator" else supervise.iterate(async_items())
            async for _ in source:
                waited, now = waited + perf_counter() - before, perf_counter()
                await asyncio.sleep(consumer)
                held, before = held + perf_counter() - now, perf_counter()
        else:
            for _ in supervise(items)() if kind == "generator" else supervise.iterate(items()):
                waited, now = waited + perf_counter() - before, perf_counter()
                time.sleep(consumer)
                held, before = held + perf_counter() - now, perf_counter()
        await benchmark.flush()
        result = latest(database, "loader", "wait")
        assert result["unit"] == "%"
        assert result["data"]["items"] == 12
        assert result["data"]["first_item"] >= producer
        return max(
            abs(float(result["value"]) - 100 * waited / (waited + held)),
            abs(float(result["value"]) - 100 * producer / (producer + consumer)),
        )

    await best_of_three_awaited(3, measure)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_generator_that_is_kept_after_a_break_waits_until_it_is_closed(
    benchmark: Benchmark, database: Path, asynchronous: bool
) -> None:
    supervise = BenchmarkSupervisor([WaitMetric("wait")], benchmark, name="loader")

    @supervise
    def items() -> Generator[int]:
        yield from range(3)

    @supervise
    async def async_items() -> AsyncGenerator[int]:
        for item in range(3):
            yield item

    before = perf_counter()
    loader, async_loader = items(), async_items()
    if asynchronous:
        async for _ in async_loader:
            break
    else:
        for _ in loader:
            break
    began = perf_counter()
    await asyncio.sleep(0.2)
    held = perf_counter() - began
    await benchmark.flush()
    assert calls_of(database, "loader") == []
    await async_loader.aclose()
    loader.close()
    elapsed = perf_counter() - before
    await benchmark.flush()
    (call,) = calls_of(database, "loader")
    assert call["status"] == "closed"
    data = call["results"]["wait"]["data"]
    assert held <= data["producer_waited"] <= elapsed
    assert data["items"] == 1


@pytest.mark.parametrize("metric", [AwaitMetric, WaitMetric])
def test_the_wrong_kind_of_stage_is_refused_at_decoration(benchmark: Benchmark, metric: Any) -> None:
    supervise = BenchmarkSupervisor([metric("description")], benchmark, name="stage")

    async def coroutine() -> None: ...

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    refused: list[Any] = [len, generator, async_generator] if metric is AwaitMetric else [len, coroutine]
    for target in refused:
        with pytest.raises(ArgumentTypeError, match=metric.__name__):
            supervise(target)
    with pytest.raises(ArgumentTypeError, match=metric.__name__), supervise:
        raise AssertionError("the block must not run")
    if metric is AwaitMetric:
        with pytest.raises(ArgumentTypeError, match="AwaitMetric"):
            supervise.iterate([1])


class TestSteppedCoroutine:
    """A coroutine that is driven step by step behaves like one that is awaited."""

    @pytest.fixture
    def supervise(self, benchmark: Benchmark) -> BenchmarkSupervisor:
        return BenchmarkSupervisor([AwaitMetric("await")], benchmark)

    async def test_its_result_and_its_error_come_through(
        self, benchmark: Benchmark, supervise: BenchmarkSupervisor, ended_calls: EndedCalls
    ) -> None:
        error = ValueError("mine")

        @supervise
        async def stage(fail: bool) -> str:
            await asyncio.sleep(0.01)
            if fail:
                raise error
            return "result"

        assert inspect.iscoroutinefunction(stage)
        assert await stage(False) == "result"
        with pytest.raises(ValueError, match="mine") as caught:
            await stage(True)
        assert caught.value is error
        await benchmark.flush()
        assert [call["status"] for call in ended_calls()] == ["ok", "error"]
        assert all(call["producing"] is None for call in ended_calls())

    async def test_it_is_cancelled_and_may_refuse_to_be(
        self, benchmark: Benchmark, supervise: BenchmarkSupervisor, ended_calls: EndedCalls
    ) -> None:
        @supervise
        async def stage(obey: bool) -> str:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                if obey:
                    raise
            await asyncio.sleep(0.01)
            return "refused"

        for obey in (True, False):
            task = asyncio.create_task(stage(obey))
            await asyncio.sleep(0.02)
            assert task.cancel()
            if obey:
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                assert await task == "refused"
            assert task.cancelling() == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stage(True)
        await benchmark.flush()
        assert [call["status"] for call in ended_calls()] == ["cancelled", "ok", "cancelled"]

    async def test_stages_within_it_are_its_children(
        self, benchmark: Benchmark, supervise: BenchmarkSupervisor, ended_calls: EndedCalls
    ) -> None:
        @BenchmarkSupervisor([TimeMetric("time")], benchmark)
        async def inner() -> None:
            await asyncio.sleep(0)

        @supervise
        async def outer() -> None:
            await asyncio.sleep(0)
            await inner()
            await asyncio.gather(inner(), inner())

        await outer()
        await benchmark.flush()
        (parent,) = ended_calls("outer")
        assert [call["parent"] for call in ended_calls("inner")] == [parent["id"]] * 3
        assert seconds(parent) > 0

    async def test_destroyed_while_it_waits_it_is_closed(
        self, benchmark: Benchmark, supervise: BenchmarkSupervisor, ended_calls: EndedCalls
    ) -> None:
        @supervise
        async def stage() -> None:
            await asyncio.get_running_loop().create_future()

        coroutine = stage()
        coroutine.send(None)
        coroutine.close()
        await benchmark.flush()
        assert [call["status"] for call in ended_calls()] == ["closed"]
