"""What needs a process of its own to be measured: the sampler's CPU time, and the import."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from tests import support
from tests.benchmarks.harness import ROUNDS, Figures, Row

SAMPLER_ROUNDS = 3

OUR_SAMPLER = """
import asyncio, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric

bm = Benchmark("runs.db", flush_interval=1)

@BenchmarkSupervisor([CPUMetric("cpu", interval=0.1), MemoryMetric("memory", interval=0.1)], bm)
async def idle():
    before = time.process_time()
    await asyncio.sleep(10)
    return time.process_time() - before

async def main():
    async with bm:
        await asyncio.sleep(1)
        print(await idle())

asyncio.run(main())
"""

BARE_LOOP = """
import asyncio, time
import psutil

async def sample(process):
    began = time.monotonic()
    for tick in range(1, 101):
        await asyncio.sleep(began + tick * 0.1 - time.monotonic())
        process.cpu_times()
        process.memory_info()

async def main():
    before = time.process_time()
    await sample(psutil.Process())
    print(time.process_time() - before)

asyncio.run(main())
"""

IMPORT = """
import asyncio, sys, time
began = time.perf_counter()
import {names}
print(time.perf_counter() - began)
"""


def start(script: str, folder: str) -> subprocess.Popen[str]:
    """Start a script whose last line on stdout is a number."""
    environment = support.environment()
    # The peers' bytecode was written when they were installed; ours must be too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def number(process: subprocess.Popen[str]) -> float:
    """Return the number that a script prints."""
    output, _ = process.communicate(timeout=60)
    if process.returncode:
        raise RuntimeError(f"a benchmark script ended with {process.returncode}")
    return float(output)


def sampler() -> Figures:
    """Compare the CPU time of ten seconds, both at the same time: idle processes do not disturb each other."""
    figures = Figures([], [])
    for _ in range(SAMPLER_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            ours, peer = start(OUR_SAMPLER, folder), start(BARE_LOOP, folder)
            figures.ours.append(number(ours) / 10)
            figures.peer.append(number(peer) / 10)
    return figures


def importing() -> Figures:
    """Compare the time of the import where asyncio is imported already."""
    figures = Figures([], [])
    for _ in range(ROUNDS):
        for into, names in ((figures.ours, "umlaut_async"), (figures.peer, "sqlalchemy.ext.asyncio, aiosqlite")):
            into.append(number(start(IMPORT.format(names=names), os.curdir)))
    return figures


ROWS = [
    Row(
        "sampler",
        "CPU time per second of sampling CPU and memory at 10 Hz",
        "bare loop, same psutil reads",
        sampler,
        1.3,
    ),
    Row("import", "import umlaut_async", "import sqlalchemy.ext.asyncio, aiosqlite", importing, 0.12),
]
