"""What a collector in a process of its own costs the measured one, beside a collector in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from tests.benchmarks.harness import ROUNDS, Figures, Row, timed, timed_await
from tests.benchmarks.processes import number, start
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.collector import wire
from umlaut_async.collector.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 2_000
SUSTAINED = 20_000
RECORDS = 200_000
MESSAGE = 2_000

SCRIPT = """
import asyncio, sys, time

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

async def main():
    before = resident()
    from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric, TimeMetric
    metrics = [TimeMetric("time"), CPUMetric("cpu"), MemoryMetric("memory")]
    benchmark = Benchmark("runs.db", collector="{collector}")
    stage = BenchmarkSupervisor(metrics, benchmark)(lambda: None)
    began = time.perf_counter()
    stage()
    first = time.perf_counter() - began
    for _ in range(100):
        stage()
    await benchmark.flush()
    grown = resident() - before
    await benchmark.close()
    print({what})

asyncio.run(main())
"""


def empty() -> None:
    """Do nothing."""


@contextmanager
def both() -> Iterator[tuple[Benchmark, Benchmark]]:
    """Yield a benchmark whose collector is a process, and one whose collector is a thread."""
    with TemporaryDirectory() as folder:
        yield (
            Benchmark(Path(folder) / "process.db", collector="process", flush_interval=1),
            Benchmark(Path(folder) / "thread.db", flush_interval=1),
        )


def calls() -> Figures:
    """Compare the cost of a supervised call on the measured path."""

    async def measure() -> Figures:
        figures = Figures([], [])
        with both() as (outside, inside):
            async with outside, inside:
                ours = BenchmarkSupervisor([TimeMetric("time")], outside)(empty)
                peer = BenchmarkSupervisor([TimeMetric("time")], inside)(empty)
                for _ in range(ROUNDS):
                    for benchmark, stage, taken in ((outside, ours, figures.ours), (inside, peer, figures.peer)):
                        await benchmark.flush()
                        taken.append(timed(lambda stage=stage: [stage() for _ in range(CALLS)]) / CALLS)  # type: ignore[misc]
        return figures

    return asyncio.run(measure())


def committed() -> Figures:
    """Compare the calls that are committed in a second."""

    async def measure() -> Figures:
        figures = Figures([], [])
        with both() as (outside, inside):
            async with outside, inside:
                for _ in range(5):
                    for benchmark, taken in ((outside, figures.ours), (inside, figures.peer)):
                        stage = BenchmarkSupervisor([TimeMetric("time")], benchmark)(empty)
                        stage()
                        await benchmark.flush()

                        async def work(stage: object = stage, benchmark: Benchmark = benchmark) -> None:
                            for _ in range(SUSTAINED):
                                stage()  # type: ignore[operator]
                            await benchmark.flush()

                        taken.append(SUSTAINED / await timed_await(work))
        return figures

    return asyncio.run(measure())


def link() -> Figures:
    """Compare the records of calls that come through a connection in a second with those that go through a deque."""
    record = (1, 1, None, "MainThread", 1, 1000, "ok", None, None, None, None, (), ())
    figures = Figures([], [])
    for _ in range(5):
        figures.ours.append(RECORDS / asyncio.run(through_a_connection(record)))
        figures.peer.append(RECORDS / through_a_deque(record))
    return figures


async def through_a_connection(record: wire.EndedCall) -> float:
    """Return the seconds that records take from one thread to another, as messages."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arrived = threading.Event()

    async def receive() -> None:
        channel = Channel(theirs)
        count = 0
        done = asyncio.Event()

        def take(message: bytes) -> None:
            nonlocal count
            count += len(wire.decode_batch(message).calls)
            if count == RECORDS:
                done.set()

        channel.listen(take, lambda *_: None)
        await done.wait()
        arrived.set()
        channel.close()

    receiver = threading.Thread(target=lambda: asyncio.run(receive()))
    receiver.start()
    channel = Channel(ours)
    began = perf_counter()
    for _ in range(RECORDS // MESSAGE):
        await channel.send(wire.encode(wire.Batch(calls=[record] * MESSAGE)))
    await asyncio.to_thread(arrived.wait)
    taken = perf_counter() - began
    channel.close()
    receiver.join()
    return taken


def through_a_deque(record: wire.EndedCall) -> float:
    """Return the seconds that records take through a deque, one by one as calls append them."""
    records: deque[wire.EndedCall] = deque()
    began = perf_counter()
    for _ in range(RECORDS // MESSAGE):
        for _ in range(MESSAGE):
            records.append(record)
        for _ in range(MESSAGE):
            records.popleft()
    return perf_counter() - began


def of_scripts(ours: str, peer: str | None, what: str, unit: float) -> Figures:
    """Return what scripts print that record with a collector in a process, and in a thread, or a fixed unit."""
    figures = Figures([], [])
    for _ in range(5):
        with TemporaryDirectory() as folder:
            figures.ours.append(number(start(SCRIPT.format(collector=ours, what=what), folder)))
        if peer is None:
            figures.peer.append(unit)
        else:
            with TemporaryDirectory() as folder:
                figures.peer.append(number(start(SCRIPT.format(collector=peer, what=what), folder)))
    return figures


ROWS = [
    Row("outside", "empty function with TimeMetric, collector in a process", "collector in a thread", calls, 1.3),
    Row(
        "outside-stored", "20,000 calls to committed rows, collector in a process", "collector in a thread", committed,
        0.9, rate=True,
    ),
    Row("link", "records of calls through the connection", "a deque", link, 0.25, rate=True),
    Row(
        "first-call", "the first call, while the process of the collector starts", "5 ms",
        lambda: of_scripts("process", None, "first", 0.005), 1,
    ),
    Row(
        "memory-process", "memory gained over asyncio, collector in a process, MiB", "8 MiB",
        lambda: of_scripts("process", None, "grown", 8), 1, count=True,
    ),
    Row(
        "memory-thread", "memory gained over asyncio, collector in a thread, MiB", "35 MiB",
        lambda: of_scripts("thread", None, "grown", 35), 1, count=True,
    ),
]  # fmt: skip
