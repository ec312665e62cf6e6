"""Garbage in cycles, whose finalizers the cyclic garbage collector calls in some thread.

Its arguments are the path of the database and the collector. Prints how many were called in which thread.
"""

from __future__ import annotations

import asyncio
import collections
import sys
import threading
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])
called_in: collections.Counter[str] = collections.Counter()


class Node:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        called_in[threading.current_thread().name] += 1


@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.01)], bm)
def step() -> None:
    # Enough for a search also where Python begins one only after thousands of objects.
    for _ in range(10):
        Node()
    time.sleep(0.001)


async def main() -> None:
    async with bm:
        for _ in range(1500):
            step()


asyncio.run(main())
print(dict(called_in))
