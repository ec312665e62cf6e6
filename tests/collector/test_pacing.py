"""Work in small pieces, with rests between them."""

from __future__ import annotations

import asyncio
import time

import pytest

from umlaut_async.collector.pacing import paced


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Rests:
    """What the work has rested, in seconds."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


async def test_work_rests_nine_times_as_long_as_it_takes() -> None:
    async def work() -> str:
        for _ in range(3):
            busy(0.002)
            await asyncio.sleep(0)
        return "done"

    rests = Rests()
    assert await paced(work(), rests, lambda: True) == "done"
    assert len(rests.taken) == 3
    assert min(rests.taken) >= 9 * 0.002


async def test_what_could_not_be_rested_is_made_up_for() -> None:
    async def work() -> None:
        for _ in range(4):
            busy(0.002)
            await asyncio.sleep(0)

    rests, asked = Rests(), iter([False, False, True, False])
    await paced(work(), rests, lambda: next(asked))
    [taken] = rests.taken
    assert taken >= 9 * 0.006


async def test_errors_of_what_is_awaited_reach_the_work() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def work() -> str:
        try:
            await asyncio.gather(fails())
        except ValueError as error:
            return str(error)
        return ""

    assert await paced(work(), Rests(), lambda: True) == "no"


async def test_errors_of_the_work_reach_who_awaits_it() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await paced(work(), Rests(), lambda: True)


async def test_cancelled_work_ends_in_its_own_way() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def rest(seconds: float) -> None:
        await asyncio.sleep(0)

    task = asyncio.create_task(paced_task(work(), rest))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def paced_task(work: object, rest: object) -> None:
    await paced(work, rest, lambda: True)  # type: ignore[arg-type]
