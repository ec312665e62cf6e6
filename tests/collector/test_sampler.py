"""The sampling tasks on a clock of the test's own: ticks, stalls, gaps, lingering and shared edges."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async.collector.link import Link
from umlaut_async.collector.sampler import Sampler
from umlaut_async.collector.series import Series
from umlaut_async.probes import Lack, Place, Probe, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import EventRecord

MS = 1_000_000


class ManualClock:
    """A clock that stands until the test moves it."""

    def __init__(self) -> None:
        self.time = 1_000 * MS
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self.time

    async def sleep_until(self, moment: int) -> None:
        if moment > self.time:
            woken = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (moment, next(self._order), woken))
            await woken

    async def advance(self, by: int) -> None:
        """Move on, waking every sleeper at its moment."""
        await self._settle()
        end = self.time + by
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            self.time = max(self.time, moment)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self.time = end

    async def stall(self, by: int) -> None:
        """Move on without waking anybody on the way, as a blocked process does."""
        await self._settle()
        self.time += by
        await self.advance(0)

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


class Bench:
    """A sampler on a manual clock, with one series."""

    def __init__(self, read: Callable[[], Any], **probe: Any) -> None:
        self.clock = ManualClock()
        self.events: list[EventRecord] = []
        self.sampler = Sampler(self.events.append, self.clock)
        self.series = Series(Link(), 1, "kind", "unit", "words", Probe("key", read, "test", **probe), 100 * MS)

    def enter(self, number: int, reading: Any = None) -> None:
        self.series.enter(number, self.clock.now(), reading)
        self.sampler.start(self.series)
        self.sampler.take_edges(self.series)

    def leave(self, number: int, reading: Any = None) -> None:
        self.series.leave(number, self.clock.now(), reading)
        self.sampler.take_edges(self.series)

    def times(self) -> list[int]:
        """The times of the samples in milliseconds after the clock's start."""
        return [round((t - 1_000 * MS) / MS) for t in self.series.log.pending_times]


async def test_ticks_are_multiples_of_the_interval_from_the_start_of_the_first_call() -> None:
    bench = Bench(lambda: 5.0)
    await bench.clock.advance(33 * MS)
    bench.enter(1)
    await bench.clock.advance(350 * MS)
    assert bench.times() == [133, 233, 333]
    assert bench.series.missed == 0
    await bench.sampler.close()


async def test_a_stall_costs_the_ticks_that_it_covered_and_shifts_none() -> None:
    bench = Bench(lambda: 5.0)
    bench.enter(1)
    await bench.clock.advance(100 * MS)
    await bench.clock.stall(430 * MS)
    await bench.clock.advance(170 * MS)
    # Due at 200, 300, 400 and 500 during the stall: one late sample, three missed, then on time again.
    assert bench.times() == [100, 530, 600, 700]
    assert bench.series.missed == 3
    await bench.sampler.close()


async def test_a_rate_uses_the_time_that_really_passed() -> None:
    total = itertools.count(0, 1000)
    bench = Bench(lambda: next(total), rate=lambda earlier, later, elapsed: (later - earlier) * MS / elapsed)
    bench.enter(1)
    await bench.clock.advance(100 * MS)
    await bench.clock.stall(400 * MS)
    assert list(bench.series.log.values) == [10.0, 2.5]
    await bench.sampler.close()


async def test_the_task_lingers_two_ticks_after_the_last_call() -> None:
    bench = Bench(lambda: 5.0)
    bench.enter(1)
    await bench.clock.advance(100 * MS)
    bench.leave(1)
    await bench.clock.advance(200 * MS)
    assert bench.series.sampled
    await bench.clock.advance(100 * MS)
    assert not bench.series.sampled
    await bench.clock.advance(1_000 * MS)
    assert bench.times() == [100, 200, 300]
    bench.enter(2)
    await bench.clock.advance(100 * MS)
    assert bench.times()[3:] == [1_500]
    await bench.sampler.close()


async def test_a_call_that_comes_while_the_task_ends_is_sampled() -> None:
    bench = Bench(lambda: 5.0)
    bench.enter(1)
    bench.leave(1)
    await bench.clock.advance(250 * MS)
    bench.enter(2)
    await bench.clock.advance(250 * MS)
    assert bench.series.sampled
    assert bench.times() == [100, 200, 300, 400, 500]
    await bench.sampler.close()


@pytest.mark.parametrize("place", [Place.CALLER, Place.THREAD])
async def test_a_failing_read_is_a_gap_and_one_event(place: Place) -> None:
    reads = itertools.count()

    def read() -> float:
        if next(reads) in (1, 2):
            raise OSError("sensor is away")
        return 5.0

    bench = Bench(read, place=place)
    bench.series.calls[1] = bench.clock.now()
    bench.sampler.start(bench.series)
    for _ in range(5):
        await bench.clock.advance(100 * MS)
        await asyncio.sleep(0.02)
    assert bench.times() == [100, 400, 500]
    assert [event.kind for event in bench.events] == ["unreadable"]
    assert "sensor is away" in bench.events[0].message
    await bench.sampler.close()


async def test_what_a_reading_lacks_is_told_once_and_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    forbidden = Lack("its left half", "it is locked", "run: unlock")
    broken = Lack("its right half", "it is broken")
    lacks = iter([(), (forbidden,), (forbidden, broken), (broken._replace(reason="still broken"),), ()])
    bench = Bench(lambda: 5.0, lacks=lambda reading: next(lacks) if reading == 5.0 else 1 / 0)
    bench.enter(1)
    await bench.clock.advance(500 * MS)
    assert bench.times() == [100, 200, 300, 400, 500]
    assert bench.series.provenance == "measured"
    assert [(event.kind, event.message, event.data) for event in bench.events] == [
        (
            "incomplete",
            "kind 'words' was recorded without its left half: it is locked. To record it: run: unlock",
            {"type": "kind", "description": "words", "part": "its left half", "reason": "it is locked",
             "cure": "run: unlock"},
        ),
        (
            "incomplete",
            "kind 'words' was recorded without its right half: it is broken",
            {"type": "kind", "description": "words", "part": "its right half", "reason": "it is broken", "cure": None},
        ),
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [event.message for event in bench.events]
    await bench.sampler.close()


async def test_a_rate_does_not_span_a_gap() -> None:
    readings = iter([0, 100, None, 900, 1000])

    def read() -> int:
        value = next(readings)
        if value is None:
            raise OSError("gone")
        return value

    bench = Bench(read, rate=lambda earlier, later, elapsed: (later - earlier) * 1.0)
    bench.enter(1)
    await bench.clock.advance(400 * MS)
    assert list(bench.series.log.values) == [100.0, 100.0]
    await bench.sampler.close()


async def test_a_counter_that_never_stands_has_no_rate_of_0_and_the_next_one_reaches_back() -> None:
    def rate(earlier: int, later: int, elapsed: int) -> float:
        return (later - earlier) * MS / elapsed

    for restless, expected in ((True, [5.0, 5.0]), (False, [5.0, 0.0, 0.0, 15.0])):
        bench = Bench(iter([0, 500, 500, 500, 2000]).__next__, rate=rate, restless=restless)
        bench.enter(1)
        await bench.clock.advance(400 * MS)
        assert list(bench.series.log.values) == expected
        await bench.sampler.close()


async def test_a_source_that_fails_again_after_a_while_is_told_again_and_one_that_comes_and_goes_is_not() -> None:
    fails = [False]

    def read() -> float:
        if fails[0]:
            raise OSError("gone")
        return 1.0

    bench = Bench(read)
    bench.enter(1)
    for told, seconds in enumerate([1, 100, 1, 1, 100], 1):
        for failing in (True, False, True, False):
            fails[0] = failing
            await bench.clock.advance(seconds * 1000 * MS)
        assert len(bench.events) == [1, 3, 4, 4, 6][told - 1]
    assert {event.kind for event in bench.events} == {"unreadable"}
    await bench.sampler.close()


async def test_a_call_does_not_tell_again_what_its_samples_have_told() -> None:
    def read() -> float:
        raise UnreadableError("gone")

    bench = Bench(read)
    bench.enter(1)
    await bench.clock.advance(200 * MS)
    bench.sampler.faults.add(bench.series, UnreadableError("gone"))
    assert len(bench.events) == 1
    bench.sampler.faults.add(bench.series, UnreadableError("too short"))
    assert [event.data["reason"] for event in bench.events if event.data] == ["gone", "too short"]
    await bench.sampler.close()


async def test_edges_that_are_requested_together_share_one_reading() -> None:
    reads: list[int] = []

    def read() -> float:
        reads.append(1)
        return 7.0

    bench = Bench(read, place=Place.THREAD)
    for number in range(1000):
        bench.series.enter(number, bench.clock.now(), None)
    bench.sampler.take_edges(bench.series)
    await asyncio.wait_for(bench.sampler.edge_taken.wait(), 5)
    assert len(reads) == 1
    for number in range(1000):
        bench.series.leave(number, bench.clock.now(), None)
        assert bench.series.awaits_edges(number)
    bench.sampler.edge_taken.clear()
    bench.sampler.take_edges(bench.series)
    await asyncio.wait_for(bench.sampler.edge_taken.wait(), 5)
    assert len(reads) == 2
    assert all(not bench.series.awaits_edges(number) for number in range(1000))
    edges = bench.series.take_edges(3)
    assert (edges.entered, edges.left) == (7.0, 7.0)
    await bench.sampler.close()


async def test_edge_readings_of_a_gauge_are_samples_at_most_once_in_a_tenth_of_the_interval() -> None:
    bench = Bench(lambda: 5.0)
    for number in range(100):
        bench.series.enter(number, bench.clock.now(), float(number))
        bench.clock.time += MS
    bench.series.take_edge_samples()
    assert bench.times() == list(range(0, 100, 10))


async def test_a_task_that_follows_another_at_once_keeps_its_reader() -> None:
    """The end of the first task is found only after the second has begun."""
    closed: list[int] = []
    bench = Bench(lambda: 5.0, place=Place.THREAD, close=lambda: closed.append(1))
    sampler, series = bench.sampler, bench.series
    series.sampled = True
    ended = asyncio.Event()

    async def end() -> None:
        series.sampled = False
        asyncio.get_running_loop().call_soon(sampler.start, series)
        asyncio.get_running_loop().call_soon(ended.set)

    await sampler._tick(series)
    series.calls[1] = bench.clock.now()
    sampler._spawn(end(), series)
    await ended.wait()
    await bench.clock.advance(200 * MS)
    await asyncio.sleep(0.05)
    assert series.sampled
    assert closed == []
    await sampler.close()
    assert bench.times()


async def test_an_edge_that_is_requested_as_the_task_ends_is_read() -> None:
    """The end of the task is found only after the request was looked at."""
    bench = Bench(lambda: 5.0, place=Place.THREAD)
    taken = bench.sampler.edge_taken

    class Requesting(asyncio.Event):
        def set(self) -> None:
            super().set()
            if bench.series.calls:
                asyncio.get_running_loop().call_soon(bench.leave, 1)

    bench.sampler.edge_taken = Requesting()
    bench.enter(1)
    async with asyncio.timeout(20):
        while bench.series.awaits_edges(1):
            await asyncio.sleep(0.01)
    assert not taken.is_set()
    await bench.sampler.close()
