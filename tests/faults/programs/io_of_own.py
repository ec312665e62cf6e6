"""Stages that write nothing, that write and delete before it is on disk, and that a child of them writes.

Its arguments are the path of the database and the collector. Prints what was written of what was deleted, in bytes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from umlaut_async import Benchmark, BenchmarkSupervisor, IOMetric

SIZE = 8 << 20
bm = Benchmark(sys.argv[1], collector=sys.argv[2], flush_interval=0.05)
metrics = [IOMetric("own", interval=0.02), IOMetric("tree", interval=0.02, children=True)]


def write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(bytes(SIZE))


def on_its_way() -> int:
    """Return how many bytes this process has brought on their way to the disk, as far as they were not taken back."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


@BenchmarkSupervisor(metrics, bm)
def nothing() -> None:
    time.sleep(0.3)


@BenchmarkSupervisor(metrics, bm)
def kept() -> None:
    write("kept")
    time.sleep(0.2)


@BenchmarkSupervisor(metrics, bm)
def deleted() -> None:
    before = on_its_way()
    write("deleted")
    os.unlink("deleted")
    print(on_its_way() - before)
    time.sleep(0.2)


@BenchmarkSupervisor(metrics, bm)
def by_child() -> None:
    subprocess.run(["dd", "if=/dev/zero", "of=by_child", f"bs={SIZE}", "count=1", "status=none"], check=True)
    time.sleep(0.2)


async def main() -> None:
    async with bm:
        for stage in (nothing, kept, deleted, by_child):
            stage()
            os.sync()
            await asyncio.sleep(0.1)


asyncio.run(main())
