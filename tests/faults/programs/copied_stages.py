"""Whatever is supervised is pickled before and after calls, and its copies are called.

Its arguments are the path of the database and what pickles: "pickle", "cloudpickle" or "dill". It prints, as JSON, what
was supervised by kind, with the digests of what was pickled before, after, and of a copy, and how often its copy is in
the account.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, EventLoopLagMetric, ThroughputMetric, TimeMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

picklers = importlib.import_module(sys.argv[2])
bm = Benchmark(sys.argv[1], description="copies", tags=["a", "b"])
metrics = [TimeMetric("time"), CPUMetric("cpu", interval=0.1), ThroughputMetric("items")]
supervise = BenchmarkSupervisor(metrics, bm)
supervise_coroutine = BenchmarkSupervisor([TimeMetric("time"), EventLoopLagMetric("lag")], bm)


@supervise
def function(number: int = 1) -> int:
    metrics[2].track(1)
    return number


@supervise_coroutine
async def coroutine() -> None:
    await asyncio.sleep(0)


@supervise
def generator() -> Iterator[int]:
    yield from range(3)


@supervise
async def async_generator() -> AsyncIterator[int]:
    for number in range(3):
        yield number


class Model:
    """An object that is called, and one with a method."""

    def __call__(self) -> None:
        metrics[2].track(1)

    @supervise
    def method(self) -> None:
        metrics[2].track(1)


class Loader:
    """A sync iterable."""

    def __iter__(self) -> Iterator[int]:
        yield from range(3)


class AsyncLoader:
    """An async iterable."""

    def __aiter__(self) -> AsyncIterator[int]:
        return Countdown()


class Countdown:
    """Its iterator."""

    left = 3

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return self.left


def called(target: Any) -> Any:
    return target()


def entered(supervisor: BenchmarkSupervisor) -> None:
    with supervisor as call:
        call.track(1)


def logged(benchmark: Benchmark) -> None:
    benchmark.log("loss", "loss", 0.5)


KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "function": (function, called),
    "coroutine": (coroutine, called),
    "generator": (generator, called),
    "async generator": (async_generator, called),
    "builtin": (supervise(callable), lambda target: target(1)),
    "partial": (supervise(functools.partial(max, 1, 2)), called),
    "list": (supervise.iterate([1, 2]), lambda target: target.__iter__()),
    "supervisor": (BenchmarkSupervisor([TimeMetric("time")], bm, name="block"), entered),
    "benchmark": (bm, logged),
    # Here cloudpickle gives each class of a script a random number.
    "object": (supervise(Model()), called),
    "method": (Model().method, called),
    "loader": (supervise.iterate(Loader(), name="loader"), lambda target: target.__iter__()),
    "async loader": (supervise.iterate(AsyncLoader()), lambda target: target.__aiter__()),
}


async def use(use: Callable[[Any], Any], target: Any) -> None:
    result = use(target)
    if inspect.isgenerator(result):
        list(result)
    elif inspect.isasyncgen(result):
        [item async for item in result]
    elif inspect.isawaitable(result):
        await result


def digest(target: object) -> str:
    return hashlib.sha256(picklers.dumps(target)).hexdigest()[:16]


async def main() -> None:
    found = {}
    for kind, (target, call) in KINDS.items():
        before = digest(target)
        await use(call, target)
        await bm.flush()
        after, recorded = digest(target), bm.accounting.recorded
        copy = picklers.loads(picklers.dumps(target))
        await use(call, copy)
        await asyncio.sleep(0)
        found[kind] = before, after, digest(copy), bm.accounting.recorded - recorded
    await bm.close()
    print(json.dumps(found))


asyncio.run(main())
