"""`with`, `async with` and `.iterate`: calls without a decorated function."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextlib import AsyncExitStack, ExitStack
from threading import Barrier, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import best_of_three, best_of_three_awaited, entries, seconds
from umlaut_async import Benchmark, BenchmarkSupervisor, LatencyMetric, ThroughputMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support import EndedCalls, Row
    from umlaut_async.supervisor import SupervisedBlock

pytestmark = pytest.mark.alone

TOLERANCE = 0.010


@pytest.fixture
def supervisor(benchmark: Benchmark) -> BenchmarkSupervisor:
    return BenchmarkSupervisor([TimeMetric("time"), ThroughputMetric("throughput")], benchmark, name="block")


def largest_difference(calls: list[Row], inside: dict[int, float]) -> float:
    """Check that each call is one of those in `inside`, by its entries; return how far their times are apart."""
    durations = {entries(call): seconds(call) for call in calls}
    assert sorted(durations) == sorted(inside)
    assert len(calls) == len(inside)
    return max(abs(durations[number] - took) for number, took in inside.items())


def test_a_with_block_is_a_call(supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    with supervisor as call:
        call.track(3)
        call.track(4)
    asyncio.run(benchmark.flush())
    (recorded,) = ended_calls()
    assert (recorded["name"], recorded["kind"], recorded["status"]) == ("block", "with", "ok")
    assert entries(recorded) == 7


async def test_an_async_with_block_is_a_call(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    async with supervisor as call:
        await asyncio.sleep(0)
        call.track(7)
    await benchmark.flush()
    (recorded,) = ended_calls()
    assert (recorded["name"], recorded["kind"], recorded["status"]) == ("block", "async with", "ok")
    assert entries(recorded) == 7


async def test_a_block_passes_its_error_on(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught, supervisor:
        raise error
    assert caught.value is error
    with pytest.raises(ZeroDivisionError) as caught:
        async with supervisor:
            raise error
    assert caught.value is error
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), supervisor:
            await asyncio.sleep(10)
    await benchmark.flush()
    assert [call["status"] for call in ended_calls()] == ["error", "error", "cancelled"]


async def test_blocks_of_one_supervisor_overlap_in_tasks(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    async def task(number: int, inside: dict[int, float], synchronous: bool) -> None:
        if synchronous:
            with supervisor as call:
                start = perf_counter()
                call.track(number)
                # The first to enter is the first to leave, so that leaving is not the reverse of entering.
                await asyncio.sleep(0.02 * number)
                inside[number] = perf_counter() - start
        else:
            async with supervisor as call:
                start = perf_counter()
                call.track(number)
                await asyncio.sleep(0.02 * number)
                inside[number] = perf_counter() - start

    tries = 0

    async def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}
        await asyncio.gather(*(task(number, inside, number % 2 == 0) for number in range(1, 11)))
        await benchmark.flush()
        calls = ended_calls()[10 * tries :]
        tries += 1
        assert all(call["parent"] is None for call in calls)
        return largest_difference(calls, inside)

    await best_of_three_awaited(TOLERANCE, measure)


def test_blocks_of_one_supervisor_overlap_in_threads(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    tries = 0

    def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}
        together = Barrier(8)

        def thread(number: int) -> None:
            with supervisor as call:
                start = perf_counter()
                call.track(number)
                together.wait(10)
                time.sleep(0.01 * number)
                inside[number] = perf_counter() - start

        threads = [Thread(target=thread, args=(number,)) for number in range(1, 9)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        asyncio.run(benchmark.flush())
        calls = ended_calls()[8 * tries :]
        tries += 1
        return largest_difference(calls, inside)

    best_of_three(TOLERANCE, measure)


def test_blocks_of_one_supervisor_overlap_in_generators(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    tries = 0

    def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}

        def numbers(number: int) -> Iterator[int]:
            with supervisor as call:
                start = perf_counter()
                call.track(number)
                yield number
                inside[number] = perf_counter() - start

        first, second, third = numbers(1), numbers(2), numbers(3)
        next(first)
        time.sleep(0.05)
        next(second)
        time.sleep(0.05)
        next(third)
        assert list(first) == []
        time.sleep(0.05)
        assert list(third) == []
        time.sleep(0.05)
        assert list(second) == []
        asyncio.run(benchmark.flush())
        calls = ended_calls()[3 * tries :]
        tries += 1
        assert all(call["status"] == "ok" for call in calls)
        return largest_difference(calls, inside)

    best_of_three(TOLERANCE, measure)


async def test_blocks_of_one_supervisor_overlap_in_async_generators(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    tries = 0

    async def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}

        async def numbers(number: int) -> AsyncIterator[int]:
            async with supervisor as call:
                start = perf_counter()
                call.track(number)
                yield number
                inside[number] = perf_counter() - start

        first, second = numbers(1), numbers(2)
        await anext(first)
        await asyncio.sleep(0.05)
        await anext(second)
        await asyncio.sleep(0.05)
        assert [number async for number in first] == []
        await asyncio.sleep(0.05)
        assert [number async for number in second] == []
        await benchmark.flush()
        calls = ended_calls()[2 * tries :]
        tries += 1
        assert all(call["status"] == "ok" for call in calls)
        return largest_difference(calls, inside)

    await best_of_three_awaited(TOLERANCE, measure)


async def test_blocks_of_one_supervisor_nest(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    with supervisor as outer, supervisor as inner:
        inner.track(2)
        outer.track(1)
    async with supervisor as outer, supervisor as inner:
        inner.track(4)
        outer.track(3)
    await benchmark.flush()
    by_entries = {entries(call): call for call in ended_calls()}
    assert sorted(by_entries) == [1, 2, 3, 4]
    for number, parent in {1: None, 2: by_entries[1]["id"], 3: None, 4: by_entries[3]["id"]}.items():
        assert by_entries[number]["parent"] == parent


async def test_exit_stacks_hold_blocks(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    with ExitStack() as stack:
        stack.enter_context(supervisor).track(1)
        stack.enter_context(supervisor).track(2)
    async with AsyncExitStack() as async_stack:
        async_block: Any = supervisor
        (await async_stack.enter_async_context(async_block)).track(3)
        async_stack.enter_context(supervisor).track(4)
    await benchmark.flush()
    by_entries = {entries(call): call for call in ended_calls()}
    assert sorted(by_entries) == [1, 2, 3, 4]
    assert by_entries[2]["parent"] == by_entries[1]["id"]
    assert by_entries[4]["parent"] == by_entries[3]["id"]


async def test_exit_stacks_of_several_tasks_overlap(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    tries = 0

    async def task(number: int, inside: dict[int, float]) -> None:
        with ExitStack() as stack:
            call = stack.enter_context(supervisor)
            start = perf_counter()
            call.track(number)
            await asyncio.sleep(0.02 * number)
            inside[number] = perf_counter() - start

    async def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}
        await asyncio.gather(*(task(number, inside) for number in range(1, 6)))
        await benchmark.flush()
        calls = ended_calls()[5 * tries :]
        tries += 1
        return largest_difference(calls, inside)

    await best_of_three_awaited(TOLERANCE, measure)


def test_exit_stacks_end_their_own_blocks_in_any_order(
    supervisor: BenchmarkSupervisor,
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = 0

    def measure() -> float:
        nonlocal tries
        inside: dict[int, float] = {}
        stacks = [ExitStack() for _ in range(3)]
        begun = []
        for number, stack in enumerate(stacks, 1):
            begun.append(perf_counter())
            stack.enter_context(supervisor).track(number)
        for number in (1, 3, 2):
            time.sleep(0.03)
            stacks[number - 1].close()
            inside[number] = perf_counter() - begun[number - 1]
        asyncio.run(benchmark.flush())
        calls = ended_calls()[3 * tries :]
        tries += 1
        return largest_difference(calls, inside)

    best_of_three(TOLERANCE, measure)
    assert not caplog.records


class Server:
    """What enters a block in one method and leaves it in another."""

    def __init__(self, supervisor: BenchmarkSupervisor, number: int) -> None:
        self.supervisor = supervisor
        self.number = number

    def start(self) -> None:
        self.supervisor.__enter__().track(self.number)

    def stop(self) -> None:
        self.supervisor.__exit__(None, None, None)


def test_an_object_leaves_the_block_that_it_entered(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    first, second = Server(supervisor, 1), Server(supervisor, 2)
    first.start()
    second.start()
    with supervisor as call:
        call.track(3)
        first.stop()
        asyncio.run(benchmark.flush())
        assert [entries(call) for call in ended_calls()] == [1]
    second.stop()
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 2, 3]
    assert all(call["status"] == "ok" for call in ended_calls())


async def test_a_block_is_left_in_another_task_or_thread(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    async_block: Any = supervisor

    async def enter(stack: AsyncExitStack, number: int) -> None:
        (await stack.enter_async_context(async_block)).track(number)

    with supervisor as around:
        around.track(1)
        tasks, threads = AsyncExitStack(), ExitStack()
        await asyncio.create_task(enter(tasks, 2))
        await asyncio.create_task(tasks.aclose())
        threads.enter_context(supervisor).track(3)
        await asyncio.to_thread(threads.close)
        await benchmark.flush()
        assert [entries(call) for call in ended_calls()] == [2, 3]
    await benchmark.flush()
    assert sorted(entries(call) for call in ended_calls()) == [1, 2, 3]


def leave(supervisor: BenchmarkSupervisor) -> None:
    supervisor.__exit__(None, None, None)


def enter(supervisor: BenchmarkSupervisor) -> SupervisedBlock:
    return supervisor.__enter__()


def test_one_warning_says_that_it_is_not_known_which_block_is_left(
    supervisor: BenchmarkSupervisor,
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    caplog: pytest.LogCaptureFixture,
) -> None:
    enter(supervisor).track(1)
    leave(supervisor)
    assert not caplog.records
    for number in (2, 3, 4):
        enter(supervisor).track(number)
    leave(supervisor)
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 4]
    leave(supervisor)
    leave(supervisor)
    leave(supervisor)
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 2, 3, 4]
    (record,) = caplog.records
    assert "one BenchmarkSupervisor" in record.getMessage()
    assert "close()" in record.getMessage()


def test_closing_what_a_block_yields_ends_this_very_call(
    supervisor: BenchmarkSupervisor,
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = enter(supervisor), enter(supervisor)
    first.track(1)
    second.track(2)
    first.close()
    first.close()
    leave(supervisor)
    with supervisor as third:
        third.track(3)
        third.close()
        asyncio.run(benchmark.flush())
        assert [entries(call) for call in ended_calls()] == [1, 3]
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 3]
    leave(supervisor)
    asyncio.run(benchmark.flush())
    assert [entries(call) for call in ended_calls()] == [1, 2, 3]
    assert [call["status"] for call in ended_calls()] == ["ok"] * 3
    assert not caplog.records


@pytest.mark.parametrize("why", ["disabled", "closed"])
def test_blocks_that_are_not_measured_keep_nothing_alive(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "disabled":
        monkeypatch.setenv("UMLAUT_DISABLED", "1")
    else:
        asyncio.run(benchmark.open())
        asyncio.run(benchmark.close())
    stacks = []
    for _ in range(3):
        stack = ExitStack()
        block = stack.enter_context(supervisor)
        block.track(1)
        block.close()
        stack.close()
        stacks.append(weakref.ref(stack))
    del stack
    gc.collect()
    assert [stack() for stack in stacks] == [None] * 3


class Loader:
    """What a data loader is: iterable again and again, with a length and attributes."""

    def __iter__(self) -> Iterator[str]:
        yield from "abc"

    def __len__(self) -> int:
        return 3


class AsyncLoader:
    async def __aiter__(self) -> AsyncIterator[str]:
        for letter in "abcd":
            await asyncio.sleep(0)
            yield letter


def test_each_iteration_is_a_call(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    letters = supervisor.iterate(Loader())
    assert len(letters) == 3
    assert ["".join(letters), "".join(letters)] == ["abc", "abc"]
    assert "".join(supervisor.iterate(Loader(), name="other")) == "abc"
    asyncio.run(benchmark.flush())
    calls = ended_calls()
    assert [call["name"] for call in calls] == ["block", "block", "other"]
    assert all((call["kind"], call["status"], entries(call)) == ("iterate", "ok", 3) for call in calls)


async def test_each_async_iteration_is_a_call(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    letters = supervisor.iterate(AsyncLoader(), name="letters")
    for _ in range(2):
        assert [letter async for letter in letters] == list("abcd")
    await benchmark.flush()
    calls = ended_calls()
    assert [call["name"] for call in calls] == ["letters", "letters"]
    assert all((call["kind"], call["status"], entries(call)) == ("async iterate", "ok", 4) for call in calls)


def test_what_has_no_length_has_none_when_iterated(supervisor: BenchmarkSupervisor) -> None:
    letters: Any = supervisor.iterate(iter("ab"))
    with pytest.raises(TypeError):
        len(letters)
    assert list(letters) == ["a", "b"]


def test_iterations_of_one_loader_overlap(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    letters = supervisor.iterate(Loader())
    assert [first + second for first, second in zip(letters, letters, strict=True)] == ["aa", "bb", "cc"]
    asyncio.run(benchmark.flush())
    calls = ended_calls()
    assert [call["parent"] for call in calls] == [None, None]
    assert [entries(call) for call in calls] == [3, 3]


def test_an_iteration_that_breaks_is_closed(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    for letter in supervisor.iterate(Loader()):
        if letter == "b":
            break
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert call["status"] in ("closed", "abandoned")
    assert entries(call) == 2


def test_an_iteration_whose_loader_raises_is_an_error(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    error = OSError("unreadable shard")

    class Broken:
        def __iter__(self) -> Iterator[str]:
            yield "a"
            raise error

    with pytest.raises(OSError, match="shard") as caught:
        list(supervisor.iterate(Broken()))
    assert caught.value is error
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert (call["status"], entries(call)) == ("error", 1)
    assert "unreadable shard" in call["error"]


async def test_the_time_inside_the_producer_is_kept_beside_the_window(
    benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    tries = 0

    @BenchmarkSupervisor([TimeMetric("time"), LatencyMetric("latency")], benchmark)
    async def slow() -> AsyncIterator[int]:
        for number in range(3):
            start = perf_counter()
            await asyncio.sleep(0.03)
            producing.append(perf_counter() - start)
            yield number

    producing: list[float] = []

    async def measure() -> float:
        nonlocal tries
        producing.clear()
        start = perf_counter()
        async for _ in slow():
            await asyncio.sleep(0.05)
        window = perf_counter() - start
        await benchmark.flush()
        call = ended_calls()[tries]
        tries += 1
        latency = float(call["results"]["latency"]["value"])
        return max(
            abs(int(call["producing"]) / 1e9 - sum(producing)),
            abs(seconds(call) - window),
            abs(latency * 3 - window),
        )

    await best_of_three_awaited(TOLERANCE, measure)
