"""A supervised function that one program writes into a file, and another one, which it has not started, calls.

Its arguments are the path of the database and of the file, and "writes" or "calls". The first one waits for the end of
its input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import cloudpickle

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric


async def main() -> None:
    benchmark = Benchmark(sys.argv[1], mode="w")

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    def work(number: int) -> int:
        return number + 1

    async with benchmark:
        work(1)
        await benchmark.flush()
        Path(sys.argv[2]).write_bytes(cloudpickle.dumps(work))
        print("written", flush=True)
        sys.stdin.read()


if sys.argv[3] == "writes":
    asyncio.run(main())
else:
    for _ in range(3):
        function = cloudpickle.loads(Path(sys.argv[2]).read_bytes())
        assert function(1) == 2
