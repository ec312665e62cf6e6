"""Every result and every series says where its numbers come from."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.support import ROOT
from umlaut_async import (
    AwaitMetric,
    BenchmarkSupervisor,
    CPUMetric,
    IOMetric,
    LatencyMetric,
    LossTracker,
    MemoryMetric,
    Metric,
    ThroughputMetric,
    TimeMetric,
    WaitMetric,
    models,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Rows
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone


class Mine(Metric):
    """A metric of a user's own."""

    measure_type = "mine"
    unit = "items"

    def read(self) -> float:
        """Return a number."""
        return 3


SOURCES = {
    "time": "perf_counter",
    "latency": "perf_counter",
    "throughput": "perf_counter",
    "await": "perf_counter",
    "wait": "perf_counter",
    "cpu": "process_time",
    "memory": ("statm", "psutil"),
    "io": ("proc-io", "psutil"),
    "mine": "user",
    "loss": "user",
    "logged in a call": "user",
    "logged": "user",
}


async def test_each_result_has_a_source_and_a_provenance(benchmark: Benchmark, rows: Rows) -> None:
    latency = LatencyMetric("latency")
    metrics: list[Metric] = [TimeMetric("time"), latency, CPUMetric("cpu"), MemoryMetric("memory"), IOMetric("io")]

    @BenchmarkSupervisor([*metrics, Mine("mine"), AwaitMetric("await")], benchmark)
    async def train() -> None:
        latency.track(3)
        benchmark.log("logged", "logged in a call", 1)
        # Of calls that are hardly longer than a reading takes there is no CPU use, nor I/O.
        await asyncio.sleep(0.02)

    @BenchmarkSupervisor([WaitMetric("wait"), ThroughputMetric("throughput")], benchmark)
    def load() -> Iterator[int]:
        yield 1

    async with benchmark:
        await train()
        assert list(load()) == [1]
        LossTracker(benchmark).track([0.5], "loss")
        benchmark.log("logged", "logged", "a text")
        await benchmark.flush()
        results = (await benchmark.session.scalars(select(models.Result))).all()
        by_query = select(models.Result.type).where(models.Result.source == "user")
        of_the_user = set((await benchmark.session.scalars(by_query)).all())
    found = {result.type: result.source for result in results}
    assert found.keys() == SOURCES.keys()
    for measure_type, source in found.items():
        expected = SOURCES[measure_type]
        assert source in ((expected,) if isinstance(expected, str) else expected), measure_type
    assert {result.provenance for result in results} <= {"measured", "estimated"}
    assert of_the_user == {"mine", "loss", "logged in a call", "logged"}
    text = (ROOT / "docs" / "metrics.md").read_text()
    (query,) = [sql for sql in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if "FROM result LEFT JOIN" in sql]
    assert {row["type"]: row["source"] for row in rows(query)} == found
