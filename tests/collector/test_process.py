"""The collector in a process of its own: the same numbers, taken from outside, and a word on how the process ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests import support
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    EventLoopLagMetric,
    IOMetric,
    LossTracker,
    MemoryMetric,
    Metric,
    ThroughputMetric,
    TimeMetric,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support import EndedCalls, Rows, RunScript

pytestmark = pytest.mark.alone


class Counter(Metric):
    """Counts its own readings."""

    measure_type = "counter"
    unit = "readings"
    counter = True

    def __init__(self) -> None:
        super().__init__("own", interval=0.02)
        self.readings = 0

    def read(self) -> int:
        self.readings += 1
        return self.readings


@pytest.fixture
def outside(database: Path) -> Iterator[Benchmark]:
    """Yield a benchmark whose collector is a process of its own; close it after the test."""
    opened_when_used = Benchmark(database, "a test", collector="process")
    yield opened_when_used
    support.run_elsewhere(opened_when_used.close)


def collectors_in(folder: Path) -> list[psutil.Process]:
    """Return the collectors of programs that were started in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(folder)
        and "umlaut_async.collector.host" in " ".join(process.info["cmdline"] or [])
    ]


async def test_every_kind_of_metric_is_recorded(outside: Benchmark, ended_calls: EndedCalls, rows: Rows) -> None:
    metrics = [
        TimeMetric("time"), CPUMetric("cpu", interval=0.02), MemoryMetric("memory", interval=0.02), IOMetric("io"),
        CPUMetric("tree", interval=0.05, children=True), Counter(), EventLoopLagMetric("lag"), ThroughputMetric("rate"),
    ]  # fmt: skip

    @BenchmarkSupervisor(metrics, outside)
    async def batches() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0.1)
            yield number

    async with outside:
        assert [number async for number in batches()] == list(range(5))
        LossTracker(outside).track([0.5, 0.25], "loss")
        await outside.flush()
        (call,) = ended_calls()
        assert outside.accounting == (2, 2, {}, 0)
    results = call["results"]
    assert set(results) == {"time", "cpu", "memory", "io", "counter", "looplag", "throughput"}
    assert call["status"] == "ok"
    assert call["duration"] >= 500_000_000
    assert results["memory"]["data"]["n"] >= 15
    assert results["counter"]["value"] >= 15
    assert results["throughput"]["value"] == pytest.approx(5 / (call["duration"] / 1e9))
    sources = {row["type"]: row["source"] for row in rows("select type, source from series")}
    assert sources["cpu"] in ("process-clock", "process-tree")
    assert sources["memory"] == "statm"
    (run,) = rows("select status, collector from run")
    assert run["status"] == "ok"
    assert '"mode": "process"' in run["collector"] or '"mode":"process"' in run["collector"]
    (process,) = rows("select pid, ending from process")
    assert process == {"pid": os.getpid(), "ending": "closed"}


async def test_what_runs_at_the_end_is_abandoned(outside: Benchmark, rows: Rows) -> None:
    started = asyncio.Event()

    @BenchmarkSupervisor([TimeMetric("time")], outside)
    async def stage() -> None:
        started.set()
        await asyncio.sleep(60)

    async with outside:
        task = asyncio.create_task(stage())
        await started.wait()
        await outside.flush()
        assert [row["status"] for row in rows("select status from span")] == ["running"]
    assert [row["status"] for row in rows("select status from span")] == ["abandoned"]
    task.cancel()
    await asyncio.wait([task])


MEASURED = """
import asyncio, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric

benchmark = Benchmark("runs.db", collector="process")

@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval={interval})], benchmark)
def stage(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sorted(range(200_000), key=lambda number: -number)

async def main():
    await benchmark.open()
    stage(0.1)
    await benchmark.flush()
    print("ready", flush=True)
    stage(60)

asyncio.run(main())
"""


INTERVAL = 0.01


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_lost_with_its_signal_and_all_its_samples(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(MEASURED.format(interval=INTERVAL))

    def missing() -> float:
        """Return of how many intervals before the death nothing is stored."""
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        database = folder / "runs.db"

        def rows(sql: str) -> list[dict[str, Any]]:
            return support.read(database, sql)

        with subprocess.Popen(
            [sys.executable, str(script)], cwd=folder, env=support.environment(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert collectors_in(folder)
            time.sleep(0.5)
            killed_at = time.time_ns()
            process.send_signal(number)
            support.until(lambda: not rows("select * from run where status = 'running'"))
            process.wait(10)
        assert [row["status"] for row in rows("select status from run")] == ["lost"]
        assert [row["ending"] for row in rows("select ending from process")] == [f"killed by {number.name}"]
        assert [row["status"] for row in rows("select status from span order by number")] == ["ok", "lost"]
        samples = rows("select max(t) as latest from (select t from sample union all select t1 from chunk)")
        support.until(lambda: not collectors_in(folder))
        return float((killed_at - samples[0]["latest"]) / 1e9 / INTERVAL)

    support.best_of_three(2, missing)


@pytest.mark.parametrize("executable", ["", "/bin/false", "/nowhere/python", "killed"])
async def test_where_no_process_can_be_started_the_collector_runs_in_a_thread(
    outside: Benchmark,
    ended_calls: EndedCalls,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    executable: str,
) -> None:
    if executable == "killed":
        script = tmp_path / "python"
        script.write_text("#!/bin/sh\nkill -9 $$\n")
        script.chmod(0o755)
        executable = str(script)
    monkeypatch.setattr(sys, "executable", executable)
    own = Counter()

    @BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory", interval=0.02), own], outside)
    async def stage() -> None:
        await asyncio.sleep(0.5)

    await stage()
    await outside.flush()
    await stage()
    await outside.flush()
    first, second = ended_calls()
    assert (first["status"], second["status"]) == ("ok", "ok")
    # The first may have lost its first edge with the process that was to read it.
    assert set(second["results"]) == {"time", "memory", "counter"}
    assert second["results"]["memory"]["data"]["n"] >= 5
    assert [record.levelname for record in caplog.records if "runs in a thread" in record.getMessage()] == ["WARNING"]
    assert [row["collector"] for row in rows("select json_extract(collector, '$.mode') as collector from run")] == [
        "thread"
    ]


EARLY = """
import asyncio, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, IOMetric

bm = Benchmark("runs.db", collector="process")

@BenchmarkSupervisor([IOMetric("tree", 0.05, children=True)], bm)
def first():
    time.sleep(0.01)

async def main():
    if sys.argv[1] == "opened":
        await bm.open()
    first()
    await asyncio.sleep(1)
    await bm.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["opened", "at once"])
def test_a_call_before_the_collector_is_there_is_not_said_to_be_short(
    run_script: RunScript, tmp_path: Path, when: str
) -> None:
    ended = run_script(EARLY, when)
    assert (ended.returncode, ended.stderr) == (0, "")
    events = {row["kind"]: row["message"] for row in support.read(tmp_path / "runs.db", "select * from event")}
    assert "too-short" not in events or when == "opened"
    assert ("too-early" in events) == (when == "at once")
    if when == "at once":
        assert "'first' was called while the collector was still starting" in events["too-early"]
        assert "await benchmark.open()" in events["too-early"]
