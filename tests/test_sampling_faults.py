"""Own metrics that fail: the stage never notices, and the user is told once, by the log and by an event."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from umlaut_async import BenchmarkSupervisor, Metric, TimeMetric
from umlaut_async.probes import Place, Probe, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import EndedCalls, Row, Rows
    from umlaut_async import Benchmark

RUNS_FOR = 0.15
INTERVAL = 0.03


class Own(Metric):
    """What a user writes; what it reads is an argument."""

    measure_type = "own"
    unit = "things"

    def __init__(self, reads: Callable[[], Any]) -> None:
        super().__init__("mine", INTERVAL)
        self.reads = reads

    def read(self) -> Any:
        return self.reads()


class AsyncOwn(Own):
    async def read(self) -> Any:
        return await self.reads()


def fail() -> None:
    raise ZeroDivisionError("no such sensor")


def slow() -> float:
    time.sleep(0.05)
    return 1.5


BAD: dict[str, Callable[[], Any]] = {
    "raises": fail,
    "none": lambda: None,
    "text": lambda: "warm",
    "nan": lambda: float("nan"),
    "list": lambda: [1.0],
    "stop iteration": lambda: next(iter(())),
    "system exit": lambda: sys.exit(3),
    "numpy nan": lambda: np.float64("nan"),
}
GOOD: dict[str, Callable[[], Any]] = {
    "float": lambda: 2.5,
    "numpy float": lambda: np.float32(2.5),
    "numpy array of no dimension": lambda: np.array(2.5),
}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives the warnings of our logger so far."""
    caplog.set_level(logging.DEBUG, "umlaut_async")

    def warnings() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.split(".")[0] == "umlaut_async" and record.levelno >= logging.WARNING
        ]

    return warnings


async def run(benchmark: Benchmark, metric: Metric) -> None:
    """Run a stage with the metric and see that nothing of it is changed."""

    @BenchmarkSupervisor([TimeMetric("time"), metric], benchmark)
    async def stage(result: object) -> object:
        await asyncio.sleep(RUNS_FOR)
        return result

    result = object()
    assert await stage(result) is result
    await asyncio.wait_for(benchmark.flush(), 20)


def check_unreadable(call: Row, events: list[Row], warnings: list[str], kind: str = "unreadable") -> None:
    assert call["status"] == "ok"
    assert call["results"]["time"]["value"] >= RUNS_FOR
    assert "own" not in call["results"] or call["results"]["own"]["value"] is None
    (warning,) = warnings
    assert "own" in warning
    (event,) = [event for event in events if event["kind"] == kind]
    assert event["data"]["type"] == "own"
    assert event["data"]["reason"]
    assert "own" in event["message"]


@pytest.mark.parametrize("how", BAD)
async def test_a_metric_that_cannot_be_read_is_absent(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]], how: str
) -> None:
    await run(benchmark, Own(BAD[how]))
    (call,) = ended_calls()
    check_unreadable(call, rows("select * from event"), logged())
    if how == "raises":
        assert "no such sensor" in logged()[0]


@pytest.mark.parametrize("how", BAD)
async def test_an_async_metric_that_cannot_be_read_is_absent(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]], how: str
) -> None:
    async def reads() -> Any:
        return BAD[how]()

    await run(benchmark, AsyncOwn(reads))
    (call,) = ended_calls()
    check_unreadable(call, rows("select * from event"), logged())
    await benchmark.close()


@pytest.mark.parametrize(("ends", "kind"), [(fail, "unreadable"), (lambda: 1.0, "missed-ticks")])
async def test_slow_readings_cost_samples_only_where_there_are_any(
    benchmark: Benchmark, rows: Rows, ends: Callable[[], Any], kind: str
) -> None:
    def slow() -> Any:
        time.sleep(3 * INTERVAL)
        return ends()

    metric = Own(slow)

    @BenchmarkSupervisor([metric], benchmark)
    async def stage() -> None:
        await asyncio.sleep(20 * INTERVAL)

    await stage()
    await benchmark.flush()
    assert {event["kind"] for event in rows("select kind from event")} == {kind}


async def test_the_event_of_an_unreadable_metric_has_its_description(benchmark: Benchmark, rows: Rows) -> None:
    await run(benchmark, Own(fail))
    (event,) = rows("select * from event where kind = 'unreadable'")
    assert event["data"]["description"] == "mine"


@pytest.mark.alone
async def test_a_failing_metric_is_reported_once_for_many_calls(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    @BenchmarkSupervisor([TimeMetric("time"), Own(fail)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(RUNS_FOR)

    await asyncio.gather(*(stage() for _ in range(20)))
    await stage()
    await benchmark.flush()
    assert len(ended_calls()) == 21
    assert len(logged()) == 1
    assert 1 <= len(rows("select * from event where kind = 'unreadable'")) <= 21


@pytest.mark.alone
@pytest.mark.parametrize("how", GOOD)
async def test_numbers_of_all_libraries_are_read(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]], how: str
) -> None:
    await run(benchmark, Own(GOOD[how]))
    (call,) = ended_calls()
    assert call["results"]["own"]["value"] == 2.5
    assert call["results"]["own"]["data"]["n"] >= 3
    assert rows("select * from event where kind = 'unreadable'") == []
    assert logged() == []


@pytest.fixture
def hanging() -> Iterator[Callable[[], float]]:
    """Yield a reading that hangs until the test is over."""
    released = threading.Event()

    def hang() -> float:
        released.wait(30)
        return 1.0

    yield hang
    released.set()


async def test_a_metric_that_hangs_is_absent(
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    rows: Rows,
    logged: Callable[[], list[str]],
    hanging: Callable[[], float],
) -> None:
    await run(benchmark, Own(hanging))
    (call,) = ended_calls()
    check_unreadable(call, rows("select * from event"), logged())


@pytest.mark.alone
async def test_a_metric_that_hangs_does_not_stop_the_others(
    benchmark: Benchmark, ended_calls: EndedCalls, hanging: Callable[[], float]
) -> None:
    class Other(Own):
        measure_type = "other"

    @BenchmarkSupervisor([Own(hanging), Other(lambda: 2.0)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(RUNS_FOR)

    await stage()
    await asyncio.wait_for(benchmark.flush(), 20)
    (call,) = ended_calls()
    assert call["results"]["other"]["value"] == 2.0
    assert call["results"]["other"]["data"]["n"] >= 3


async def test_an_async_metric_that_hangs_is_absent(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    released = asyncio.Event()
    await run(benchmark, AsyncOwn(released.wait))
    (call,) = ended_calls()
    check_unreadable(call, rows("select * from event"), logged())
    released.set()
    await benchmark.close()


async def test_a_slow_metric_has_the_readings_that_it_managed(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    await run(benchmark, Own(slow))
    (call,) = ended_calls()
    assert call["status"] == "ok"
    assert call["results"]["own"]["value"] == 1.5
    assert rows("select * from event where kind = 'unreadable'") == []
    assert len(logged()) <= 1
    assert len(rows("select * from event")) <= 1


async def test_the_samples_that_were_read_before_a_failure_are_kept(
    benchmark: Benchmark, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    readings = [2.0, 1.0]

    def reads() -> float:
        return readings.pop()

    await run(benchmark, Own(reads))
    values = rows("select value from sample join series on series.id = series_id where type = 'own' order by t")
    assert [row["value"] for row in values] in ([1.0, 2.0], [2.0])
    assert len(rows("select * from event where kind = 'unreadable'")) == 1
    assert len(logged()) == 1


class QueueLength(Metric):
    """Asks a server on the same loop, as a client of a database or a broker does."""

    measure_type = "queue"
    unit = "items"

    def __init__(self) -> None:
        super().__init__("queue length", INTERVAL)
        self.requests: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.threads: set[int] = set()

    async def read(self) -> float:
        loop = asyncio.get_running_loop()
        self.loops.add(loop)
        self.threads.add(threading.get_ident())
        answer: asyncio.Future[int] = loop.create_future()
        await self.requests.put(answer)
        return await answer


@pytest.mark.alone
async def test_an_async_metric_reads_on_the_loop_of_its_stage(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    metric = QueueLength()
    served = 0

    async def serve() -> None:
        nonlocal served
        while True:
            answer = await metric.requests.get()
            served += 1
            answer.set_result(7)

    @BenchmarkSupervisor([TimeMetric("time"), metric], benchmark)
    async def stage() -> str:
        await asyncio.sleep(0.3)
        return "done"

    server = asyncio.create_task(serve())
    assert await stage() == "done"
    await benchmark.flush()
    (call,) = ended_calls()
    assert (call["results"]["queue"]["value"], call["results"]["queue"]["unit"]) == (7, "items")
    assert call["results"]["queue"]["data"]["n"] >= 5
    assert served >= 5
    assert metric.loops == {asyncio.get_running_loop()}
    assert metric.threads == {threading.get_ident()}
    assert logged() == []
    assert rows("select * from event where kind = 'unreadable'") == []
    await benchmark.close()
    server.cancel()


async def test_an_async_metric_of_a_stage_without_a_loop_is_absent(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    async def reads() -> float:
        return 1.0

    @BenchmarkSupervisor([TimeMetric("time"), AsyncOwn(reads)], benchmark)
    def stage() -> str:
        time.sleep(RUNS_FOR)
        return "done"

    assert await asyncio.to_thread(stage) == "done"
    await asyncio.wait_for(benchmark.flush(), 20)
    (call,) = ended_calls()
    check_unreadable(call, rows("select * from event"), logged(), "unavailable")


class Nowhere(Metric):
    """What no machine has."""

    measure_type = "nowhere"
    unit = "things"

    def probe(self) -> Probe:
        return Probe("nowhere", self.read, "nowhere", Place.THREAD)

    def read(self) -> float:
        raise UnavailableError("there is no such thing", "sudo make it")


async def test_what_is_missing_is_told_once_whatever_the_intervals_of_its_metrics(
    benchmark: Benchmark, rows: Rows, logged: Callable[[], list[str]]
) -> None:
    for words, interval in (("one", 0.02), ("one", 0.03), ("another", 0.04)):

        @BenchmarkSupervisor([Nowhere(words, interval)], benchmark)
        async def stage() -> None:
            await asyncio.sleep(0.05)

        await stage()
    await benchmark.flush()
    assert len(rows("select * from series")) == 3
    told = [row["data"]["description"] for row in rows("select data from event where kind = 'unavailable'")]
    assert told == ["one", "another"]
    assert len(logged()) == 2


async def test_of_what_is_never_to_be_had_no_samples_are_missed(benchmark: Benchmark, rows: Rows) -> None:
    @BenchmarkSupervisor([Nowhere("early", interval=0.001)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)

    # This call begins the run: many ticks are due before the collector is there to find out.
    await stage()
    await benchmark.flush()
    assert [row["kind"] for row in rows("select kind from event")] == ["unavailable"]
