"""Garbage in cycles that owns interpreters of Tcl, as closed windows do: these abort the program in another thread.

Its arguments are the path of the database and the collector.
"""

from __future__ import annotations

import asyncio
import sys
import time
import tkinter

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


class Window:
    def __init__(self) -> None:
        self.tcl = tkinter.Tcl()
        self.me = self


@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.01)], bm)
def step() -> None:
    Window()
    time.sleep(0.001)


async def main() -> None:
    async with bm:
        for _ in range(500):
            step()


asyncio.run(main())
