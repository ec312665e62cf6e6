"""Metrics of users: what they may say of themselves, and what becomes of unusual numbers."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import entries
from umlaut_async import ArgumentError, ArgumentTypeError, BenchmarkSupervisor, Metric, ThroughputMetric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support import EndedCalls, Rows
    from umlaut_async import Benchmark


class Counter(Metric):
    measure_type = "counter"
    unit = "things"
    counter = True

    def __init__(self, readings: Iterable[Any]) -> None:
        super().__init__("a counter", 10)
        self._readings = iter(readings)

    def read(self) -> Any:
        return next(self._readings)


def test_a_unit_that_is_no_text_is_refused() -> None:
    class Own(Counter):
        unit = 5  # type: ignore[assignment]

    with pytest.raises(ArgumentTypeError, match="unit"):
        Own([])


def test_an_unknown_reduction_is_refused_by_the_known_ones() -> None:
    class Own(Counter):
        reduction = "median"

    with pytest.raises(ArgumentError, match=r"'median'.*difference.*mean.*peak"):
        Own([])

    class Peak(Counter):
        reduction = "peak"

    Peak([])


def test_a_reduction_that_is_no_name_is_refused() -> None:
    class Own(Counter):
        reduction = ["peak"]  # type: ignore[assignment]

    with pytest.raises(ArgumentTypeError, match="reduction"):
        Own([])


async def test_a_counter_of_long_integers_is_stored(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    @BenchmarkSupervisor([Counter(itertools.count(2**70, 3))], benchmark)
    def stage() -> None:
        pass

    stage()
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["results"]["counter"]["value"] == 3
    assert call["results"]["counter"]["data"]["first"] == 2**70


async def test_a_reading_that_is_too_large_for_a_float_is_unreadable(benchmark: Benchmark, rows: Rows) -> None:
    @BenchmarkSupervisor([Counter(itertools.repeat(10**5000))], benchmark)
    def stage() -> None:
        pass

    stage()
    await benchmark.flush()
    (event,) = rows("select * from event where kind = 'unreadable'")
    assert "read() returned an integer that is too large" in event["message"]
    assert benchmark.accounting.stored == 1


@pytest.mark.parametrize("digits", [400, 5000])
async def test_entries_that_are_too_large_for_a_float_are_refused(
    benchmark: Benchmark, ended_calls: EndedCalls, digits: int
) -> None:
    metric = ThroughputMetric("rows")

    @BenchmarkSupervisor([metric], benchmark)
    def stage() -> None:
        with pytest.raises(ArgumentError, match="too large"):
            metric.track(10**digits)
        with pytest.raises(ArgumentError):
            metric.track(-(10**digits))
        metric.track(np.int64(4))  # type: ignore[arg-type]

    stage()
    await benchmark.flush()
    (call,) = ended_calls()
    assert entries(call) == 4


async def test_a_call_that_is_shorter_than_a_reading_has_a_reading_at_each_edge(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    """Also where both edges wait, as they do here behind a reading that takes its time."""
    reads = itertools.count()
    begun, released = threading.Event(), threading.Event()

    class Slow(Counter):
        def read(self) -> int:
            begun.set()
            assert released.wait(30)
            return next(reads)

    @BenchmarkSupervisor([Slow([])], benchmark)
    def stage() -> None:
        pass

    await benchmark.open()
    stage()
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(100):
        stage()
    released.set()
    await benchmark.flush()
    calls = ended_calls()
    assert len(calls) == 101
    assert all(call["results"]["counter"]["value"] >= 1 for call in calls)
    # One is for the tick that the series began with, at the most.
    assert next(reads) <= 4
