"""Process trees: what finding the children costs beside psutil, and what sampling a tree costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.harness import ROUNDS, Figures, Row, benchmark
from umlaut_async import BenchmarkSupervisor, CPUMetric, MemoryMetric, TimeMetric
from umlaut_async.probes.tree_sources import source_for
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from umlaut_async import Metric

CHILDREN = 8
SECONDS = 5
SETTLING = 1
RUNS = 3
REPEATS = 50


@contextmanager
def children() -> Iterator[None]:
    """Have children that sleep; they are ended by their pid."""
    program = "import asyncio, json, time; print(flush=True); time.sleep(600)"
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(CHILDREN)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def measure_finding() -> Figures:
    """Find the children from nothing, and their identity with them, as psutil does."""
    source = source_for("/proc")
    own = psutil.Process()
    with children():
        rounds = [
            (
                cpu_seconds(lambda: len(Family(os.getpid(), source).read(lambda _: 0).living)),
                cpu_seconds(lambda: len(own.children(recursive=True))),
            )
            for _ in range(ROUNDS)
        ]
    return Figures([ours for ours, _ in rounds], [peer for _, peer in rounds])


def measure_sampling() -> Figures:
    """Sample CPU and memory at 10 Hz; the figures are CPU seconds of a whole run beside those that went by.

    What a run takes that samples nothing is taken off: its writer looks for records once a second.
    """
    sampled = [CPUMetric("CPU", 0.1, children=True), MemoryMetric("memory", 0.1, children=True)]
    ours, wall = [], []
    with children():
        for _ in range(RUNS):
            (used, passed), (idle, passed_idle) = cpu_of_run(sampled), cpu_of_run([TimeMetric("time")])
            ours.append(used - idle * passed / passed_idle)
            wall.append(passed)
    return Figures(ours, wall)


def cpu_of_run(metrics: Sequence[Metric]) -> tuple[float, float]:
    """Return the CPU seconds of this process during a stage that sleeps, and the seconds that went by."""
    figures = []

    async def main() -> None:
        with benchmark(flush_interval=1) as measured:
            async with measured:

                @BenchmarkSupervisor(metrics, measured)
                async def stage() -> None:
                    # What a run does in its beginning is not sampling.
                    await asyncio.sleep(SETTLING)
                    began, used = time.monotonic(), time.process_time()
                    await asyncio.sleep(SECONDS)
                    figures.extend([time.process_time() - used, time.monotonic() - began])

                await stage()

    asyncio.run(main())
    used, passed = figures
    return used, passed


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a function takes."""
    work()
    began = thread_time()
    for _ in range(REPEATS):
        work()
    return (thread_time() - began) / REPEATS


ROWS = [
    Row(
        "tree-finding",
        f"finding {CHILDREN} children and who they are",
        "psutil children(recursive=True)",
        measure_finding,
        0.25,
    ),
    Row(
        "tree-sampling",
        f"CPU time of a run that samples CPU and memory of {CHILDREN} children at 10 Hz, beyond an empty one",
        "one core",
        measure_sampling,
        0.015,
    ),
]
