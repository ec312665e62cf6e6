"""A pool whose workers are terminated right after their last call, as at the end of its `with` block.

Its arguments are the path of the database, the collector and the start method.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time")], bm)
def work(seconds: float) -> None:
    time.sleep(seconds)


async def main() -> None:
    async with bm:
        with multiprocessing.get_context(sys.argv[3]).Pool(2) as pool:
            pool.map(work, [0.01] * 6, chunksize=1)


if __name__ == "__main__":
    asyncio.run(main())
