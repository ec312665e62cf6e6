"""Which series the calls of an event loop use, when loops come and go."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref

import pytest

from umlaut_async.collector.link import Link
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.series import Series
from umlaut_async.probes import Place, Probe

SECOND = 1_000_000_000


class Calls:
    """The calls on a source that is read on loops."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.made: list[Series] = []
        self.source = LoopSeries(0, Probe("key", float, "test", Place.LOOP), self._new)

    def _new(self) -> Series:
        self.made.append(Series(Link(), len(self.made), "kind", "unit", "words", self.source.probe, SECOND))
        return self.made[-1]

    def enter(self, loop: asyncio.AbstractEventLoop | None) -> tuple[int, Series]:
        """Begin a call on a loop, and return its number and its series."""
        number = next(self.numbers)

        async def call() -> None:
            self.source.enter(number, number, None)

        if loop is None:
            self.source.enter(number, number, None)
        else:
            loop.run_until_complete(call())
        series = self.source.of(number)
        assert series is not None
        return number, series

    def leave(self, number: int) -> None:
        self.source.leave(number, number + 1, None)
        self.source.forget(number)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_each_loop_has_a_series_and_so_have_the_calls_without_a_loop(calls: Calls) -> None:
    with asyncio.Runner() as one, asyncio.Runner() as other:
        loops = one.get_loop(), None, other.get_loop()
        first = [calls.enter(loop)[1] for loop in loops]
        assert len(set(map(id, first))) == 3
        assert [calls.enter(loop)[1] for loop in loops] == first
    assert calls.made == first


def test_the_series_of_a_closed_loop_goes_on_with_the_next_once_its_calls_have_ended(calls: Calls) -> None:
    with asyncio.Runner() as runner:
        number, first = calls.enter(runner.get_loop())
    with asyncio.Runner() as runner:
        # A call on the closed loop has not ended yet.
        other, second = calls.enter(runner.get_loop())
        assert second is not first
        calls.leave(other)
    calls.leave(number)
    for _ in range(5):
        with asyncio.Runner() as runner:
            number, series = calls.enter(runner.get_loop())
            assert series in (first, second)
            assert series.loop() is runner.get_loop()
            calls.leave(number)
    assert len(calls.made) == 2


def test_a_loop_lives_no_longer_because_it_is_measured(calls: Calls) -> None:
    runner = asyncio.Runner()
    loop = weakref.ref(runner.get_loop())
    number, series = calls.enter(runner.get_loop())
    calls.leave(number)
    series.take_edges(number)
    runner.close()
    del runner
    gc.collect()
    assert loop() is None
    with asyncio.Runner() as runner:
        assert calls.enter(runner.get_loop())[1] is series


def test_threads_whose_loops_come_at_the_same_time_never_share_a_series(calls: Calls) -> None:
    count, rounds = 6, 30
    met = threading.Barrier(count, timeout=20)
    used: list[list[Series]] = [[] for _ in range(rounds)]

    def work() -> None:
        for shared in used:
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                met.wait()
                number, series = calls.enter(loop)
                shared.append(series)
                met.wait()
                assert calls.enter(loop)[1] is series
                for entered in (number, *series.calls.copy()):
                    calls.leave(entered)
            met.wait()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(set(map(id, shared))) for shared in used] == [count] * rounds
    assert len(calls.made) == count
