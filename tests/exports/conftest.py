"""Databases made by hand, the command line, and runs that were recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import store, umlaut, umlaut_process
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from tests.figures.sampled import series
from umlaut_async import Benchmark, BenchmarkSupervisor, LossTracker, MemoryMetric, TimeMetric

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store

__all__ = ["store", "umlaut", "umlaut_process"]

SAMPLES = 10_000


@pytest.fixture
def made(store: Store, database: Path) -> Path:
    """Return a database with two runs, of which the newer has some of everything."""
    values = [at / 7 for at in range(SAMPLES)]
    outer = span("train", started=BEGAN, duration=2 * SECOND)
    inner = span("load", parent=outer.id, started=BEGAN + 1, duration=SECOND, producing=5, status="error", error="no")
    store(
        run("bbbbbbbb-0", started=BEGAN - SECOND, name="older"),
        run(ended=BEGAN + 90 * SECOND, environment={"nan": float("nan"), "list": [1, "a"]}),
        process(),
        outer,
        inner,
        span("train", started=BEGAN + 3 * SECOND, duration=None, status="running"),
        *series(values),
        *series([50.0, -1.5], number=2, type_="cpu", unit="%"),
        result("time", "sec", 1.5, span=outer.id, method="train", description="t"),
        result("memory", "MiB", 3.25, {"n": 4, "min": 1.0}, span=inner.id, method="load"),
        result("loss", "loss", None, [0.5, float("inf"), -0.25]),
        result("accuracy", "", 0.1 + 0.2),
        event("drop", "3 records were dropped", data={"count": 3}),
    )
    return database


CONCURRENT = 1_000


@pytest.fixture(scope="session")
def concurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a run of a thousand calls at once, each of which makes another one."""
    database = tmp_path_factory.mktemp("concurrent") / "runs.db"

    async def pipeline() -> None:
        async with Benchmark(database, name="concurrent") as benchmark:
            together = asyncio.Event()
            waiting = 0

            @BenchmarkSupervisor([TimeMetric("t")], benchmark)
            async def fetch(number: int) -> None:
                nonlocal waiting
                waiting += 1
                if waiting == CONCURRENT:
                    together.set()
                await together.wait()
                await asyncio.sleep(number % 7 / 1000)

            @BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], benchmark)
            async def handle(number: int) -> None:
                await fetch(number)
                await asyncio.sleep(number % 5 / 1000)

            @BenchmarkSupervisor([TimeMetric("t")], benchmark)
            async def serve() -> None:
                await asyncio.gather(*map(handle, range(CONCURRENT)))

            await serve()
            LossTracker(benchmark).track([0.5, 0.25], "loss")

    asyncio.run(pipeline())
    return database
