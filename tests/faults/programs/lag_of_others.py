"""Coroutines of another process of the run, on a loop of its own: a worker, or a program that is started.

Its arguments are the path of the database, the collector, and "fork", "spawn" or "program".
"""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys

from umlaut_async import Benchmark, BenchmarkSupervisor, EventLoopLagMetric, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time"), EventLoopLagMetric("lag")], bm)
async def predict() -> None:
    await asyncio.sleep(0.01)


async def predict_all() -> None:
    for _ in range(40):
        await predict()


def work() -> None:
    asyncio.run(predict_all())


async def main() -> None:
    async with bm:
        await predict()
        await asyncio.sleep(0.3)
        if sys.argv[3] == "program":
            command = [sys.executable, __file__, *sys.argv[1:3], "joined"]
            await asyncio.to_thread(subprocess.run, command, check=True)
        else:
            multiprocessing.set_start_method(sys.argv[3])
            worker = multiprocessing.Process(target=work)
            worker.start()
            await asyncio.to_thread(worker.join)


if __name__ == "__main__":
    asyncio.run(predict_all() if sys.argv[3] == "joined" else main())
