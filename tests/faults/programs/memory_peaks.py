"""Calls that hold 100 MiB for nearly all of their time, each longer than the interval at which they are stored.

Its arguments are the path of the database, the collector, and whether the calls are its "own" or those of a "worker".
"""

from __future__ import annotations

import asyncio
import mmap
import multiprocessing
import sys
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric

SCALE, CALLS, SIZE = 0.05, 20, 100 << 20
bm = Benchmark(sys.argv[1], collector=sys.argv[2], flush_interval=SCALE)


@BenchmarkSupervisor([MemoryMetric("own", interval=SCALE)], bm)
def stage() -> None:
    with mmap.mmap(-1, SIZE) as held:
        for place in range(0, SIZE, mmap.PAGESIZE):
            held[place] = 1
        time.sleep(2.3 * SCALE)


def work() -> None:
    for _ in range(CALLS):
        stage()
        time.sleep(0.1 * SCALE)


async def main() -> None:
    async with bm:
        if sys.argv[3] == "own":
            work()
        else:
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            await asyncio.to_thread(worker.join)


asyncio.run(main())
