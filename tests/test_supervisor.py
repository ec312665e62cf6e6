"""What every kind of stage keeps when it is supervised, and what is recorded of it: identity, name, kind, time."""

from __future__ import annotations

import abc
import asyncio
import functools
import inspect
import math
import time
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import calls_of, seconds
from umlaut_async import Benchmark, BenchmarkSupervisor, ThroughputMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.support import EndedCalls, Row

STAGE = 0.3
TOLERANCE = 0.010
TRIES = 3

Decorate = Any
"""A supervisor as a decorator, or what does nothing instead: here objects of every kind pass through it."""


def function(*_: object) -> float:
    start = perf_counter()
    time.sleep(STAGE)
    return perf_counter() - start


async def coroutine(*_: object) -> float:
    start = perf_counter()
    await asyncio.sleep(STAGE)
    return perf_counter() - start


def generator(*_: object) -> Iterator[float]:
    start = perf_counter()
    for _step in range(3):
        time.sleep(STAGE / 3)
        yield perf_counter() - start


async def async_generator(*_: object) -> AsyncIterator[float]:
    start = perf_counter()
    for _step in range(3):
        await asyncio.sleep(STAGE / 3)
        yield perf_counter() - start


def empty() -> None:
    """Do nothing."""


class Iterable:
    def __iter__(self) -> Iterator[float]:
        return generator()


class AsyncIterable:
    def __aiter__(self) -> AsyncIterator[float]:
        return async_generator()


KINDS: dict[str, Any] = {
    "function": function,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
}


def loader(load: object) -> Any:
    """Return a class with one attribute."""
    return type("Loader", (), {"load": load})


def inherited(decorate: Decorate, stage: Any) -> Any:
    base = loader(decorate(stage))
    return type("Derived", (base,), {"load": lambda self: super(type(self), self).load()})().load


POSITIONS: dict[str, Callable[[Decorate, Any], Any]] = {
    "plain": lambda decorate, stage: decorate(stage),
    "method": lambda decorate, stage: loader(decorate(stage))().load,
    "method with slots": lambda decorate, stage: type("Loader", (), {"__slots__": (), "load": decorate(stage)})().load,
    "method by super": inherited,
    "bound method": lambda decorate, stage: decorate(loader(stage)().load),
    "above classmethod": lambda decorate, stage: loader(decorate(classmethod(stage))).load,
    "above classmethod, by instance": lambda decorate, stage: loader(decorate(classmethod(stage)))().load,
    "below classmethod": lambda decorate, stage: loader(classmethod(decorate(stage))).load,
    "above staticmethod": lambda decorate, stage: loader(decorate(staticmethod(stage))).load,
    "above staticmethod, by instance": lambda decorate, stage: loader(decorate(staticmethod(stage)))().load,
    "below staticmethod": lambda decorate, stage: loader(staticmethod(decorate(stage))).load,
    "partial": lambda decorate, stage: decorate(functools.partial(stage, 1)),
    "partial of a partial": lambda decorate, stage: decorate(functools.partial(functools.partial(stage, 1), 2)),
    "callable object": lambda decorate, stage: decorate(type("Stage", (), {"__call__": stage})()),
}


def run_function(stage: Any) -> float:
    return float(stage())


async def run_coroutine(stage: Any) -> float:
    return float(await stage())


def run_generator(stage: Any) -> float:
    return float(list(stage())[-1])


async def run_async_generator(stage: Any) -> float:
    return float([elapsed async for elapsed in stage()][-1])


RUN: dict[str, Callable[[Any], float | Awaitable[float]]] = {
    "function": run_function,
    "coroutine": run_coroutine,
    "generator": run_generator,
    "async generator": run_async_generator,
}


def run_with(supervisor: BenchmarkSupervisor) -> float:
    with supervisor:
        return function()


async def run_async_with(supervisor: BenchmarkSupervisor) -> float:
    async with supervisor:
        return await coroutine()


def run_iterate(supervisor: BenchmarkSupervisor) -> float:
    return list(supervisor.iterate(Iterable()))[-1]


async def run_async_iterate(supervisor: BenchmarkSupervisor) -> float:
    return [elapsed async for elapsed in supervisor.iterate(AsyncIterable())][-1]


class Cell(NamedTuple):
    """One cell of the matrix: what a call of it is called, and how to make one; the result is the time inside."""

    kind: str
    prepare: Callable[[BenchmarkSupervisor], Callable[[], float | Awaitable[float]]]


def decorated(kind: str, position: str) -> Cell:
    def prepare(supervisor: BenchmarkSupervisor) -> Callable[[], float | Awaitable[float]]:
        return functools.partial(RUN[kind], POSITIONS[position](supervisor, KINDS[kind]))

    return Cell(kind, prepare)


def used(kind: str, run: Callable[[BenchmarkSupervisor], float | Awaitable[float]]) -> Cell:
    return Cell(kind, lambda supervisor: functools.partial(run, supervisor))


CELLS: dict[str, Cell] = {
    f"{kind}, {position}": decorated(kind, position) for kind in KINDS for position in POSITIONS
} | {
    "with": used("with", run_with),
    "async with": used("async with", run_async_with),
    "iterate": used("iterate", run_iterate),
    "async iterate": used("async iterate", run_async_iterate),
}


class Recorded(NamedTuple):
    """What one cell gave: the times read inside, and the recorded calls, both in the order of the tries."""

    inside: list[float]
    calls: list[Row]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    """Run all cells at the same time, three times: they mostly sleep, so they hardly disturb each other."""
    database = tmp_path_factory.mktemp("kinds") / "runs.db"
    inside: dict[str, list[float]] = {name: [] for name in CELLS}

    async def run_all() -> None:
        async with Benchmark(database) as benchmark:
            stages = {
                name: cell.prepare(BenchmarkSupervisor([TimeMetric(name)], benchmark, name=name))
                for name, cell in CELLS.items()
            }
            with ThreadPoolExecutor(len(CELLS)) as threads:
                for _ in range(TRIES):
                    await asyncio.gather(*(run_once(name, stage, threads) for name, stage in stages.items()))

    async def run_once(name: str, stage: Callable[[], Any], threads: ThreadPoolExecutor) -> None:
        if "async" in CELLS[name].kind or CELLS[name].kind == "coroutine":
            inside[name].append(await stage())
        else:
            inside[name].append(await asyncio.get_running_loop().run_in_executor(threads, stage))

    asyncio.run(run_all())
    return {name: Recorded(inside[name], calls_of(database, name)) for name in CELLS}


@pytest.mark.alone
@pytest.mark.parametrize("name", CELLS)
def test_a_stage_is_recorded_as_long_as_it_took(recorded: dict[str, Recorded], name: str) -> None:
    inside, calls = recorded[name]
    assert [(call["kind"], call["status"], call["error"]) for call in calls] == [(CELLS[name].kind, "ok", None)] * TRIES
    durations = [seconds(call) for call in calls]
    assert all(duration >= within for duration, within in zip(durations, inside, strict=True))
    assert min(duration - within for duration, within in zip(durations, inside, strict=True)) <= TOLERANCE
    for call, duration in zip(calls, durations, strict=True):
        time_result = call["results"]["time"]
        assert math.isclose(time_result["value"], duration, rel_tol=1e-9)
        assert (time_result["unit"], time_result["description"], time_result["method"]) == ("sec", name, name)
        assert time_result["provenance"] == "measured"


@pytest.mark.parametrize("position", sorted(POSITIONS.keys() - {"method by super"}))
@pytest.mark.parametrize("kind", KINDS)
def test_the_inspect_predicates_are_kept(benchmark: Benchmark, kind: str, position: str) -> None:
    supervisor = BenchmarkSupervisor([TimeMetric("time")], benchmark)
    plain = POSITIONS[position](lambda stage: stage, KINDS[kind])
    supervised = POSITIONS[position](supervisor, KINDS[kind])
    if position == "callable object":
        # What inspect cannot see on an object with `__call__` becomes visible.
        plain = KINDS[kind]
    predicates = [inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction]
    assert [holds(supervised) for holds in predicates] == [holds(plain) for holds in predicates]
    assert [holds(supervised) for holds in predicates] == [kind == other for other in list(KINDS)[1:]]
    if position in ("plain", "method", "below staticmethod"):
        assert inspect.isfunction(supervised) == inspect.isfunction(plain)
        assert inspect.ismethod(supervised) == inspect.ismethod(plain)


def test_a_stage_keeps_its_name_its_text_and_its_signature(benchmark: Benchmark) -> None:
    def load(path: str, *, limit: int = 3) -> list[str]:
        """Load a file."""
        return [path] * limit

    stage = BenchmarkSupervisor([TimeMetric("time")], benchmark)(load)
    assert (stage.__name__, stage.__qualname__, stage.__module__) == (load.__name__, load.__qualname__, load.__module__)
    assert stage.__doc__ == "Load a file."
    assert inspect.signature(stage) == inspect.signature(load)
    assert inspect.unwrap(stage) is load
    assert stage("a", limit=2) == ["a", "a"]


@pytest.mark.parametrize("above", [True, False])
def test_an_abstract_method_stays_abstract(benchmark: Benchmark, above: bool) -> None:
    supervisor: Decorate = BenchmarkSupervisor([TimeMetric("time")], benchmark)

    class Loader(abc.ABC):  # noqa: B024
        load = supervisor(abc.abstractmethod(empty)) if above else abc.abstractmethod(supervisor(empty))

    assert inspect.isabstract(Loader)
    with pytest.raises(TypeError, match="abstract"):
        Loader()


def test_a_call_is_named_after_the_supervisor_or_the_stage(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    supervisor = BenchmarkSupervisor([TimeMetric("time")], benchmark)

    @supervisor
    def batches() -> None: ...

    class Loader:
        @supervisor
        def load(self) -> None: ...

        @supervisor
        @classmethod
        def make(cls) -> None: ...

    batches()
    Loader().load()
    Loader.make()
    supervisor(empty)()
    BenchmarkSupervisor([TimeMetric("time")], benchmark, name="mine")(empty)()
    asyncio.run(benchmark.flush())
    names = ["batches", "Loader.load", "Loader.make", "empty", "mine"]
    assert [call["name"] for call in ended_calls()] == names
    assert [call["results"]["time"]["method"] for call in ended_calls()] == names


async def test_a_function_that_returns_an_awaitable_is_transparent(benchmark: Benchmark) -> None:
    async def answer() -> int:
        return 42

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    def ask() -> Awaitable[int]:
        return answer()

    assert await ask() == 42


async def test_one_call_gives_one_result_for_each_metric(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    @BenchmarkSupervisor([TimeMetric("first"), TimeMetric("second")], benchmark)
    async def stage() -> None: ...

    await stage()
    await stage()
    await benchmark.flush()
    calls = ended_calls("stage")
    assert len(calls) == 2
    results = {(call["id"], description) for call in calls for description in ("first", "second")}
    assert results == {(row["span"], row["description"]) for row in await all_results(benchmark)}


async def all_results(benchmark: Benchmark) -> list[Any]:
    from sqlalchemy import select

    from umlaut_async import models

    found = (await benchmark.session.execute(select(models.Result.span, models.Result.description))).mappings().all()
    await benchmark.session.close()
    return list(found)


def test_metrics_may_come_from_any_iterable(benchmark: Benchmark, ended_calls: EndedCalls) -> None:
    stage = BenchmarkSupervisor((TimeMetric(text) for text in ("only",)), benchmark)(empty)
    stage()
    stage()
    asyncio.run(benchmark.flush())
    assert [call["results"]["time"]["description"] for call in ended_calls()] == ["only", "only"]


def test_the_environment_can_switch_all_decorators_off(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, database: Any
) -> None:
    monkeypatch.setenv("UMLAUT_DISABLED", "1")
    supervisor = BenchmarkSupervisor([TimeMetric("time")], benchmark, name="off")
    assert supervisor(empty) is empty
    assert list(supervisor.iterate([1, 2])) == [1, 2]
    throughput = ThroughputMetric("throughput")

    @BenchmarkSupervisor([throughput], benchmark)
    def stage() -> None:
        throughput.track(3)

    stage()
    with supervisor as call:
        call.track(3)
    assert not database.exists()


def test_several_benchmarks_record_the_same_call(tmp_path: Any) -> None:
    first, second = Benchmark(tmp_path / "first.db"), Benchmark(tmp_path / "second.db")
    metric = TimeMetric("time")

    @BenchmarkSupervisor([metric], first)
    @BenchmarkSupervisor([metric], second)
    async def stage() -> int:
        return 7

    async def main() -> None:
        async with first, second:
            assert await stage() == 7

    asyncio.run(main())
    for name in ("first.db", "second.db"):
        (call,) = calls_of(tmp_path / name)
        assert (call["name"], call["status"], call["parent"]) == ("stage", "ok", None)
