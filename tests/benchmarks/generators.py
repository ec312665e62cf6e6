"""What a step of a supervised async generator costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.benchmarks.harness import ROUNDS, Figures, Row, benchmark, timed_await
from umlaut_async import BenchmarkSupervisor, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STEPS = 20_000


async def numbers() -> AsyncIterator[int]:
    """Yield without ever suspending."""
    for number in range(STEPS):
        yield number


async def naive() -> AsyncIterator[int]:
    """Wrap the generator as people do who forward nothing."""
    async for number in numbers():
        yield number


async def consume(generator: Callable[[], AsyncIterator[int]]) -> None:
    """Take every step."""
    async for _ in generator():
        pass


async def sleeping() -> None:
    """Let the loop go round as often as the generator has steps."""
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def added(generator: Callable[[], AsyncIterator[int]]) -> float:
    """Return the seconds that each step takes more than one of the plain generator."""
    with_us = await timed_await(lambda: consume(generator))
    return (with_us - await timed_await(lambda: consume(numbers))) / STEPS


async def pause() -> float:
    """Return the seconds of one `await asyncio.sleep(0)`."""
    return await timed_await(sleeping) / STEPS


def supervised_step() -> Figures:
    """Compare the added cost of a step with one turn of the loop."""

    async def measure() -> Figures:
        figures = Figures([], [])
        with benchmark() as bm:
            async with bm:
                ours = BenchmarkSupervisor([TimeMetric("time")], bm)(numbers)
                for _ in range(ROUNDS):
                    figures.ours.append(await added(ours))
                    figures.peer.append(await pause())
        return figures

    return asyncio.run(measure())


def naive_step() -> Figures:
    """Compare the added cost of a naive wrapper with one turn of the loop."""

    async def measure() -> Figures:
        figures = Figures([], [])
        for _ in range(ROUNDS):
            figures.ours.append(await added(naive))
            figures.peer.append(await pause())
        return figures

    return asyncio.run(measure())


ROWS = [
    Row("generator", "step of an async generator, added cost", "await asyncio.sleep(0)", supervised_step, 1),
    Row("naive", "(not ours: async for x in g: yield x)", "await asyncio.sleep(0)", naive_step),
]
