"""A coroutine that blocks its loop by code that holds the interpreter, or by a stop of the whole process.

Its arguments are the path of the database, the collector, and "gil" or "stop". Prints how long each block was.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time

from umlaut_async import AwaitMetric, Benchmark, BenchmarkSupervisor, EventLoopLagMetric

STOP = f"import os, time; os.kill({os.getpid()}, {signal.SIGSTOP:d}); time.sleep(.5)"
CONTINUE = f"os.kill({os.getpid()}, {signal.SIGCONT:d})"

bm = Benchmark(sys.argv[1], collector=sys.argv[2])
data = [random.random() for _ in range(2_000_000)]
blocks: list[float] = []


def block() -> None:
    if sys.argv[3] == "gil":
        sorted(data)
    else:
        subprocess.run([sys.executable, "-c", f"{STOP}; {CONTINUE}"], check=True)


@BenchmarkSupervisor([EventLoopLagMetric("lag"), AwaitMetric("steps")], bm)
async def stage() -> None:
    await asyncio.sleep(0.15)
    began = time.perf_counter()
    block()
    blocks.append(time.perf_counter() - began)
    await asyncio.sleep(0.15)


async def main() -> None:
    async with bm:
        for _ in range(3):
            await stage()


asyncio.run(main())
print(*blocks)
