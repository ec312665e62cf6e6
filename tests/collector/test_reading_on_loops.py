"""Readings on the event loop of a stage, which may end at any moment: no noise, no waiting, and no harm to the loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from umlaut_async.clock import now
from umlaut_async.collector.reading import Reader
from umlaut_async.collector.reading_thread import ReadingThreads
from umlaut_async.probes import Place, Probe, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


@pytest.fixture
def stage_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield an event loop that nobody runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True)
def no_noise(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where something is said on stderr or in the log."""
    yield
    gc.collect()
    assert capfd.readouterr().err == ""
    assert [record.getMessage() for record in caplog.records] == []


def reader(read: Callable[[], Awaitable[float]], deadline: float = 20.0) -> Reader:
    return Reader(Probe("key", read, "test", Place.LOOP, deadline=deadline), now, ReadingThreads(now))


async def five() -> float:
    return 5.0


async def forever() -> float:
    await asyncio.Event().wait()
    return 5.0


async def test_a_reading_is_taken_on_the_loop_of_the_stage() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def read() -> float:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return 5.0

    here = asyncio.get_running_loop()
    taken = await asyncio.to_thread(lambda: asyncio.run(reader(read).read(here)))
    assert (taken[1], loops) == (5.0, [here])


async def test_a_loop_that_closes_before_it_reads_is_unreadable_at_once(
    stage_loop: asyncio.AbstractEventLoop,
) -> None:
    reading = asyncio.create_task(reader(five).read(stage_loop))
    await asyncio.sleep(0.01)
    stage_loop.close()
    async with asyncio.timeout(10):
        with pytest.raises(UnreadableError, match="the event loop of the stage ended"):
            await reading


async def test_a_loop_that_is_closed_is_unreadable(stage_loop: asyncio.AbstractEventLoop) -> None:
    stage_loop.close()
    with pytest.raises(UnreadableError, match="was closed"):
        await reader(five).read(stage_loop)


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_a_loop_that_closes_while_it_reads_is_unreadable_at_once(
    stage_loop: asyncio.AbstractEventLoop, turns: int
) -> None:
    reading = asyncio.create_task(reader(forever).read(stage_loop))
    await asyncio.sleep(0.01)

    def run() -> None:
        for _ in range(turns):
            stage_loop.call_soon(stage_loop.stop)
            stage_loop.run_forever()

    await asyncio.to_thread(run)
    stage_loop.close()
    async with asyncio.timeout(10):
        with pytest.raises(UnreadableError, match="the event loop of the stage ended"):
            await reading


async def test_a_reading_that_the_end_of_its_loop_cancels_is_unreadable() -> None:
    begun, collector = threading.Event(), asyncio.get_running_loop()
    readings: list[asyncio.Task[tuple[int, float]]] = []

    async def read() -> float:
        begun.set()
        return await forever()

    async def stage() -> None:
        stage_loop = asyncio.get_running_loop()
        collector.call_soon_threadsafe(lambda: readings.append(asyncio.create_task(reader(read).read(stage_loop))))
        while not begun.is_set():
            await asyncio.sleep(0.001)

    await asyncio.to_thread(lambda: asyncio.run(stage()))
    async with asyncio.timeout(10):
        with pytest.raises(UnreadableError, match="the event loop of the stage ended"):
            await readings[0]


async def test_a_loop_that_stands_ends_a_reading_by_its_deadline(stage_loop: asyncio.AbstractEventLoop) -> None:
    reads: list[int] = []

    async def read() -> float:
        reads.append(1)
        return 5.0

    with pytest.raises(UnreadableError, match="no answer within"):
        await reader(read, deadline=0.1).read(stage_loop)

    def run() -> None:
        stage_loop.call_soon(stage_loop.stop)
        stage_loop.run_forever()

    await asyncio.to_thread(run)
    # Nobody wants it any more.
    assert reads == []


async def test_a_reading_that_is_given_up_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def read() -> float:
        try:
            return await forever()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(UnreadableError, match="no answer within"):
        await reader(read, deadline=0.1).read(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        await cancelled.wait()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, ValueError])
async def test_what_a_reading_raises_does_not_end_the_loop(error: type[BaseException]) -> None:
    async def read() -> float:
        raise error("an end")

    here = asyncio.get_running_loop()
    with pytest.raises(UnreadableError, match=r"read\(\) raised"):
        await asyncio.to_thread(lambda: asyncio.run(reader(read).read(here)))


async def test_the_first_reading_may_take_longer_and_whoever_waits_for_it_as_well() -> None:
    """Also one that is asked for while it goes on, as a tick is while an edge is read."""
    reads = itertools.count()
    released = threading.Event()

    def read() -> int:
        number = next(reads)
        if number == 0:
            time.sleep(0.5)
        elif number == 2:
            released.wait(30)
        return number

    slow = Reader(Probe("key", read, "test", Place.THREAD, deadline=0.2, first_deadline=30), now, ReadingThreads(now))
    first, second = await asyncio.gather(slow.read(None), slow.read(None))
    assert (first[1], second[1]) == (0, 1)
    with pytest.raises(UnreadableError, match=r"within 0\.2 s"):
        await slow.read(None)
    released.set()
    slow.close()
