"""Stages that sleep, the first right after the benchmark was made, in a program that nothing else has begun.

Its arguments are the path of the database and the collector. Prints what threads and files there are before the first.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, IOMetric, MemoryMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor(
    [CPUMetric("cpu", interval=0.05), MemoryMetric("memory", interval=0.05), IOMetric("io", interval=0.05)], bm
)
def epoch() -> None:
    time.sleep(0.3)


print(threading.active_count(), os.path.exists(sys.argv[1]))
for _ in range(4):
    epoch()
