"""A cell of a notebook that makes a benchmark, run again and again.

Its arguments are the path of the database, the collector and the mode. Prints how many threads and files there are, and
how many runs are "running", after each, once what was dropped has had its time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading
import time
from contextlib import closing
from operator import gt
from typing import Any

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

PATIENCE = 10
cell: dict[str, Any] = {}


async def run_cell() -> None:
    cell["bm"] = bm = Benchmark(sys.argv[1], mode=sys.argv[3], collector=sys.argv[2])
    cell["work"] = work = BenchmarkSupervisor([TimeMetric("time")], bm)(abs)
    work(-1)
    await bm.flush()


def state() -> tuple[int, int, int]:
    with closing(sqlite3.connect(sys.argv[1])) as connection:
        [running] = connection.execute("select count(*) from run where status = 'running'").fetchone()
    return threading.active_count(), len(os.listdir("/proc/self/fd")), running


async def main() -> None:
    first: tuple[int, int, int] | None = None
    for _ in range(5):
        await run_cell()
        gc.collect()
        found = state()
        deadline = time.monotonic() + PATIENCE
        while first is not None and any(map(gt, found, first)) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            found = state()
        first = first or found
        print(*found)


asyncio.run(main())
