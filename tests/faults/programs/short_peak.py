"""A call that holds 150 MiB for a moment, between two samples, and one after it that holds a little.

Its arguments are the path of the database and the collector. Prints what each has held at its highest, in MiB.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric

# A program begins with the kernel's mark of who has started it, here that of the tests; a forked process does not.
if forked := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([MemoryMetric("memory")], bm)
def stage(size: int) -> None:
    time.sleep(0.2)
    held = b"x" * (size << 20)
    time.sleep(0.2)
    del held
    time.sleep(0.2)


async def main() -> None:
    async with bm:
        for size in (150, 1):
            stage(size)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


asyncio.run(main())
