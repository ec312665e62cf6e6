"""Measure one stage by several metrics of each type, which differ in what they read or in what they are called."""

import asyncio
import os
import signal
import sys

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric, Metric


class Queue(Metric):
    """How many wait."""

    measure_type = "queue"
    unit = "items"

    def __init__(self, description: str, waiting: float) -> None:
        super().__init__(description, 0.02)
        self.waiting = waiting

    def read(self) -> float:
        """Return always the same."""
        return self.waiting


METRICS = [
    CPUMetric("own cpu", interval=0.05),
    CPUMetric("tree cpu", interval=0.05, children=True),
    MemoryMetric("memory", interval=0.05),
    MemoryMetric("memory", interval=0.05, children=True),
    Queue("in", 3),
    Queue("out", 70),
]


async def main(database: str, kill: bool, collector: str = "thread") -> None:
    async with Benchmark(database, collector=collector) as benchmark:
        with BenchmarkSupervisor(METRICS, benchmark, name="work"):
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "import time; x = bytearray(100 << 20); y = time.time() + 0.4\nwhile time.time() < y: pass",
            )
            await child.wait()
            if kill:
                await benchmark.flush()
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], "kill" in sys.argv, "process" if "process" in sys.argv else "thread"))
