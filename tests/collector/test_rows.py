"""Names and texts on their way to the database: threads whose identifiers are used again, and odd characters."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from umlaut_async import BenchmarkSupervisor, Metric, TimeMetric
from umlaut_async.collector.lacks import missed_ticks
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series
from umlaut_async.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import EndedCalls, Rows
    from umlaut_async import Benchmark

LONE = "\ud800"
ESCAPED = "\\ud800"


def run_in_thread(name: str, work: Callable[[], object]) -> int:
    """Run a function in a thread of this name to its end, and return the identifier that the thread had."""
    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join(30)
    assert thread.ident is not None
    return thread.ident


async def test_a_thread_never_has_the_name_of_an_earlier_one(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    await benchmark.open()

    def work() -> None:
        supervised("abc")
        asyncio.run(benchmark.flush())

    for i in range(5):
        run_in_thread(f"worker {i}", work)
    assert [call["task"] for call in ended_calls()] == [f"worker {i}" for i in range(5)]
    ended = run_in_thread("ended", lambda: supervised("abc"))
    await benchmark.flush()
    # Unless the collector happened to look while it ran.
    assert ended_calls()[-1]["task"] in (f"thread {ended}", "ended")


async def test_a_thread_that_was_seen_running_keeps_its_name(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows
) -> None:
    running, released = threading.Event(), threading.Event()

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    def stage() -> None:
        running.set()
        assert released.wait(30)

    await benchmark.open()
    thread = threading.Thread(target=stage, name="worker")
    thread.start()
    assert await asyncio.to_thread(running.wait, 10)
    await benchmark.flush()
    assert [row["task"] for row in rows("select task from span where status = 'running'")] == ["worker"]
    released.set()
    await asyncio.to_thread(thread.join, 30)
    await benchmark.flush()
    assert [call["task"] for call in ended_calls()] == ["worker"]


async def test_lone_surrogates_are_stored_as_escapes(benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows) -> None:
    class Odd(Metric):
        measure_type = f"odd {LONE}"
        unit = f"unit {LONE}"

        def __init__(self) -> None:
            super().__init__(f"words {LONE}", 0.02)
            self.reads = 0

        def read(self) -> float:
            self.reads += 1
            if self.reads > 1:
                raise OSError(f"away {LONE}")
            return 1.0

    @BenchmarkSupervisor([TimeMetric("time"), Odd()], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)
        raise ValueError(f"wrong {LONE}")

    with pytest.raises(ValueError, match="wrong"):
        await asyncio.create_task(stage(), name=f"task {LONE}")
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)

    def work() -> None:
        supervised("abc")
        asyncio.run(benchmark.flush())

    await asyncio.to_thread(run_in_thread, f"thread {LONE}", work)
    in_task, in_thread = ended_calls()
    assert in_task["error"] == f"ValueError: wrong {ESCAPED}"
    assert (in_task["task"], in_thread["task"]) == (f"task {ESCAPED}", f"thread {ESCAPED}")
    (series,) = rows("select * from series")
    assert (series["type"], series["unit"]) == (f"odd {ESCAPED}", f"unit {ESCAPED}")
    (event,) = rows("select * from event where kind = 'unreadable'")
    assert ESCAPED in event["message"]
    # In JSON it is an escape of its own, which comes back as it was.
    assert event["data"]["reason"].endswith(f"away {LONE}")
    assert benchmark.accounting.dropped == {}


def test_missed_samples_are_said_in_the_same_words_however_many_they_are() -> None:
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test"), 1_000_000)
    series.missed = 1
    one = missed_ticks(series, shares_interpreter=True)
    series.missed = 17
    many = missed_ticks(series, shares_interpreter=True)
    assert one.message == many.message
    assert (one.data or {})["missed"] == 1
    assert (many.data or {})["missed"] == 17
    assert series.missed == 0
    # From outside the process, holding the interpreter is no excuse.
    assert "process" in one.message
    assert "process" not in missed_ticks(series, shares_interpreter=False).message
