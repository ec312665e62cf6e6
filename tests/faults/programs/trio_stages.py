"""Stages of every asynchronous kind under trio, some of which it cancels.

Its arguments are the path of the database, the collector, and whether trio is a guest of asyncio. Prints whether
a flush could be cancelled, and what is left to be stored.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING

import trio

from umlaut_async import (
    AwaitMetric,
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    ThroughputMetric,
    TimeMetric,
    WaitMetric,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

bm = Benchmark(sys.argv[1], collector=sys.argv[2], flush_interval=60)
# An async generator that is left is said to be closed by the garbage collector, supervised or not.
warnings.simplefilter("ignore", ResourceWarning)


@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.05), AwaitMetric("await")], bm)
async def stage(number: int) -> int:
    await trio.sleep(0.01)
    return number


@BenchmarkSupervisor([TimeMetric("time"), ThroughputMetric("throughput"), WaitMetric("wait")], bm)
async def items(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await trio.sleep(0.001)
        yield await stage(number)


@BenchmarkSupervisor([TimeMetric("time")], bm)
async def sleeping() -> None:
    await trio.sleep_forever()


@BenchmarkSupervisor([TimeMetric("time")], bm)
async def in_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeping)
        nursery.start_soon(sleeping)


@BenchmarkSupervisor([TimeMetric("time")], bm)
def in_thread() -> None: ...


@BenchmarkSupervisor([TimeMetric("time")], bm)
async def outer() -> None:
    await trio.to_thread.run_sync(in_thread)


async def main() -> None:
    async with bm:
        assert [item async for item in items(3)] == [0, 1, 2]
        async for _ in items(3):
            break
        async with BenchmarkSupervisor([TimeMetric("time")], bm, name="block"):
            await outer()
        await bm.flush()
        for cancelled in (sleeping, in_nursery):
            with trio.move_on_after(0.02):
                await cancelled()
        with trio.CancelScope() as scope:
            scope.cancel()
            await bm.flush()
        print(scope.cancelled_caught)
        await bm.flush()
    await bm.close()
    print(bm.accounting.in_flight, bm.accounting.dropped)


async def host() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    trio.lowlevel.start_guest_run(
        main, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
    )
    (await done).unwrap()
    await bm.flush()  # By the means of asyncio again.


if sys.argv[3] == "guest":
    asyncio.run(host())
else:
    trio.run(main)
