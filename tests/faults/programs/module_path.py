"""A program that adds the folder of its packages to its path, as made by `pip install --target`.

Its arguments are the path of a database and the folder. The collector is to run in a process of its own.
"""

from __future__ import annotations

import asyncio
import sys

sys.path.insert(0, sys.argv[2])

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric  # they are in that folder

bm = Benchmark(sys.argv[1], collector="process")


@BenchmarkSupervisor([TimeMetric("time")], bm)
def stage() -> None:
    pass


async def main() -> None:
    async with bm:
        stage()


asyncio.run(main())
