"""Functions of a script that joblib sends to its workers, which are kept from run to run.

Its arguments are the path of the database, the mode of the first benchmark, and "called" or "uncalled": whether the
functions were called before.
"""

from __future__ import annotations

import asyncio
import sys

from joblib import Parallel, delayed

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, ThroughputMetric, TimeMetric

items = ThroughputMetric("items")
first = Benchmark(sys.argv[1], "first", sys.argv[2])
second = Benchmark(sys.argv[1], "second")


@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.1), items], first)
def square(number: int) -> int:
    items.track(1)
    return number * number


@BenchmarkSupervisor([TimeMetric("time")], second)
def half(number: int) -> float:
    return number / 2


def work() -> None:
    if sys.argv[3] == "called":
        square(0)
        half(0)
    assert Parallel(n_jobs=2, batch_size=1)(delayed(square)(i) for i in range(20)) == [i * i for i in range(20)]
    assert Parallel(n_jobs=2, batch_size=1)(delayed(half)(i) for i in range(20)) == [i / 2 for i in range(20)]


async def main() -> None:
    for _ in range(2):
        async with first, second:
            work()


if sys.argv[3] == "called":
    asyncio.run(main())
else:
    work()
