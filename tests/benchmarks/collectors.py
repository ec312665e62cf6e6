"""What a collector in a process of its own costs the measured one, beside a collector in a thread."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
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
RECORD: wire.EndedCall = (1, 1, None, "MainThread", 1, 1000, "ok", None, None, None, None, (), ())

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

FIRST = """
import statistics, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric

benchmark = Benchmark("runs.db", collector="{collector}")

@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu")], benchmark)
def stage():
    began = time.perf_counter()
    total = 0
    for number in range(2_000_000):
        total += number & 3
    return time.perf_counter() - began

first, *later = [stage() for _ in range(9)]
print(first / statistics.median(later))
"""
"""The first calls, which compute in pure Python while a collector starts."""


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
    """Compare the records that come to another process in a second with those that go to another thread."""
    figures = Figures([], [])
    for _ in range(5):
        figures.ours.append(RECORDS / asyncio.run(to_a_process()))
        figures.peer.append(RECORDS / to_a_thread())
    return figures


async def to_a_process() -> float:
    """Return the seconds that records take from this process to another one, in messages."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs,))
    receiver.start()
    theirs.close()
    channel = Channel(ours)
    said = asyncio.Semaphore(0)
    channel.listen(lambda _: said.release(), lambda *_: None)
    await said.acquire()
    began = perf_counter()
    for _ in range(RECORDS // MESSAGE):
        await channel.send(wire.encode(wire.Batch(calls=[RECORD] * MESSAGE)))
    await said.acquire()
    taken = perf_counter() - began
    channel.close()
    receiver.join()
    return taken


def receive(connection: socket.socket) -> None:
    """Say that the process has started, take all records, and say so."""

    async def until_all_have_come() -> None:
        channel = Channel(connection)
        left = RECORDS
        done = asyncio.Event()

        def take(message: bytes) -> None:
            nonlocal left
            left -= len(wire.decode_batch(message).calls)
            if not left:
                done.set()

        channel.listen(take, lambda *_: None)
        await channel.send(b"ready")
        await done.wait()
        await channel.send(b"done")
        channel.close()

    asyncio.run(until_all_have_come())


def to_a_thread() -> float:
    """Return the seconds that records take through a deque from this thread to another one."""
    records: deque[wire.EndedCall] = deque()

    def take() -> None:
        left = RECORDS
        while left:
            for _ in range(waiting := len(records)):
                records.popleft()
            left -= waiting
            # As the collector, it leaves the interpreter to the calls meanwhile.
            sleep(0.001)

    taker = threading.Thread(target=take)
    began = perf_counter()
    taker.start()
    for _ in range(RECORDS):
        records.append(RECORD)
    taker.join()
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


def computed(collector: str) -> Figures:
    """Return the time of the first call of programs in units of their later ones."""
    figures = Figures([], [])
    for _ in range(5):
        with TemporaryDirectory() as folder:
            figures.ours.append(number(start(FIRST.format(collector=collector), folder)))
        figures.peer.append(1)
    return figures


ROWS = [
    Row("outside", "empty function with TimeMetric, collector in a process", "collector in a thread", calls, 1.3),
    Row(
        "outside-stored", "20,000 calls to committed rows, collector in a process", "collector in a thread", committed,
        0.9, rate=True,
    ),
    Row(
        "link", "records of calls through the connection to a process", "a deque to a thread", link, 0.25, rate=True,
    ),
    Row(
        "first-call", "the first call, while the process of the collector starts", "5 ms",
        lambda: of_scripts("process", None, "first", 0.005), 1,
    ),
    Row(
        "first-computed", "the first call, in pure Python, while the collector starts in a thread", "the later ones",
        lambda: computed("thread"), 1.15, count=True,
    ),
    Row(
        "first-computed-process", "the first call, in pure Python, while the process of the collector starts",
        "the later ones", lambda: computed("process"), 1.15, count=True,
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
