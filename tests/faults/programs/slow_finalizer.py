"""Garbage in cycles whose finalizer takes its time.

Its arguments are the path of the database and the collector. Prints in which thread each was called.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


class Slow:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        print(threading.current_thread().name)
        time.sleep(1)


@BenchmarkSupervisor([CPUMetric("cpu", interval=0.02)], bm)
async def whole() -> None:
    for _ in range(2):
        Slow()
        # So that a collection is due, which the next thread to make an object begins.
        kept = [[] for _ in range(600)]  # type: ignore[var-annotated]
        await asyncio.sleep(0.7)
        del kept


async def main() -> None:
    async with bm:
        await whole()


asyncio.run(main())
