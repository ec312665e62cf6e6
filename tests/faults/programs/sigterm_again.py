"""A server that stops gracefully at SIGTERM, and then ends by it, as uvicorn does.

Its arguments are the path of the database and the collector. Prints how many requests it has answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time")], bm)
async def request() -> None:
    await asyncio.sleep(0.005)


async def serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    answered = 0
    while not stop.is_set():
        await request()
        answered += 1
        if answered == 100:
            # Its database is open by then, whatever else the machine does.
            while not os.path.exists(f"{sys.argv[1]}-wal"):
                await request()
                answered += 1
            print("ready", flush=True)
    # Connections are closed, the lifespan ends.
    await asyncio.sleep(0.2)
    print(answered, flush=True)


asyncio.run(serve())
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.raise_signal(signal.SIGTERM)
