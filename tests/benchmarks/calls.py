"""What a supervised call costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks import peers
from tests.benchmarks.harness import ROUNDS, Figures, Row, benchmark, timed, timed_await
from umlaut_async import AwaitMetric, BenchmarkSupervisor, CPUMetric, MemoryMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS = 2_000
SUSTAINED = 20_000
CONCURRENT = 10_000


async def empty_coroutine() -> None:
    """Do nothing."""


def empty_function() -> None:
    """Do nothing."""


async def repeat(stage: Callable[[], Awaitable[object]], times: int) -> None:
    """Await a coroutine function many times, one call after the other."""
    for _ in range(times):
        await stage()


def repeat_function(stage: Callable[[], object], times: int) -> None:
    """Call a function many times."""
    for _ in range(times):
        stage()


def coroutine() -> Figures:
    """Compare the added cost of a supervised coroutine with that of a span; neither exports meanwhile."""

    async def measure() -> Figures:
        provider = peers.tracer_provider(schedule_delay_millis=3_600_000, max_export_batch_size=2**16)
        figures = Figures([], [])
        with benchmark() as bm:
            async with bm:
                ours = BenchmarkSupervisor([TimeMetric("time")], bm)(empty_coroutine)
                peer = provider.get_tracer("benchmark").start_as_current_span("empty")(empty_coroutine)
                for stage in (ours, peer):
                    await repeat(stage, CALLS)
                for _ in range(ROUNDS):
                    plain = await timed_await(lambda: repeat(empty_coroutine, CALLS))
                    figures.ours.append((await timed_await(lambda: repeat(ours, CALLS)) - plain) / CALLS)
                    figures.peer.append((await timed_await(lambda: repeat(peer, CALLS)) - plain) / CALLS)
                    await bm.flush()
                    provider.force_flush()
        provider.shutdown()
        return figures

    return asyncio.run(measure())


def awaiting() -> Figures:
    """Compare the added cost of AwaitMetric, which drives a coroutine step by step, with that of TimeMetric."""

    async def measure() -> Figures:
        figures = Figures([], [])
        with benchmark() as bm:
            async with bm:
                ours = BenchmarkSupervisor([AwaitMetric("await")], bm)(empty_coroutine)
                peer = BenchmarkSupervisor([TimeMetric("time")], bm)(empty_coroutine)
                for stage in (ours, peer):
                    await repeat(stage, CALLS)
                for _ in range(ROUNDS):
                    plain = await timed_await(lambda: repeat(empty_coroutine, CALLS))
                    figures.ours.append((await timed_await(lambda: repeat(ours, CALLS)) - plain) / CALLS)
                    figures.peer.append((await timed_await(lambda: repeat(peer, CALLS)) - plain) / CALLS)
                    await bm.flush()
        return figures

    return asyncio.run(measure())


def sustained() -> Figures:
    """Compare many calls and a flush with many spans and a flush, each with its background work as it comes."""

    async def measure() -> Figures:
        provider = peers.tracer_provider()
        figures = Figures([], [])
        with benchmark(flush_interval=1) as bm:
            async with bm:
                ours = BenchmarkSupervisor([TimeMetric("time")], bm)(empty_coroutine)
                peer = provider.get_tracer("benchmark").start_as_current_span("empty")(empty_coroutine)

                async def our_calls() -> None:
                    await repeat(ours, SUSTAINED)
                    await bm.flush()

                async def peer_calls() -> None:
                    await repeat(peer, SUSTAINED)
                    provider.force_flush()

                for _ in range(5):
                    figures.ours.append(await timed_await(our_calls) / SUSTAINED)
                    figures.peer.append(await timed_await(peer_calls) / SUSTAINED)
        provider.shutdown()
        return figures

    return asyncio.run(measure())


def function() -> Figures:
    """Compare a supervised function with one timed by prometheus_client."""
    figures = Figures([], [])
    with benchmark() as bm:
        ours = BenchmarkSupervisor([TimeMetric("time")], bm)(empty_function)
        peer = peers.summary().time()(empty_function)
        for stage in (ours, peer):
            repeat_function(stage, CALLS)
        for _ in range(ROUNDS):
            asyncio.run(bm.flush())
            figures.ours.append(timed(lambda: repeat_function(ours, CALLS)) / CALLS)
            figures.peer.append(timed(lambda: repeat_function(peer, CALLS)) / CALLS)
        asyncio.run(bm.close())
    return figures


def edges() -> Figures:
    """Compare a function with CPU and memory at both edges with one that has psutil read them."""
    process = psutil.Process()

    def peer() -> None:
        process.cpu_times()
        process.memory_info()
        empty_function()
        process.cpu_times()
        process.memory_info()

    figures = Figures([], [])
    with benchmark() as bm:
        ours = BenchmarkSupervisor([CPUMetric("cpu"), MemoryMetric("memory")], bm)(empty_function)
        for stage in (ours, peer):
            repeat_function(stage, CALLS)
        for _ in range(ROUNDS):
            asyncio.run(bm.flush())
            figures.ours.append(timed(lambda: repeat_function(ours, CALLS)) / CALLS)
            figures.peer.append(timed(lambda: repeat_function(peer, CALLS)) / CALLS)
        asyncio.run(bm.close())
    return figures


def concurrent() -> Figures:
    """Compare the added cost of a call among many at once with that of the same one at a time."""

    async def suspending() -> None:
        await asyncio.sleep(0)

    async def bare() -> None:
        return await suspending()

    async def at_once(stage: Callable[[], Awaitable[object]]) -> None:
        await asyncio.gather(*(stage() for _ in range(CONCURRENT)))

    async def one_by_one(stage: Callable[[], Awaitable[object]]) -> None:
        await repeat(stage, CONCURRENT)

    async def measure() -> Figures:
        figures = Figures([], [])
        with benchmark() as bm:
            async with bm:
                supervised = BenchmarkSupervisor([TimeMetric("time")], bm)(suspending)

                async def added(way: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]) -> float:
                    with_us = await timed_await(lambda: way(supervised))
                    await bm.flush()
                    return (with_us - await timed_await(lambda: way(bare))) / CONCURRENT

                for _ in range(ROUNDS):
                    figures.ours.append(await added(at_once))
                    figures.peer.append(await added(one_by_one))
        return figures

    return asyncio.run(measure())


ROWS = [
    Row("coroutine", "empty coroutine with TimeMetric, added cost", "OpenTelemetry span", coroutine, 0.15),
    Row(
        "sustained", "the same sustained, stored and flushed, 20,000 calls", "20,000 spans, force_flush", sustained, 0.5
    ),
    Row("await", "empty coroutine with AwaitMetric, added cost", "the same with TimeMetric", awaiting, 3),
    Row("function", "empty function with TimeMetric", "prometheus_client Summary.time()", function, 1.5),
    Row("edges", "empty function with CPU and memory, every edge read", "psutil at both edges", edges, 0.3),
    Row("concurrent", "10,000 supervised coroutines at once, added cost", "the same one at a time", concurrent, 2),
]
