"""Two runs of one process, between which the clock of the system is set.

Its arguments are the path of the database, the collector, and by how many seconds. Under `LD_PRELOAD` of a library that
adds to the clock what is in the file STEPFILE. Prints the time of the clock when each run began its stage.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from pathlib import Path

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric


async def run(number: int) -> None:
    bm = Benchmark(sys.argv[1], collector=sys.argv[2], name=f"run {number}")
    stage = BenchmarkSupervisor([TimeMetric("time")], bm, name="stage")(asyncio.sleep)
    async with bm:
        print(time.time())
        await stage(0.05)


async def main() -> None:
    await run(1)
    Path(os.environ["STEPFILE"]).write_bytes(struct.pack("d", float(sys.argv[3])))
    await run(2)


asyncio.run(main())
