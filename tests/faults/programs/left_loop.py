"""A loader that holds its one generator: a first loop over it is left, and a second one takes the rest.

Its arguments are the path of the database, and how many references to an object are counted at most. Releases of
Python differ in what they count: from 3.14 on, a frame borrows what it works with from its own variables.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

bm = Benchmark(sys.argv[1])
supervisor = BenchmarkSupervisor([TimeMetric("time")], bm)
counted, most = sys.getrefcount, int(sys.argv[2])
sys.getrefcount = lambda object, /: min(most, counted(object))


class Stream:
    def __init__(self) -> None:
        self.items = (number for number in range(4))

    def __iter__(self) -> Iterator[int]:
        return self.items


class AsyncStream:
    def __init__(self) -> None:
        self.items = self.counting()

    def __aiter__(self) -> AsyncIterator[int]:
        return self.items

    async def counting(self) -> AsyncIterator[int]:
        for number in range(4):
            yield number


def rest(first: Iterable[int], then: Iterable[int]) -> list[int]:
    for _ in first:
        break
    return list(then)


async def async_rest(first: AsyncIterable[int], then: AsyncIterable[int]) -> list[int]:
    async for _ in first:
        break
    await asyncio.sleep(0.01)  # The loop closes in a task of its own what was dropped.
    return [number async for number in then]


async def main() -> None:
    async with bm:
        stream, async_stream = Stream(), AsyncStream()
        print(rest(supervisor.iterate(stream), stream))
        print(await async_rest(supervisor.iterate(async_stream), async_stream))


asyncio.run(main())
