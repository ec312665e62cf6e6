"""Garbage in cycles whose finalizer joins a worker that calls a stage, as that of a loader of data does.

Its arguments are the path of the database and the collector. Prints in which thread, and how long, each was joined.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time")], bm)
def item() -> None:
    time.sleep(0.001)


def work(stop: Event) -> None:
    while not stop.is_set():
        item()


class Loader:
    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.stop = context.Event()
        self.worker = context.Process(target=work, args=(self.stop,), daemon=True)
        self.worker.start()
        self.pid = os.getpid()
        self.me = self

    def __del__(self) -> None:
        if self.pid != os.getpid():
            return
        self.stop.set()
        began = time.perf_counter()
        self.worker.join(10)
        print(threading.current_thread().name, time.perf_counter() - began)


async def main() -> None:
    async with bm:
        for _ in range(4):
            item()
            loader = Loader()
            await asyncio.sleep(0.1)
            del loader
            await asyncio.sleep(0.2)
            await bm.flush()
        gc.collect()


asyncio.run(main())
