"""The memory of a stage as a share of what it may use; `python -m` runs one in a mount namespace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import calls_of
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric
from umlaut_async.probes import cgroup

MIB = 2**20
ROOT_OF_V2 = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
MEMORY_OF_V1 = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
FIXTURES: dict[str, tuple[str, str, dict[str, object]]] = {
    # What this process belongs to, what is mounted, and the files of the groups.
    "v2": ("0::/app\n", ROOT_OF_V2, {"app/memory.max": 512 * MIB}),
    "nested": ("0::/app/worker\n", ROOT_OF_V2, {"app/memory.max": 512 * MIB, "app/worker/memory.max": 768 * MIB}),
    "v1": ("4:memory:/app\n", MEMORY_OF_V1, {"memory/app/memory.limit_in_bytes": 512 * MIB}),
    "unlimited": ("0::/app\n", ROOT_OF_V2, {"app/memory.max": "max"}),
    "more than the machine has": ("0::/app\n", ROOT_OF_V2, {"app/memory.max": 2**59}),
    "none": ("", "", {}),
}


def let_this_process_be_in(belongs: str, mounted: str, files: dict[str, object]) -> None:
    """Mount what a process in such groups sees over what it saw."""
    folder = Path(tempfile.mkdtemp())
    for name, text in (("cgroup", belongs), ("mountinfo", mounted)):
        (folder / name).write_text(text)
        subprocess.run(["mount", "--bind", folder / name, f"/proc/{os.getpid()}/{name}"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"], check=True)
    for name, content in files.items():
        file = Path("/sys/fs/cgroup", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")


def check(fixture: str) -> None:
    """Compare the share of a stage's memory with its limit."""
    let_this_process_be_in(*FIXTURES[fixture])
    usable = 512 * MIB if fixture in ("v2", "nested", "v1") else cgroup.host_memory()
    assert usable is not None
    database = Path(tempfile.mkdtemp()) / "runs.db"

    async def main() -> None:
        async with Benchmark(database) as benchmark:
            for children in (False, True):
                stage = BenchmarkSupervisor([MemoryMetric("memory", children=children)], benchmark)(asyncio.sleep)
                await stage(0.1)  # Long enough to be read.

    asyncio.run(main())
    calls = calls_of(database)
    assert len(calls) == 2
    for call in calls:
        memory = call["results"]["memory"]
        assert memory["value"] > 5
        assert memory["data"]["share"] == pytest.approx(100 * memory["value"] * MIB / usable)


if __name__ == "__main__":
    check(sys.argv[1])
