"""`track` sets the number of entries, and it stays: what UMLAUT did with an attribute."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import calls_of, check_message, entries
from umlaut_async import compat
from umlaut_async.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bm(database: Path) -> Iterator[compat.Benchmark]:
    benchmark = compat.Benchmark(str(database), "a test")
    yield benchmark
    benchmark.close()


def tracked(bm: compat.Benchmark, database: Path, measure_type: str = "throughput") -> list[float | None]:
    """Return the entries of each call, None where it has no result of the type."""
    bm.flush()
    return [entries(call, measure_type) if measure_type in call["results"] else None for call in calls_of(database)]


def test_it_sets_and_does_not_add(bm: compat.Benchmark, database: Path) -> None:
    throughput, latency = compat.ThroughputMetric("throughput"), compat.LatencyMetric("latency")

    @compat.BenchmarkSupervisor([throughput, latency], bm)
    def stage() -> None:
        throughput.track(2)
        throughput.track(5)
        latency.track(7)
        time.sleep(0.01)

    stage()
    assert tracked(bm, database) == [5]
    assert tracked(bm, database, "latency") == [7]


def test_it_counts_before_a_call_and_stays_for_later_calls(bm: compat.Benchmark, database: Path) -> None:
    throughput = compat.ThroughputMetric("throughput")

    @compat.BenchmarkSupervisor([compat.TimeMetric("time"), throughput], bm)
    def stage(number: int | None = None) -> None:
        if number is not None:
            throughput.track(number)
        time.sleep(0.01)

    stage()
    throughput.track(3)
    stage()
    stage(8)
    stage()
    throughput.track(4)
    stage()
    assert tracked(bm, database) == [None, 3, 8, 8, 4]


def test_a_thread_without_context_sets_it_for_the_running_call(bm: compat.Benchmark, database: Path) -> None:
    throughput = compat.ThroughputMetric("throughput")

    @compat.BenchmarkSupervisor([throughput], bm)
    def stage() -> None:
        thread = threading.Thread(target=throughput.track, args=(6,))
        thread.start()
        thread.join()
        time.sleep(0.01)

    throughput.track(2)
    stage()
    assert tracked(bm, database) == [6]


def test_calls_in_several_threads_keep_their_own(bm: compat.Benchmark, database: Path) -> None:
    throughput = compat.ThroughputMetric("throughput")
    together = threading.Barrier(8)

    @compat.BenchmarkSupervisor([throughput], bm)
    def stage(number: int) -> None:
        together.wait(20)
        throughput.track(number)
        together.wait(20)
        time.sleep(0.01)

    threads = [threading.Thread(target=stage, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(number or 0 for number in tracked(bm, database)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_items_of_a_generator_count_until_something_is_tracked(bm: compat.Benchmark, database: Path) -> None:
    throughput = compat.ThroughputMetric("throughput")

    @compat.BenchmarkSupervisor([throughput], bm)
    def numbers() -> Iterator[int]:
        for number in range(4):
            time.sleep(0.001)
            yield number

    assert [*numbers()] == [0, 1, 2, 3]
    throughput.track(32)
    assert [*numbers()] == [0, 1, 2, 3]
    assert tracked(bm, database) == [4, 32]


@pytest.mark.parametrize(
    ("wrong", "error"), [(-1, ArgumentError), (float("nan"), ArgumentError), ("5", ArgumentTypeError)]
)
def test_a_wrong_number_is_refused_and_changes_nothing(wrong: float, error: type[Exception]) -> None:
    latency = compat.LatencyMetric("latency")
    latency.track(5)
    with pytest.raises(error) as caught:
        latency.track(wrong)
    check_message(caught.value)
    assert latency.num_entries == 5
