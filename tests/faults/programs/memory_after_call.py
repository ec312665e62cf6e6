"""What is allocated right after a call, or was freed right before it, belongs to another one.

Its arguments are the path of the database and the collector. Prints how much the process holds before each call, in
MiB.
"""

from __future__ import annotations

import asyncio
import mmap
import sys
import time
from pathlib import Path

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric

SIZE = 200 << 20
bm = Benchmark(sys.argv[1], collector=sys.argv[2])
metrics = [MemoryMetric("own", interval=0.02), MemoryMetric("tree", interval=0.02, children=True)]


def held() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE / (1 << 20)


def allocate() -> None:
    with mmap.mmap(-1, SIZE) as memory:
        for place in range(0, SIZE, mmap.PAGESIZE):
            memory[place] = 1
        time.sleep(0.03)


@BenchmarkSupervisor(metrics, bm)
def nothing() -> None:
    time.sleep(0.1)


async def main() -> None:
    async with bm:
        for _ in range(8):
            allocate()
            print(held())
            nothing()


asyncio.run(main())
