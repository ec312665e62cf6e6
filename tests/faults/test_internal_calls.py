"""The k-th call within the package raises: stages give what they give without us, and nothing hangs."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import umlaut_async
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    MemoryMetric,
    Metric,
    StoreError,
    ThroughputMetric,
    TimeMetric,
    WaitMetric,
)
from umlaut_async.collector import address, recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import FrameType

HERE = str(Path(umlaut_async.__file__).parent)
FRAMES = str(Path(HERE) / "forwarding.py")
"""The frames around stages, which call the hooks and can do nothing but that."""
OUTERMOST = frozenset({"_ready", "_unmeasured", "collect", "end_with"})
"""What the entry to a block calls last of all, and what a thread begins and ends with."""


class Fault(Exception):
    """What an internal call raises."""


class Plan:
    """Lets one call of a function of the package by another one raise, and counts them.

    Args:
        at: Which, in the order in which they come.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0
        self.where = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Take what Python tells of a call."""
        if event != "call" or self.calls >= self.at:
            return
        code, caller = frame.f_code, frame.f_back
        if not code.co_filename.startswith(HERE) or code.co_filename == FRAMES or code.co_name.startswith("<"):
            return
        if caller is None or not caller.f_code.co_filename.startswith(HERE):
            return
        if caller.f_code.co_filename == FRAMES or code.co_name in OUTERMOST:
            return
        self.calls += 1
        if self.calls == self.at:
            self.where = f"{Path(code.co_filename).name}:{code.co_qualname} in {caller.f_code.co_qualname}"
            raise Fault

    @property
    def fired(self) -> bool:
        """Whether it has raised."""
        return bool(self.where)


class Own(Metric):
    """A metric of the user's."""

    measure_type = "own"
    unit = "things"

    def read(self) -> float:
        return 1.0


def program(supervise: Callable[[str], Any], block: Callable[[str], Any]) -> Callable[[], list[object]]:
    """Return a program of stages of every kind, which gives what they give."""

    def function(number: int) -> int:
        return number + 1

    def failing() -> None:
        raise KeyError("of the user")

    async def coroutine(number: int) -> int:
        await asyncio.sleep(0)
        return function(number) * 2

    def generator(count: int) -> Iterator[int]:
        for number in range(count):
            if (yield number) == "stop":
                return

    async def async_generator(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    stages: Any = function, failing, coroutine, generator, async_generator
    names = "function", "failing", "coroutine", "generator", "async generator"
    function, failing, coroutine, generator, async_generator = (
        supervise(name)(stage) for name, stage in zip(names, stages, strict=True)
    )
    with_block, async_with_block = block("with"), block("async with")

    async def work() -> list[object]:
        given: list[object] = [function(1), await coroutine(2), list(generator(3))]
        try:
            failing()
        except KeyError as error:
            given.append(error.args)
        steps: Any = generator(5)
        given += [next(steps), next(steps)]
        try:
            steps.send("stop")
        except StopIteration:
            given.append("stopped")
        given.append([item async for item in async_generator(3)])
        left: Any = async_generator(3)
        given.append(await anext(left))
        await left.aclose()
        with with_block:
            given.append("inside")
        async with async_with_block:
            given.append("inside")
        given.append(await asyncio.gather(*(coroutine(number) for number in range(3))))
        return given

    return lambda: asyncio.run(work())


class Untouched:
    """A block that does nothing."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


def expected() -> list[object]:
    """Return what the program gives undecorated."""
    return program(lambda name: lambda target: target, lambda name: Untouched())()


def supervised(bm: Benchmark) -> Callable[[], list[object]]:
    """Return the program with each of its stages supervised."""
    metrics = [
        TimeMetric("time"),
        CPUMetric("cpu", interval=0.01),
        MemoryMetric("memory"),
        ThroughputMetric("rate"),
        Own("own"),
    ]

    def supervise(name: str) -> Any:
        waits = [WaitMetric("wait")] if "generator" in name else []
        return BenchmarkSupervisor([*metrics, *waits], bm, name)

    return program(supervise, supervise)


def close(bm: Benchmark) -> None:
    """End a run, whatever has become of it, in time."""
    try:
        asyncio.run(asyncio.wait_for(bm.close(), 25))
    except StoreError:
        pass


def sample(count: int, soak: bool, in_ci: int) -> list[int]:
    """Return which calls are to raise."""
    everything = range(1, count + 1)
    return list(everything) if soak else sorted(random.Random(8).sample(everything, min(in_ci, count)))


def run_with_fault(database: Path, at: int, collector: str, thread: str, result: list[object]) -> Plan:
    """Run the program with a fault in the calling thread or in that of the collector, and check what it gives.

    Where the collector is another process, the thread is that which forwards to it.
    """
    bm, plan = Benchmark(database, flush_interval=0.05, collector=collector), Plan(at)
    work = supervised(bm)
    if thread == "stage":
        sys.setprofile(plan)
    else:
        threading.setprofile(lambda *event: _profile_collector(plan))
    try:
        given = work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert given == result, plan.where
    if thread == "stage":
        assert asyncio.run(_flushed(bm)) is None or plan.fired, plan.where
    close(bm)
    # A collector that failed has a last word after its answer.
    deadline = time.monotonic() + 5
    while (account := bm.accounting).in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert account.recorded == account.stored + sum(account.dropped.values()) + account.in_flight, plan.where
    assert account.in_flight == 0, plan.where
    # Else the end of the process would wait for it, and say that it did.
    assert all(live.uuid != bm.uuid for live in recorder._live), plan.where
    return plan


def _profile_collector(plan: Plan) -> None:
    sys.setprofile(plan if threading.current_thread().name == "umlaut-collector" else None)


async def _flushed(bm: Benchmark) -> StoreError | None:
    try:
        await asyncio.wait_for(bm.flush(), 25)
    except StoreError as error:
        return error
    return None


@pytest.fixture(autouse=True)
def _no_address_is_left() -> Iterator[None]:
    """Withdraw what a run could not that failed at just this."""
    yield
    address._own.clear()
    os.environ.pop(address.VARIABLE, None)


# A collector that fails leaves what it awaited to the garbage collector.
# The thread that aiosqlite has for a connection may come with an answer when the loop of such a collector is closed.
@pytest.mark.filterwarnings(
    "ignore:Exception in thread .*_connection_worker_thread:pytest.PytestUnhandledThreadExceptionWarning"
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("collector", "thread", "in_ci"),
    [("thread", "stage", 40), ("thread", "collector", 50), ("process", "stage", 8), ("process", "collector", 12)],
)
def test_an_internal_call_that_raises_changes_no_result(
    tmp_path: Path, collector: str, thread: str, in_ci: int, soak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("umlaut_async", "asyncio", "sqlalchemy"):
        caplog.set_level(logging.CRITICAL + 1, name)
    result = expected()
    count = run_with_fault(tmp_path / "count.db", 1 << 60, collector, thread, result).calls
    assert count > 100
    for at in sample(count, soak, in_ci):
        run_with_fault(tmp_path / f"{at}.db", at, collector, thread, result)
