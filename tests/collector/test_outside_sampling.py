"""Who samples from outside the process is not blind while code holds the interpreter; who samples inside says so."""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.support import TRIES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import RunScript

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets"),
]

HOLDER = """
import asyncio, random, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric

benchmark = Benchmark("runs.db", mode="w", collector=sys.argv[1])
numbers = [random.random() for _ in range(2_000_000)]

@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.01)], benchmark)
def stage():
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        sorted(numbers)  # holds the interpreter for half a second and more

async def main():
    async with benchmark:
        await benchmark.flush()
        stage()

asyncio.run(main())
"""
INTERVAL = 10_000_000


def samples_of(database: Path) -> tuple[float, float]:
    """Return the share of the due samples of the only call that were taken, and how late 99 % are at most."""
    (call,) = support.calls_of(database)
    times = [row["t"] for row in support.read(database, "select t from sample")]
    for chunk in support.read(database, "select times from chunk"):
        times += array("q", chunk["times"])
    end = call["started"] + call["duration"]
    within = sorted(t for t in times if call["started"] <= t <= end)
    late = sorted((t - call["started"]) % INTERVAL for t in within)
    return len(within) / (call["duration"] // INTERVAL), (late or [0])[int(len(late) * 0.99)] / 1e9


def test_a_collector_of_its_own_takes_the_samples_while_the_interpreter_is_held(
    run_script: RunScript, database: Path, soak: bool
) -> None:
    for _ in range(TRIES):
        ended = run_script(HOLDER, "process", 5 if soak else 2.5, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "")
        share, late = samples_of(database)
        if share >= 0.99 and late <= 0.01:
            return
    pytest.fail(f"{share:.1%} of the samples, {late:.4f} s late")


def test_a_collector_in_a_thread_says_that_it_was_late_and_what_to_do(run_script: RunScript, database: Path) -> None:
    ended = run_script(HOLDER, "thread", 2.5, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    share, _ = samples_of(database)
    assert share < 0.5
    command = [sys.executable, "-m", "umlaut_async", "show", str(database)]
    shown = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, env=support.environment())
    (event,) = [event for event in json.loads(shown.stdout)["events"] if event["kind"] == "missed-ticks"]
    assert 'collector="process"' in event["message"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=support.environment()).stdout
    assert "collector=" in " ".join(text.split())
