"""Stages whose calls a stage runs in threads, in every way in which that is done.

Its arguments are the path of the database and the collector.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

submit = ThreadPoolExecutor.submit
bm = Benchmark(sys.argv[1], collector=sys.argv[2])
of_user = contextvars.ContextVar("of_user", default="unset")


class Pool(ThreadPoolExecutor):
    """A pool of the user's, which knows what it was given."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert fn is leaf
        return super().submit(fn, *args, **kwargs)


def leaf(number: int) -> str:
    """Do something in a call named after how it came about."""
    time.sleep(0.01)
    return of_user.get()


def named(name: str) -> Any:
    return BenchmarkSupervisor([TimeMetric("time")], bm, name)(lambda number: leaf(number))


def failing() -> None:
    raise KeyError("of the user")


@BenchmarkSupervisor([TimeMetric("time")], bm)
async def stage(pool: ThreadPoolExecutor, own: Pool) -> None:
    of_user.set("set")
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, named("default"), 1) == "unset"
    assert await loop.run_in_executor(pool, named("pool"), 1) == "unset"
    assert await asyncio.to_thread(named("to_thread"), 1) == "set"
    assert pool.submit(named("submit"), number=1).result() == "unset"
    assert list(pool.map(named("map"), [1, 2])) == ["unset", "unset"]
    assert await loop.run_in_executor(own, leaf, 1) == "unset"
    assert isinstance(pool.submit(failing).exception(), KeyError)
    thread = threading.Thread(target=named("thread"), args=(1,))
    thread.start()
    await asyncio.sleep(0.02)
    thread.join()


@BenchmarkSupervisor([TimeMetric("time")], bm)
def later(pool: ThreadPoolExecutor) -> Future[str]:
    pool.submit(time.sleep, 0.05)
    return pool.submit(named("late"), 1)


async def main() -> None:
    Benchmark(sys.argv[1])  # Another one changes nothing.
    assert inspect.signature(ThreadPoolExecutor.submit) == inspect.signature(submit)
    assert ThreadPoolExecutor.submit.__wrapped__ is submit  # type: ignore[attr-defined]
    assert ProcessPoolExecutor.submit.__module__ == "concurrent.futures.process"
    with ThreadPoolExecutor(1) as pool, Pool(1) as own:
        async with bm:
            await stage(pool, own)
            later(pool).result()
            await asyncio.get_running_loop().run_in_executor(pool, named("outside"), 1)


asyncio.run(main())
