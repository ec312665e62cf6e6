"""A program with a benchmark that has a name, a description and tags, to be run under `umlaut run`.

Its argument is the path of the database that `umlaut run` has. Prints the uuid of its run.
"""

from __future__ import annotations

import asyncio
import sys
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1], description="my description", tags=["mine"], name="my-name")


@BenchmarkSupervisor([TimeMetric("train")], bm)
def train() -> None:
    time.sleep(0.1)


async def main() -> None:
    async with bm:
        train()
        sys.stdout.write(bm.uuid)


asyncio.run(main())
