"""Pipelines with one planted bottleneck each, and healthy ones: `python -m tests.analysis.pipelines FOLDER NAME...`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    EventLoopLagMetric,
    GPUMetric,
    IOMetric,
    MemoryMetric,
    ThroughputMetric,
    TimeMetric,
    WaitMetric,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MIB = 2**20
ENOUGH = 0.9
"""Of a core: a little more than what the verdict calls full."""
PATIENCE = 30
"""The seconds in which a busy machine may come to have a core to give."""


def compute(seconds: float) -> None:
    """Use the CPU for so many seconds of its time, however busy the machine is."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def cpu() -> CPUMetric:
    """Return a metric that every stage may have."""
    return CPUMetric("cpu", interval=0.05)


async def slow_loader(bm: Benchmark) -> None:
    """Train for 3 ms on each batch, which takes 10 ms to come."""

    @BenchmarkSupervisor([TimeMetric("load time"), WaitMetric("waiting"), ThroughputMetric("batches")], bm)
    async def load() -> AsyncIterator[int]:
        for number in range(45):
            await asyncio.sleep(0.01)
            yield number

    @BenchmarkSupervisor([TimeMetric("train time"), cpu()], bm)
    async def train() -> None:
        async for _ in load():
            compute(0.003)

    await train()


async def slow_iteration(bm: Benchmark) -> None:
    """Do the same with a loader that is not ours, and a supervised step."""

    class Loader:
        def __len__(self) -> int:
            return 45

        def __iter__(self) -> Iterator[int]:
            for number in range(45):
                time.sleep(0.01)
                yield number

    loader = BenchmarkSupervisor([TimeMetric("load time")], bm, name="loader").iterate(Loader())

    @BenchmarkSupervisor([TimeMetric("step time")], bm)
    def step() -> None:
        compute(0.003)

    @BenchmarkSupervisor([TimeMetric("epoch time"), cpu()], bm)
    def epoch() -> None:
        for _ in loader:
            step()

    epoch()


async def one_core(bm: Benchmark) -> float:
    """Compute in one thread; return how much of a core it got."""

    @BenchmarkSupervisor([TimeMetric("load time"), cpu()], bm)
    async def load() -> None:
        await asyncio.sleep(0.01)

    @BenchmarkSupervisor([TimeMetric("train time"), cpu()], bm)
    def train() -> None:
        compute(0.2)

    # Before its first call a run is at work for a while.
    await load()
    computing = 0.0
    for _ in range(4):
        await load()
        began = time.monotonic()
        train()
        computing += time.monotonic() - began
    return 0.8 / computing


async def all_cores(bm: Benchmark) -> float:
    """Compute in one thread, with one core to compute on."""
    return await one_core(bm)


async def generator_that_computes(bm: Benchmark) -> float:
    """Train in a generator, which yields its losses to who waits for nothing else; return how much of a core it got."""

    @BenchmarkSupervisor([TimeMetric("train time"), cpu()], bm)
    def train() -> Iterator[float]:
        for _ in range(4):
            compute(0.2)
            yield 0.1

    began = time.monotonic()
    assert len([*train()]) == 4
    return 0.8 / (time.monotonic() - began)


async def blocked_loop(bm: Benchmark) -> None:
    """Answer requests while a report blocks their event loop now and then."""

    @BenchmarkSupervisor([TimeMetric("parse time")], bm)
    def parse() -> None:
        time.sleep(0.15)

    @BenchmarkSupervisor([TimeMetric("answer time"), EventLoopLagMetric("loop", interval=0.02), cpu()], bm)
    async def answer() -> None:
        for _ in range(15):
            await asyncio.sleep(0.02)
            compute(0.001)

    async def report() -> None:
        for _ in range(4):
            await asyncio.sleep(0.1)
            parse()

    await asyncio.gather(report(), *(answer() for _ in range(4)))


async def growing_memory(bm: Benchmark) -> None:
    """Keep something of each batch."""
    kept = []

    @BenchmarkSupervisor([TimeMetric("train time"), MemoryMetric("memory", interval=0.02), cpu()], bm)
    async def train() -> None:
        kept.append(b"x" * (6 * MIB))
        compute(0.015)
        await asyncio.sleep(0.015)

    @BenchmarkSupervisor([TimeMetric("validation time"), MemoryMetric("memory", interval=0.02), cpu()], bm)
    async def validate() -> None:
        compute(0.005)
        await asyncio.sleep(0.005)

    for _ in range(30):
        await train()
        await validate()


async def memory_that_grows_elsewhere(bm: Benchmark) -> None:
    """Keep something of what no stage has made, and free in a stage what came with it."""
    kept: list[bytes] = []
    passed_on: list[bytes] = []

    @BenchmarkSupervisor([TimeMetric("consumption time"), MemoryMetric("memory", interval=0.02)], bm)
    async def consume() -> None:
        await asyncio.sleep(0.01)
        passed_on.clear()
        await asyncio.sleep(0.01)

    for _ in range(30):
        kept.append(b"x" * (6 * MIB))
        passed_on.append(b"x" * (20 * MIB))
        await consume()


async def idle(bm: Benchmark) -> None:
    """Wait for what is far away."""

    @BenchmarkSupervisor([TimeMetric("fetch time"), cpu()], bm)
    async def fetch() -> None:
        await asyncio.sleep(0.1)

    @BenchmarkSupervisor([TimeMetric("decode time"), cpu()], bm)
    def decode() -> None:
        compute(0.005)

    for _ in range(7):
        await fetch()
        decode()


async def starved_gpu(bm: Benchmark) -> None:
    """Train on a GPU that is at 37 % for all the time."""

    @BenchmarkSupervisor([TimeMetric("train time"), GPUMetric("gpu", interval=0.05), cpu()], bm)
    async def train() -> None:
        for _ in range(20):
            compute(0.005)
            await asyncio.sleep(0.005)

    for _ in range(3):
        await train()


async def busy_gpu(bm: Benchmark) -> None:
    """Do the same with a GPU that has work."""
    await starved_gpu(bm)


async def slow_storage(bm: Benchmark) -> None:
    """Write checkpoints, and wait until each is on disk."""

    @BenchmarkSupervisor([TimeMetric("save time"), IOMetric("io", interval=0.05), cpu()], bm)
    def save(file: int) -> None:
        until = time.monotonic() + 0.15
        while time.monotonic() < until:
            os.write(file, bytes(64 * 1024))
            os.fsync(file)

    @BenchmarkSupervisor([TimeMetric("train time"), cpu()], bm)
    async def train() -> None:
        compute(0.02)
        await asyncio.sleep(0.02)

    with tempfile.TemporaryFile(dir=".") as file:
        for _ in range(4):
            await train()
            save(file.fileno())


async def warm_up(bm: Benchmark) -> None:
    """Compile at the first call, say."""
    compiled = False

    @BenchmarkSupervisor([TimeMetric("inference time"), cpu()], bm)
    async def infer() -> None:
        nonlocal compiled
        if not compiled:
            compute(0.2)
            await asyncio.sleep(0.2)
            compiled = True
        compute(0.005)
        await asyncio.sleep(0.005)

    @BenchmarkSupervisor([TimeMetric("serving time"), cpu()], bm)
    async def serve() -> None:
        for _ in range(25):
            await infer()

    await serve()


async def one_outlier(bm: Benchmark) -> None:
    """Do twelve things at once, one of which takes far longer than the others."""

    @BenchmarkSupervisor([TimeMetric("work time"), cpu()], bm)
    async def work(steps: int) -> None:
        for _ in range(steps):
            compute(0.004)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(work(50 if number == 7 else 2) for number in range(12)))


async def failing(bm: Benchmark) -> None:
    """Try again and again."""

    @BenchmarkSupervisor([TimeMetric("fetch time"), cpu()], bm)
    async def fetch(attempt: int) -> None:
        compute(0.015)
        await asyncio.sleep(0.04)
        if attempt % 4:
            raise ConnectionError("no answer")

    for attempt in range(12):
        with contextlib.suppress(ConnectionError):
            await fetch(attempt)


async def untracked(bm: Benchmark) -> None:
    """Spend most of the time where nothing is supervised."""

    @BenchmarkSupervisor([TimeMetric("train time"), cpu()], bm)
    async def train() -> None:
        compute(0.01)
        await asyncio.sleep(0.01)

    for _ in range(6):
        await train()
        await asyncio.sleep(0.08)


async def healthy_training(bm: Benchmark) -> None:
    """Load ahead, train, validate: each has its share, and none waits for long."""
    cache = bytes(40 * MIB)

    @BenchmarkSupervisor([TimeMetric("load time"), WaitMetric("waiting"), cpu()], bm)
    async def load() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(0.001)
            yield b"x" * MIB

    @BenchmarkSupervisor([TimeMetric("epoch time"), MemoryMetric("memory", 0.02), cpu()], bm)
    async def train() -> None:
        async for batch in load():
            compute(0.01)
            await asyncio.sleep(0.005)
            assert batch

    @BenchmarkSupervisor([TimeMetric("validation time"), MemoryMetric("memory", 0.02), IOMetric("io", 0.02), cpu()], bm)
    async def validate() -> None:
        compute(0.02)
        await asyncio.sleep(0.02)

    for _ in range(4):
        await train()
        await validate()
    assert cache


async def healthy_service(bm: Benchmark) -> None:
    """Answer many requests at once, none of which blocks the others."""

    @BenchmarkSupervisor([TimeMetric("request time"), EventLoopLagMetric("loop", interval=0.02), cpu()], bm)
    async def answer() -> None:
        await asyncio.sleep(0.03)
        await parse()
        await asyncio.sleep(0.01)

    @BenchmarkSupervisor([TimeMetric("parse time"), cpu()], bm)
    async def parse() -> None:
        compute(0.002)

    async def client(number: int) -> None:
        await asyncio.sleep(0.004 * number)
        for _ in range(12):
            await answer()

    await asyncio.gather(*(client(number) for number in range(10)))


def hurry() -> None:
    """Come before all else that this machine has to do, where that is allowed.

    Linux may divide its time between sessions first, and only then look at how nice each process is.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        os.setsid()
        Path("/proc/self/autogroup").write_text("-20")


@contextlib.contextmanager
def allowed_cores(cores: set[int]) -> Iterator[None]:
    """Let this thread, and those that it starts, have only these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def run(name: str, database: Path) -> float | None:
    """Run a pipeline; one that needs a core for itself until it had one, or patience ends.

    Return how much of a core that one got.
    """
    cores = os.sched_getaffinity(0)
    end = time.monotonic() + PATIENCE
    while True:
        with allowed_cores({min(cores)} if name == "all_cores" else cores):
            async with Benchmark(database, name=name) as bm:
                got: float | None = await globals()[name](bm)
        if got is None or got >= ENOUGH or time.monotonic() > end:
            return got


async def main(folder: Path, names: list[str]) -> None:
    """Run pipelines, each into a database of its own; write how much of a core those got which need one."""
    hurry()
    json.dump({name: await run(name, folder / f"{name}.db") for name in names}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
