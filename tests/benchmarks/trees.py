"""Process trees: what finding the children costs beside psutil, and what sampling a tree costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.harness import ROUNDS, Figures, Row
from umlaut_async.probes.tree import tree_cpu, tree_memory
from umlaut_async.probes.tree_sources import source_for
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILDREN = 8
SECONDS = 5
REPEATS = 50


@contextmanager
def children() -> Iterator[None]:
    """Have children that sleep; they are ended by their pid."""
    program = "import asyncio, json, time; print(flush=True); time.sleep(600)"
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(CHILDREN)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def measure_finding() -> Figures:
    """Find the children from nothing, and their identity with them, as psutil does."""
    source = source_for("/proc")
    own = psutil.Process()
    with children():
        rounds = [
            (
                cpu_seconds(lambda: len(Family(os.getpid(), source).read(lambda _: 0).living)),
                cpu_seconds(lambda: len(own.children(recursive=True))),
            )
            for _ in range(ROUNDS)
        ]
    return Figures([ours for ours, _ in rounds], [peer for _, peer in rounds])


def measure_sampling() -> Figures:
    """Sample CPU and memory at 10 Hz; the figures are CPU seconds beside the seconds that went by."""
    cpu, memory = tree_cpu().read, tree_memory().read
    ours, wall = [], []
    with children():
        for _ in range(3):
            began, used = time.monotonic(), thread_time()
            for tick in range(1, SECONDS * 10 + 1):
                time.sleep(max(0.0, began + tick / 10 - time.monotonic()))
                cpu()
                memory()
            ours.append(thread_time() - used)
            wall.append(time.monotonic() - began)
    return Figures(ours, wall)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a function takes."""
    work()
    began = thread_time()
    for _ in range(REPEATS):
        work()
    return (thread_time() - began) / REPEATS


ROWS = [
    Row(
        "tree-finding",
        f"finding {CHILDREN} children and who they are",
        "psutil children(recursive=True)",
        measure_finding,
        0.25,
    ),
    Row(
        "tree-sampling",
        f"CPU time of a thread that samples CPU and memory of {CHILDREN} children at 10 Hz",
        "one core",
        measure_sampling,
        0.015,
    ),
]
