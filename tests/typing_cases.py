"""What a type checker must know of each kind of stage; `test_typing` runs mypy over it, nothing ever calls it.

A line that must be refused says so by the error it ignores: mypy --strict complains about an ignore without an error.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

from sqlalchemy.ext.asyncio import AsyncSession

from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    ConfusionMatrixTracker,
    CPUMetric,
    HyperparameterTracker,
    LossTracker,
    MemoryMetric,
    Metric,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
    models,
)

if TYPE_CHECKING:
    from types import TracebackType

benchmark = Benchmark("runs.db", description="typed", mode="a", name="n", tags=["a"], flush_interval=0.5)
throughput = ThroughputMetric("throughput")
supervise = BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.1), throughput], benchmark, name="n")
from_tuple = BenchmarkSupervisor((MemoryMetric("memory"),), benchmark)


@supervise
def function(number: int, *, text: str = "") -> str:
    return text * number


@supervise
async def coroutine(number: int) -> str:
    throughput.track(number)
    return str(number)


@supervise
def generator(number: int) -> Generator[int, str, bool]:
    sent = yield number
    return bool(sent)


@supervise
def iterator() -> Iterator[bytes]:
    yield b""


@supervise
async def async_generator(number: int) -> AsyncGenerator[int, str]:
    sent = yield number
    assert_type(sent, str)


@supervise
async def async_iterator() -> AsyncIterator[bytes]:
    yield b""


def repeat(number: int, text: str) -> str:
    return text * number


class Loader:
    @supervise
    def method(self, number: int) -> str:
        return str(number)

    @supervise
    async def coroutine_method(self, number: int) -> str:
        return str(number)

    @supervise
    async def batches(self) -> AsyncIterator[list[int]]:
        yield []

    @supervise
    @classmethod
    def above_classmethod(cls, number: int) -> Loader:
        return cls()

    @classmethod
    @supervise
    def below_classmethod(cls, number: int) -> Loader:
        return cls()

    @supervise
    @staticmethod
    async def above_staticmethod(number: int) -> str:
        return str(number)

    @staticmethod
    @supervise
    async def below_staticmethod(number: int) -> str:
        return str(number)


class AsyncCallable:
    async def __call__(self, number: int) -> str:
        return str(number)


class CallableObject:
    def __call__(self, number: int) -> str:
        return str(number)


class Numbers:
    def __iter__(self) -> Iterator[int]:
        return iter([1])

    def __len__(self) -> int:
        return 1


class AsyncNumbers:
    def __aiter__(self) -> AsyncIterator[int]:
        return async_generator(1)


class Queue(Metric):
    measure_type = "queue"
    unit = "items"
    counter = True

    def __init__(self, description: str, interval: float = 1) -> None:
        super().__init__(description, interval)

    def read(self) -> float:
        return 1


class AsyncQueue(Metric):
    measure_type = "queue"
    unit = "items"

    async def read(self) -> float:
        return 1


async def stages_keep_their_types() -> None:
    assert_type(function(1, text="a"), str)
    assert_type(await coroutine(1), str)
    assert_type(generator(1), Generator[int, str, bool])
    assert_type(iterator(), Iterator[bytes])
    assert_type(async_generator(1), AsyncGenerator[int, str])
    assert_type(async_iterator(), AsyncIterator[bytes])
    assert_type([item async for item in async_iterator()], list[bytes])
    assert_type(Loader().method(1), str)
    assert_type(await Loader().coroutine_method(1), str)
    assert_type([batch async for batch in Loader().batches()], list[list[int]])
    assert_type(Loader.above_classmethod(1), Loader)
    assert_type(Loader.below_classmethod(1), Loader)
    assert_type(await Loader.above_staticmethod(1), str)
    assert_type(await Loader.below_staticmethod(1), str)
    assert_type(supervise(functools.partial(repeat, 1)), functools.partial[str])
    assert_type(supervise(Loader().method)(1), str)
    assert_type(await supervise(AsyncCallable())(1), str)
    assert_type(supervise(CallableObject())(1), str)
    as_callback: Callable[[int], Awaitable[str]] = coroutine
    assert_type(await as_callback(1), str)


async def wrong_arguments_of_stages_are_found() -> None:
    function("a")  # type: ignore[arg-type]
    await coroutine("a")  # type: ignore[arg-type]
    generator("a")  # type: ignore[arg-type]
    async_generator()  # type: ignore[call-arg]
    Loader().method("a")  # type: ignore[arg-type]
    await Loader.below_staticmethod("a")  # type: ignore[arg-type]
    BenchmarkSupervisor([TimeMetric], benchmark)  # type: ignore[list-item]
    BenchmarkSupervisor([TimeMetric("time")], "runs.db")  # type: ignore[arg-type]
    CPUMetric("cpu", interval="1")  # type: ignore[arg-type]
    throughput.track("3")  # type: ignore[arg-type]


async def blocks_and_iterations_have_types() -> None:
    with supervise as call:
        call.track(1)
        call.track(0.5)
        call.track("1")  # type: ignore[arg-type]
    async with supervise as async_call:
        async_call.track(1)
    for number in supervise.iterate(Numbers(), name="numbers"):
        assert_type(number, int)
    async for number in supervise.iterate(AsyncNumbers()):
        assert_type(number, int)
    assert_type(len(supervise.iterate(Numbers())), int)
    with supervise:
        # A block swallows no error, so this function is known to return here.
        return


def a_block_does_not_swallow() -> int:
    with supervise:
        return 1


async def an_async_block_does_not_swallow() -> int:
    async with supervise:
        return 1


async def benchmarks_have_types() -> None:
    async with Benchmark(Path("runs.db")) as entered:
        assert_type(entered, Benchmark)
    await benchmark.open()
    await benchmark.flush()
    await benchmark.close()
    benchmark.log("description", "type", 1.5, unit="u", method_name="m")
    benchmark.log("description", "type", {"a": [1, 2]})
    assert_type(benchmark.session, AsyncSession)
    assert_type(benchmark.description, str)
    assert_type(benchmark.mode, str)
    assert_type(benchmark.uuid, str)
    run = await benchmark.session.get(models.Run, benchmark.uuid)
    if run is not None:
        assert_type(run.started, int)
        assert_type(run.ended, int | None)


def trackers_have_types() -> None:
    assert_type(LossTracker(benchmark).serialize([0.5]), bytes)
    assert_type(TTATracker(benchmark).serialize([0.5]), bytes)
    LossTracker(benchmark).track([0.5, 1], "loss")
    TTATracker(benchmark).track([0.5], "accuracy")
    TimedTTATracker(benchmark, 0.9).track(0.5, "accuracy")
    ConfusionMatrixTracker(benchmark).track([[1, 0], [0, 1]], ["a", "b"], "pets")
    with HyperparameterTracker(benchmark, "sweep", ["lr"], "loss", low_means_good=True) as tracker:
        assert_type(tracker, HyperparameterTracker)
        tracker.track({"lr": 0.1, "loss": 0.5})
    own: list[Metric] = [Queue("queue", interval=0.5), AsyncQueue("queue")]
    BenchmarkSupervisor(own, benchmark)


def blocks_can_be_left_by_hand(error: BaseException, trace: TracebackType | None) -> None:
    supervise.__exit__(type(error), error, trace)
