"""A run that nobody closes, or that is closed right after its only call.

Its arguments are the path of the database, the collector, and "closed" or "left".
"""

from __future__ import annotations

import asyncio
import sys
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time")], bm)
def stage() -> None:
    time.sleep(0.1)


stage()
if sys.argv[3] == "closed":
    asyncio.run(bm.close())
