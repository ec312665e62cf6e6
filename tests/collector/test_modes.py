"""Every kind of callable gives the same records wherever the collector runs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests import support
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    IOMetric,
    LatencyMetric,
    MemoryMetric,
    ThroughputMetric,
    TimeMetric,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

COUNTED = ("cpu", "io")
ITEMS = 4
WORK = 400_000


def function() -> int:
    """Work for some milliseconds."""
    return sum(range(ITEMS * WORK))


async def coroutine() -> int:
    """Work, and wait for a moment."""
    await asyncio.sleep(0.02)
    return function()


def generator() -> Iterator[int]:
    """Work for each item."""
    for _ in range(ITEMS):
        yield sum(range(WORK))


async def async_generator() -> AsyncIterator[int]:
    """Wait for each item."""
    for _ in range(ITEMS):
        await asyncio.sleep(0.01)
        yield sum(range(WORK))


def failing() -> None:
    """Fail after some work."""
    raise ValueError(function())


async def record(benchmark: Benchmark) -> None:
    """Run a stage of each kind."""
    metrics = [
        TimeMetric("time"), CPUMetric("cpu", interval=0.005), MemoryMetric("memory", interval=0.005), IOMetric("io"),
        LatencyMetric("latency"), ThroughputMetric("throughput"),
    ]  # fmt: skip

    def stage(name: str) -> Any:
        return BenchmarkSupervisor(metrics, benchmark, name=name)

    async with benchmark:
        for _ in range(3):
            stage("function")(function)()
            await stage("coroutine")(coroutine)()
            assert len(list(stage("generator")(generator)())) == ITEMS
            assert len([item async for item in stage("async generator")(async_generator)()]) == ITEMS
            with contextlib.suppress(ValueError):
                stage("failing")(failing)()
            with stage("with") as block:
                function()
                block.track(ITEMS)
            async with stage("async with") as block:
                await coroutine()
                block.track(ITEMS)
            assert len(list(stage("iterate").iterate(generator()))) == ITEMS
            closed = stage("closed")(generator)()
            next(closed)
            closed.close()


def recorded(database: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what was recorded of each call that does not depend on how fast the machine is."""
    calls: dict[tuple[str, int], dict[str, Any]] = {}
    for row in support.read(
        database,
        "select s.name, s.number, s.kind, s.status, s.error, s.parent is null as top, s.duration, r.type, r.unit,"
        " r.value, r.provenance from span s join result r on r.span = s.id",
    ):
        call = calls.setdefault((row["name"], row["number"]), {"results": {}})
        call |= {key: row[key] for key in ("kind", "status", "error", "top")}
        if row["type"] not in COUNTED:
            call["results"][row["type"]] = row["unit"], row["provenance"]
        # What follows from the record alone is exact.
        seconds = row["duration"] / 1e9
        entries = 1 if row["name"] == "closed" else ITEMS
        exact = {"time": seconds, "throughput": entries / seconds, "latency": seconds / entries}
        if row["type"] in exact:
            call[row["type"]] = row["value"] == pytest.approx(exact[row["type"]], rel=0.5)
        elif row["type"] == "memory":
            call["memory"] = 5 < row["value"] < 100_000
    return calls


def counted(database: Path) -> set[tuple[str, ...]]:
    """Return what was counted in a call of each stage: a short one has no number where the readings come late."""
    query = "select distinct method, type, unit from result where type in ('cpu', 'io') and value is not null"
    return {tuple(row.values()) for row in support.read(database, query)}


async def test_both_modes_record_the_same(tmp_path: Path) -> None:
    modes: dict[str, Any] = {}
    for mode in ("thread", "process"):
        database = tmp_path / f"{mode}.db"
        benchmark = Benchmark(database, collector=mode)
        await benchmark.open()
        await record(benchmark)
        assert benchmark.accounting == (27, 27, {}, 0)
        modes[mode] = recorded(database)
        assert len(counted(database)) == 9 * len(COUNTED)
    assert len(modes["thread"]) == 27
    assert modes["thread"] == modes["process"]
    assert not [key for key, call in modes["process"].items() if False in call.values()]
