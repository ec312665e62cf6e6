"""Two runs one after the other, the workers of which are older than the second: of a fork server, or of a pool.

Its arguments are the path of the database, and "forkserver" or "pool".
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

# A fork server gives its children no arguments.
bm = Benchmark(os.environ.setdefault("RUNS_OF_ONE_POOL", sys.argv[1] if len(sys.argv) > 1 else ""))


@BenchmarkSupervisor([TimeMetric("time")], bm)
def work(number: int) -> int:
    return number + 1


async def main() -> None:
    context = multiprocessing.get_context("forkserver" if sys.argv[2] == "forkserver" else "spawn")
    kept = context.Pool(2) if sys.argv[2] == "pool" else None
    for _ in range(2):
        async with bm:
            pool = kept or context.Pool(2)
            pool.map(work, range(6), chunksize=1)
            if kept is None:
                pool.close()
                pool.join()
    if kept is not None:
        kept.close()
        kept.join()


if __name__ == "__main__":
    asyncio.run(main())
