"""The running call and its context: what a consumer sees of it (nothing), and who is whose parent."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from tests.support import best_of_three, best_of_three_awaited, context, entries, run_in_thread, seconds
from umlaut_async import BenchmarkSupervisor, LatencyMetric, ThroughputMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from tests.support import EndedCalls, Row
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone

ENDINGS = {"exhaust": {"ok"}, "close": {"closed"}, "raise": {"error"}, "abandon": {"closed", "abandoned"}}
OVERLAPPING = 1000
DEPTH = 200
TOLERANCE = 0.010

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def finish(stages: list[Generator[int, None, None]], ending: str) -> None:
    before = context()
    if ending == "exhaust":
        assert list(stages.pop()) == [2]
    elif ending == "close":
        stages.pop().close()
    elif ending == "raise":
        with pytest.raises(ZeroDivisionError):
            stages.pop().throw(ZeroDivisionError())
    else:
        stages.clear()
        gc.collect()
    assert context() == before


async def finish_async(stages: list[AsyncGenerator[int, None]], ending: str) -> None:
    before = context()
    if ending == "exhaust":
        assert [number async for number in stages.pop()] == [2]
    elif ending == "close":
        await stages.pop().aclose()
    elif ending == "raise":
        with pytest.raises(ZeroDivisionError):
            await stages.pop().athrow(ZeroDivisionError())
    else:
        stages.clear()
        gc.collect()
        # The loop closes an abandoned generator in a task of its own.
        await asyncio.sleep(0.01)
    assert context() == before


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same thread", "other thread"])
def test_a_generator_leaves_the_context_of_its_consumer_alone(
    benchmark: Benchmark, ended_calls: EndedCalls, capfd: pytest.CaptureFixture[str], ending: str, elsewhere: bool
) -> None:
    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    def numbers() -> Generator[int, None, None]:
        yield 1
        yield 2

    before = context()
    stages = [numbers()]
    assert next(stages[0]) == 1
    assert context() == before
    if elsewhere:
        assert run_in_thread(lambda: finish(stages, ending)) == []
    else:
        finish(stages, ending)
    assert context() == before
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert call["status"] in ENDINGS[ending]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same task", "other task"])
async def test_an_async_generator_leaves_the_context_of_its_consumer_alone(
    benchmark: Benchmark, ended_calls: EndedCalls, capfd: pytest.CaptureFixture[str], ending: str, elsewhere: bool
) -> None:
    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def numbers() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 1
        await asyncio.sleep(0)
        yield 2

    before = context()
    stages = [numbers()]
    assert await anext(stages[0]) == 1
    assert context() == before
    if elsewhere:
        await asyncio.create_task(finish_async(stages, ending))
    else:
        await finish_async(stages, ending)
    assert context() == before
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["status"] in ENDINGS[ending]
    assert capfd.readouterr().err == ""


async def test_other_stages_leave_the_context_alone(benchmark: Benchmark) -> None:
    supervisor = BenchmarkSupervisor([TimeMetric("time")], benchmark, name="stage")

    @supervisor
    async def waits() -> None:
        await asyncio.sleep(0)

    @supervisor
    def fails() -> None:
        raise ZeroDivisionError

    before = context()
    await waits()
    assert context() == before
    with pytest.raises(ZeroDivisionError):
        fails()
    assert context() == before
    with supervisor:
        pass
    assert context() == before
    async with supervisor:
        await waits()
    assert context() == before
    for _ in supervisor.iterate([1, 2]):
        assert context() == before
    assert context() == before


def test_context_variables_of_the_user_pass_through_a_generator(benchmark: Benchmark) -> None:
    def painted() -> Iterator[str]:
        for name in ("red", "green"):
            seen = colour.get()
            colour.set(name)
            yield seen

    def consume(stage: Callable[[], Iterator[str]]) -> list[str]:
        seen = []
        for inside in stage():
            seen += [inside, colour.get()]
            colour.set("blue")
        return [*seen, colour.get()]

    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(painted)
    expected = contextvars.Context().run(consume, painted)
    assert contextvars.Context().run(consume, supervised) == expected == ["none", "red", "blue", "green", "blue"]


async def test_context_variables_of_the_user_pass_through_an_async_generator(benchmark: Benchmark) -> None:
    async def painted() -> AsyncIterator[str]:
        for name in ("red", "green"):
            await asyncio.sleep(0)
            seen = colour.get()
            colour.set(name)
            yield seen

    async def consume(stage: Callable[[], AsyncIterator[str]]) -> list[str]:
        seen = []
        async for inside in stage():
            seen += [inside, colour.get()]
            colour.set("blue")
        return [*seen, colour.get()]

    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(painted)
    expected = await asyncio.create_task(consume(painted))
    assert await asyncio.create_task(consume(supervised)) == expected == ["none", "red", "blue", "green", "blue"]


async def test_a_thousand_overlapping_calls_keep_apart(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput, metric = ThroughputMetric("throughput"), TimeMetric("time")
    inner_stage = BenchmarkSupervisor([metric, throughput], benchmark)
    outer_stage = BenchmarkSupervisor([metric], benchmark)

    async def measure() -> float:
        seen = len(ended_calls()) if measured else 0
        inside: dict[int, float] = {}
        running = 0
        all_run = asyncio.Event()

        @inner_stage
        async def inner(number: int) -> None:
            nonlocal running
            start = perf_counter()
            running += 1
            if running == OVERLAPPING:
                all_run.set()
            throughput.track(number)
            await all_run.wait()
            await asyncio.sleep(number % 5 / 20)
            inside[number] = perf_counter() - start

        @outer_stage
        async def outer(tens: int) -> None:
            await asyncio.gather(*(inner(tens * 100 + number + 1) for number in range(100)))

        await asyncio.gather(*(outer(tens) for tens in range(10)))
        await benchmark.flush()
        measured.append(True)
        calls = ended_calls()[seen:]
        parents = [call for call in calls if call["name"] == "outer"]
        children = {int(entries(call)): call for call in calls if call["name"] == "inner"}
        assert len(parents) == 10
        assert sorted(children) == list(range(1, OVERLAPPING + 1))
        assert all(call["parent"] is None for call in parents)
        families = {call["id"]: set[int]() for call in parents}
        for number, call in children.items():
            families[call["parent"]].add((number - 1) // 100)
        assert sorted(tens for (tens,) in families.values()) == list(range(10))
        return max(abs(seconds(children[number]) - took) for number, took in inside.items())

    measured: list[bool] = []
    await best_of_three_awaited(TOLERANCE, measure)


def test_threads_keep_apart(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput, metric = ThroughputMetric("throughput"), TimeMetric("time")
    measured: list[bool] = []

    def measure() -> float:
        seen = len(ended_calls()) if measured else 0
        inside: dict[int, float] = {}
        together = threading.Barrier(8)

        @BenchmarkSupervisor([metric, throughput], benchmark)
        def inner(number: int) -> None:
            start = perf_counter()
            throughput.track(number)
            time.sleep(number % 3 / 200 + 0.002)
            inside[number] = perf_counter() - start

        @BenchmarkSupervisor([metric], benchmark)
        def outer(thread: int) -> None:
            together.wait(10)
            for number in range(1, 11):
                inner(thread * 10 + number)

        threads = [threading.Thread(target=outer, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(benchmark.flush())
        measured.append(True)
        calls = ended_calls()[seen:]
        children = {int(entries(call)): call for call in calls if call["name"] == "inner"}
        assert sorted(children) == list(range(1, 81))
        families = {call["id"]: set[int]() for call in calls if call["name"] == "outer"}
        for number, call in children.items():
            families[call["parent"]].add((number - 1) // 10)
        assert sorted(thread for (thread,) in families.values()) == list(range(8))
        return max(abs(seconds(children[number]) - took) for number, took in inside.items())

    best_of_three(TOLERANCE, measure)


def check_recursion(calls: list[Row], inside: dict[float, float]) -> float:
    """Check a chain of calls, the outermost first, where level n tracked n before and n after its inner call."""
    assert [entries(call) for call in calls] == [2 * level for level in range(DEPTH, 0, -1)]
    assert [call["parent"] for call in calls] == [None, *(call["id"] for call in calls[:-1])]
    assert all(call["status"] == "ok" for call in calls)
    return max(abs(seconds(call) - inside[entries(call) / 2]) for call in calls)


def test_recursion_of_a_function_keeps_its_levels_apart(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput = ThroughputMetric("throughput")
    inside: dict[float, float] = {}

    @BenchmarkSupervisor([TimeMetric("time"), throughput], benchmark)
    def descend(level: int) -> None:
        start = perf_counter()
        throughput.track(level)
        if level > 1:
            descend(level - 1)
        else:
            time.sleep(0.05)
        throughput.track(level)
        inside[level] = perf_counter() - start

    def measure() -> float:
        descend(DEPTH)
        asyncio.run(benchmark.flush())
        return check_recursion(ended_calls()[-DEPTH:], inside)

    best_of_three(TOLERANCE, measure)


async def test_recursion_of_a_coroutine_keeps_its_levels_apart(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    throughput = ThroughputMetric("throughput")
    inside: dict[float, float] = {}

    @BenchmarkSupervisor([TimeMetric("time"), throughput], benchmark)
    async def descend(level: int) -> None:
        start = perf_counter()
        throughput.track(level)
        if level > 1:
            await descend(level - 1)
        else:
            await asyncio.sleep(0.05)
        throughput.track(level)
        inside[level] = perf_counter() - start

    async def measure() -> float:
        await descend(DEPTH)
        await benchmark.flush()
        return check_recursion(ended_calls()[-DEPTH:], inside)

    await best_of_three_awaited(TOLERANCE, measure)


def parents_by_name(calls: list[Row]) -> dict[str, str | None]:
    names = {call["id"]: call["name"] for call in calls}
    return {call["name"]: None if call["parent"] is None else names[call["parent"]] for call in calls}


async def test_stages_of_different_kinds_nest(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    def supervise(name: str) -> BenchmarkSupervisor:
        return BenchmarkSupervisor([TimeMetric("time")], benchmark, name=name)

    @supervise("function")
    def leaf() -> None: ...

    @supervise("async generator")
    async def numbers() -> AsyncIterator[int]:
        await asyncio.to_thread(leaf)
        yield 1

    @supervise("generator")
    def letters() -> Iterator[str]:
        with supervise("with in generator"):
            pass
        yield "a"

    @supervise("coroutine")
    async def work() -> None:
        async for _ in numbers():
            with supervise("with in body"):
                pass
        async with supervise("async with"):
            for _ in letters():
                pass
            for _ in supervise("iterate").iterate([1]):
                pass

    await work()
    await benchmark.flush()
    assert parents_by_name(ended_calls()) == {
        "coroutine": None,
        "async generator": "coroutine",
        "function": "async generator",
        "with in body": "coroutine",
        "async with": "coroutine",
        "generator": "async with",
        "with in generator": "generator",
        "iterate": "async with",
    }


async def test_the_parent_is_the_innermost_call_that_has_not_ended(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    def supervise(name: str) -> BenchmarkSupervisor:
        return BenchmarkSupervisor([TimeMetric("time")], benchmark, name=name)

    first_ended, run_ended = asyncio.Event(), asyncio.Event()

    @supervise("early")
    async def early() -> None: ...

    @supervise("late")
    async def late() -> None: ...

    @supervise("last")
    async def last() -> None: ...

    async def background() -> None:
        await early()
        await first_ended.wait()
        await late()
        await run_ended.wait()
        await last()

    @supervise("stage")
    async def stage() -> asyncio.Task[None]:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task

    @supervise("run")
    async def run() -> asyncio.Task[None]:
        task: asyncio.Task[None] = await stage()
        first_ended.set()
        await asyncio.sleep(0.01)
        return task

    task: asyncio.Task[None] = await run()
    run_ended.set()
    await task
    await benchmark.flush()
    assert parents_by_name(ended_calls()) == {
        "run": None,
        "stage": "run",
        "early": "stage",
        "late": "run",
        "last": None,
    }


async def test_siblings_do_not_become_parents(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def producer() -> AsyncIterator[int]:
        yield 1
        yield 2

    @BenchmarkSupervisor([TimeMetric("time"), LatencyMetric("latency")], benchmark)
    async def consumer() -> None: ...

    async for _ in producer():
        await consumer()
    await benchmark.flush()
    assert [call["parent"] for call in ended_calls("consumer")] == [None, None]
