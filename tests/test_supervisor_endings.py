"""However a stage ends, the outside sees what it would see without us, and the call is recorded with what it had."""

from __future__ import annotations

import asyncio
import gc
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

from umlaut_async import BenchmarkSupervisor, CPUMetric, MemoryMetric, Metric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator

    from tests.support import EndedCalls, Row, Rows
    from umlaut_async import Benchmark

RUNS_FOR = 0.2
INTERVAL = 0.02

Stage = Any


class Reads(Metric):
    """Counts its own readings."""

    measure_type = "reads"
    unit = "readings"

    def __init__(self, description: str, interval: float = 1) -> None:
        super().__init__(description, interval)
        self.count = 0

    def read(self) -> float:
        self.count += 1
        return self.count


@pytest.fixture
def supervisor(benchmark: Benchmark) -> BenchmarkSupervisor:
    return BenchmarkSupervisor(
        [TimeMetric("time"), CPUMetric("cpu", INTERVAL), MemoryMetric("memory", INTERVAL), Reads("reads", INTERVAL)],
        benchmark,
        name="stage",
    )


def check_sampled_values(call: Row) -> None:
    """Check that the values which were sampled until the end of the call are there."""
    assert set(call["results"]) == {"time", "cpu", "memory", "reads"}
    assert call["results"]["time"]["value"] * 1e9 == pytest.approx(call["duration"])
    assert call["results"]["memory"]["value"] > 1
    for measure_type in ("cpu", "memory", "reads"):
        data = call["results"][measure_type]["data"]
        assert set(data) >= {"n", "min", "mean", "max", "first", "last"}
        assert data["n"] >= 3
        assert data["min"] <= data["mean"] <= data["max"]


class Mine(Exception):
    """An error of the user."""


class Outcome(NamedTuple):
    """What the outside sees of a stage: what was raised, its links, and the state of its task."""

    raised: str
    arguments: tuple[object, ...]
    cause: str
    context: str
    cancelling: int
    cancelled: bool
    inside: list[str]
    """What the stage itself saw being thrown into it."""


def named(error: BaseException | None) -> str:
    return type(error).__name__


async def outcome_of(drive: Callable[[Stage], Awaitable[object]], stage: Stage, inside: list[BaseException]) -> Outcome:
    inside.clear()
    task = asyncio.create_task(drive_to_end(drive, stage))
    error = await task
    return Outcome(
        named(error),
        getattr(error, "args", ()) if not isinstance(error, BaseExceptionGroup) else (error.message,),
        named(getattr(error, "__cause__", None)),
        named(getattr(error, "__context__", None)),
        task.cancelling(),
        task.cancelled(),
        [named(each) for each in inside],
    )


async def drive_to_end(drive: Callable[[Stage], Awaitable[object]], stage: Stage) -> BaseException | None:
    try:
        await drive(stage)
    except BaseException as error:
        return error
    return None


async def by_cancel(stage: Stage) -> None:
    task = asyncio.create_task(stage())
    await asyncio.sleep(RUNS_FOR)
    task.cancel("enough")
    try:
        await task
    finally:
        assert task.cancelling() == 1
        assert task.cancelled()


async def by_cancel_before_the_first_step(stage: Stage) -> None:
    task = asyncio.create_task(stage())
    task.cancel()
    await task


async def by_cancel_of_the_caller(stage: Stage) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(RUNS_FOR, task.cancel)
    await stage()


async def by_timeout(stage: Stage) -> None:
    async with asyncio.timeout(RUNS_FOR):
        await stage()


async def by_wait_for(stage: Stage) -> None:
    await asyncio.wait_for(stage(), RUNS_FOR)


async def by_a_sibling(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(stage())
        await asyncio.sleep(RUNS_FOR)
        raise Mine("sibling")


CANCELLING = [by_cancel, by_cancel_of_the_caller, by_timeout, by_wait_for, by_a_sibling]


@pytest.mark.parametrize("drive", CANCELLING)
async def test_a_cancelled_coroutine_looks_as_without_us(
    supervisor: BenchmarkSupervisor,
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    drive: Callable[[Stage], Awaitable[object]],
) -> None:
    inside: list[BaseException] = []

    async def stage() -> None:
        try:
            await asyncio.sleep(30)
        except BaseException as error:
            inside.append(error)
            raise

    plain = await outcome_of(drive, stage, inside)
    assert await outcome_of(drive, supervisor(stage), inside) == plain
    assert plain.inside == ["CancelledError"]
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["status"] == "cancelled"
    check_sampled_values(call)


@pytest.mark.parametrize("drive", CANCELLING)
async def test_a_cancelled_async_generator_looks_as_without_us(
    supervisor: BenchmarkSupervisor,
    benchmark: Benchmark,
    ended_calls: EndedCalls,
    drive: Callable[[Stage], Awaitable[object]],
) -> None:
    inside: list[BaseException] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(30)
        except BaseException as error:
            inside.append(error)
            raise

    def consumer(stage: Stage) -> Stage:
        async def consume() -> list[int]:
            return [number async for number in stage()]

        return consume

    plain = await outcome_of(drive, consumer(numbers), inside)
    assert await outcome_of(drive, consumer(supervisor(numbers)), inside) == plain
    assert plain.inside == ["CancelledError"]
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["status"] == "cancelled"
    check_sampled_values(call)


async def test_a_coroutine_that_never_began_is_no_call(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    async def stage() -> None: ...

    plain = await outcome_of(by_cancel_before_the_first_step, stage, [])
    assert await outcome_of(by_cancel_before_the_first_step, supervisor(stage), []) == plain
    await supervisor(stage)()
    await benchmark.flush()
    assert [call["status"] for call in ended_calls()] == ["ok"]


async def test_a_swallowed_cancellation_is_an_ordinary_end(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    @supervisor
    async def stage() -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "done"
        return "late"

    task = asyncio.create_task(stage())
    await asyncio.sleep(RUNS_FOR)
    task.cancel()
    assert await task == "done"
    assert (task.cancelling(), task.cancelled()) == (1, False)
    await benchmark.flush()
    (call,) = ended_calls()
    assert (call["status"], call["error"]) == ("ok", None)
    check_sampled_values(call)


class Unprintable(Exception):
    """An error whose methods fail."""

    def __str__(self) -> NoReturn:
        raise Mine

    __repr__ = __str__

    def __eq__(self, other: object) -> NoReturn:
        raise Mine

    __hash__ = None  # type: ignore[assignment]


ERRORS: list[Callable[[], BaseException]] = [
    lambda: Mine("a", 1),
    lambda: ExceptionGroup("several", [Mine("b")]),
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt()]),
    lambda: KeyError("c"),
    lambda: OSError(2, "d"),
    lambda: StopAsyncIteration("e"),
    lambda: TimeoutError(),
    lambda: KeyboardInterrupt("f"),
    lambda: SystemExit(3),
    lambda: Unprintable(),
]


@pytest.mark.parametrize("make", ERRORS)
def test_what_a_function_raises_is_the_same_object_outside(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls, make: Callable[[], BaseException]
) -> None:
    error = make()

    def stage() -> None:
        raise error

    check_same_error(error, stage, supervisor(stage))
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert call["status"] == "error"
    assert type(error).__name__ in call["error"]


@pytest.mark.parametrize("make", ERRORS)
def test_what_a_coroutine_raises_is_the_same_object_outside(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls, make: Callable[[], BaseException]
) -> None:
    error = make()

    async def stage() -> None:
        await asyncio.sleep(0)
        raise error

    check_same_error(error, lambda: drive_by_hand(stage()), lambda: drive_by_hand(supervisor(stage)()))
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert call["status"] == "error"
    assert type(error).__name__ in call["error"]


def drive_by_hand(coroutine: Coroutine[object, None, None]) -> None:
    """Run a coroutine that only yields: a loop could not handle all of these errors itself."""
    while True:
        coroutine.send(None)


@pytest.mark.parametrize("error", [Mine("a"), KeyboardInterrupt("b"), SystemExit(3)])
def test_what_ends_a_loop_ends_it(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls, error: BaseException
) -> None:
    async def stage() -> None:
        await asyncio.sleep(0)
        raise error

    check_same_error(error, lambda: asyncio.run(stage()), lambda: asyncio.run(supervisor(stage)()))
    asyncio.run(benchmark.flush())
    assert [call["status"] for call in ended_calls()] == ["error"]


def test_stop_iteration_of_a_function_passes(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    error = StopIteration(1)

    def stage() -> None:
        raise error

    check_same_error(error, stage, supervisor(stage))
    asyncio.run(benchmark.flush())
    assert [call["status"] for call in ended_calls()] == ["error"]


def check_same_error(error: BaseException, plain: Callable[[], object], supervised: Callable[[], object]) -> None:
    """Check that both raise this very object, with the same links, and at most one frame more in the second trace."""
    looks = []
    for stage in (plain, supervised):
        error.__traceback__ = error.__context__ = error.__cause__ = None
        try:
            stage()
        except BaseException as caught:
            # By identity: the comparison of an error may itself fail.
            assert caught is error  # noqa: PT017
            looks.append((len(traceback.extract_tb(error.__traceback__)), error.__context__, error.__cause__))
    (plain_depth, *plain_links), (depth, *links) = looks
    assert links == plain_links == [None, None]
    assert depth <= plain_depth + 1
    error.__traceback__ = None


async def test_a_raising_coroutine_keeps_what_was_sampled(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    error = Mine("late")

    @supervisor
    async def stage() -> None:
        await asyncio.sleep(RUNS_FOR)
        raise error

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(stage())
    assert caught.value.exceptions == (error,)
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["status"] == "error"
    assert "Mine" in call["error"]
    assert "late" in call["error"]
    check_sampled_values(call)


async def test_the_context_of_an_error_is_kept(supervisor: BenchmarkSupervisor) -> None:
    first, second = Mine("first"), Mine("second")

    @supervisor
    async def stage() -> None:
        try:
            raise first
        except Mine:
            raise second from None

    with pytest.raises(Mine) as caught:
        await stage()
    assert caught.value is second
    assert second.__context__ is first
    assert second.__suppress_context__


async def test_a_closed_coroutine_is_recorded_as_closed(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    inside: list[BaseException] = []
    ready = asyncio.Event()

    @supervisor
    async def stage() -> None:
        try:
            await ready.wait()
        except BaseException as error:
            inside.append(error)
            raise

    running = stage()
    running.send(None)
    await asyncio.sleep(RUNS_FOR)
    running.close()
    assert [type(error) for error in inside] == [GeneratorExit]
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["status"] == "closed"
    check_sampled_values(call)


async def test_a_closed_async_generator_is_recorded_as_closed(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    inside: list[BaseException] = []

    @supervisor
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        except BaseException as error:
            inside.append(error)
            raise

    running = numbers()
    await anext(running)
    await asyncio.sleep(RUNS_FOR)
    await running.aclose()
    assert [type(error) for error in inside] == [GeneratorExit]
    await benchmark.flush()
    (call,) = ended_calls()
    assert (call["status"], call["kind"]) == ("closed", "async generator")
    check_sampled_values(call)


def test_an_error_thrown_into_a_generator_is_the_same_object(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls
) -> None:
    inside: list[BaseException] = []

    @supervisor
    def numbers() -> Generator[int, None, None]:
        for number in (1, 2):
            try:
                yield number
            except Mine as error:
                inside.append(error)

    running = numbers()
    assert next(running) == 1
    error = Mine("thrown")
    assert running.throw(error) == 2
    assert inside == [error]
    other = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        running.throw(other)
    assert caught.value is other
    asyncio.run(benchmark.flush())
    assert [call["status"] for call in ended_calls()] == ["error"]


def test_the_return_value_of_a_generator_passes(supervisor: BenchmarkSupervisor) -> None:
    @supervisor
    def numbers() -> Generator[int, str, str]:
        sent = yield 1
        return sent * 2

    running = numbers()
    assert next(running) == 1
    with pytest.raises(StopIteration) as caught:
        running.send("ab")
    assert caught.value.value == "abab"


@pytest.mark.parametrize("kind", ["generator", "iterate"])
def test_a_loop_that_breaks_closes_the_generator(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls, kind: str
) -> None:
    closed: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    for _ in supervisor(numbers)() if kind == "generator" else supervisor.iterate(numbers()):
        break
    gc.collect()
    assert closed == ["closed"]
    asyncio.run(benchmark.flush())
    (call,) = ended_calls()
    assert call["status"] in ("closed", "abandoned")


def test_a_generator_that_never_began_is_no_call(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, rows: Rows
) -> None:
    @supervisor
    def numbers() -> Iterator[int]:
        yield 1

    numbers()
    assert next(numbers()) == 1
    gc.collect()
    asyncio.run(benchmark.flush())
    assert len(rows("select * from span")) == 1


async def test_what_still_runs_when_the_benchmark_closes_is_abandoned(
    supervisor: BenchmarkSupervisor, benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows
) -> None:
    @supervisor
    async def stage() -> str:
        await asyncio.sleep(RUNS_FOR)
        await released.wait()
        return "done"

    released = asyncio.Event()
    task = asyncio.create_task(stage())
    await asyncio.sleep(RUNS_FOR)
    await benchmark.flush()
    assert [row["status"] for row in rows("select status from span")] == ["running"]
    await benchmark.close()
    assert [call["status"] for call in ended_calls()] == ["abandoned"]
    released.set()
    assert await task == "done"
