"""An exit handler that was registered before the package was imported, so that it runs after the package's own.

Its arguments are the path of the database and the collector. Prints what became of what it has recorded.
"""

from __future__ import annotations

import asyncio
import atexit
import sys


def early() -> None:
    work(1)
    bm.log("late", "mine", 1)
    print(bm.accounting)


atexit.register(early)

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric  # noqa: E402  # that is the point

bm = Benchmark(sys.argv[1], collector=sys.argv[2])
work = BenchmarkSupervisor([TimeMetric("time")], bm)(abs)
asyncio.run(bm.open())
work(-1)
