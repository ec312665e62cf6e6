"""Rows of the table: two measurements that take turns, and the ratio of their figures."""

from __future__ import annotations

import gc
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from umlaut_async import Benchmark

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ROUNDS = 9


@dataclass(frozen=True)
class Figures:
    """What each of several rounds measured, ours beside the peer's."""

    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """The median of the ratios of the rounds: what disturbs a round disturbs both."""
        return statistics.median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    def least_disturbed(self, rate: bool) -> float:
        """Return the ratio of the best figure of each, where of a rate more is better."""
        best = max if rate else min
        return best(self.ours) / best(self.peer)


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    what: str
    peer: str
    measure: Callable[[], Figures]
    mark: float | None = None
    """What the ratio should not exceed, or of a rate not fall below."""
    rate: bool = False
    """Whether the figures are per second, and more is better."""
    count: bool = False
    """Whether the figures are counts, not seconds."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector from what exists already: each side pays for its own garbage only."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def benchmark(flush_interval: float = 3600) -> Iterator[Benchmark]:
    """Yield a benchmark on a new database; its background writer rests unless an interval is given."""
    with TemporaryDirectory() as folder:
        yield Benchmark(Path(folder) / "runs.db", flush_interval=flush_interval)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    with undisturbed():
        began = perf_counter()
        work()
        return perf_counter() - began


async def timed_await(work: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that a coroutine function takes."""
    with undisturbed():
        began = perf_counter()
        await work()
        return perf_counter() - began
