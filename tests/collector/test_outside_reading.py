"""What is read of a process from outside: of its own alone, and with nothing left behind when it has gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import read
from umlaut_async.probes import ProcessGoneError, resident_memory
from umlaut_async.probes.outside import from_outside
from umlaut_async.probes.process import io_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets"),
]

ADOPTING = """
import asyncio, ctypes, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
benchmark = Benchmark("runs.db", collector="process")
metrics = [MemoryMetric("tree", 0.02, children=True), MemoryMetric("alone", 0.02)]

@BenchmarkSupervisor(metrics, benchmark)
def stage():
    time.sleep(0.3)

async def main():
    async with benchmark:
        stage()

asyncio.run(main())
"""


def test_a_process_that_adopts_the_collector_is_measured_without_it(run_script: RunScript, rows: Rows) -> None:
    """As the first process of a container does, which `docker run image python train.py` makes of the script."""
    ended = run_script(ADOPTING)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = {row["description"]: row["value"] for row in rows("select description, value from result")}
    assert found["tree"] == pytest.approx(found["alone"], rel=0.1)


ADOPTING_SEVERAL = """
import asyncio, ctypes, os, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric
from umlaut_async.probes import helpers

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
outer, inner = (Benchmark(f"{name}.db", collector=sys.argv[number]) for number, name in ((1, "outer"), (2, "inner")))
adopted = []

def metrics():
    return [
        MemoryMetric("tree memory", 0.02, children=True), MemoryMetric("memory", 0.02),
        CPUMetric("tree cpu", 0.02, children=True), CPUMetric("cpu", 0.02),
    ]

@BenchmarkSupervisor(metrics(), outer)
def whole():
    asyncio.run(inner.open())
    part()
    asyncio.run(inner.close())
    time.sleep(0.5)

@BenchmarkSupervisor(metrics(), inner)
def part():
    time.sleep(0.5)
    adopted.extend(helpers.adopted())

asyncio.run(outer.open())
whole()
asyncio.run(outer.close())
deadline = time.monotonic() + 10
while helpers.adopted() and time.monotonic() < deadline:
    time.sleep(0.01)
try:
    print(len(adopted), os.wait())
except ChildProcessError:
    print(len(adopted), "none is left")
"""


@pytest.mark.parametrize("collectors", ["process process", "process thread", "thread process"])
def test_of_several_runs_none_counts_the_collector_of_another(
    run_script: RunScript, tmp_path: Path, collectors: str
) -> None:
    """Such a collector takes half a second of CPU time and 80 MiB; what both trees hold is the process alone."""
    ended = run_script(ADOPTING_SEVERAL, *collectors.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{collectors.count('process')} none is left\n"
    for name in ("outer", "inner"):
        found = {row["description"]: row for row in read(tmp_path / f"{name}.db", "select * from result")}
        assert found["tree memory"]["value"] == pytest.approx(found["memory"]["value"], rel=0.1)
        [[lasted]] = (row.values() for row in read(tmp_path / f"{name}.db", "select duration / 1e9 from span"))
        extra = (found["tree cpu"]["value"] - found["cpu"]["value"]) / 100 * lasted
        assert extra < 0.1


FORKING = """
import asyncio, os, re, time
from umlaut_async import Benchmark, BenchmarkSupervisor, IOMetric, MemoryMetric

benchmark = Benchmark("runs.db")

@BenchmarkSupervisor([MemoryMetric("memory"), IOMetric("io")], benchmark)
def work():
    # Of calls that are hardly longer than a reading takes there is no rate.
    time.sleep(0.02)

work()
for _ in range(5):
    child = os.fork()
    if not child:
        work()
        asyncio.run(benchmark.close())
        os._exit(0)
    os.wait()
asyncio.run(benchmark.flush())
opened = []
for number in os.listdir("/proc/self/fd"):
    try:
        opened.append(os.readlink(f"/proc/self/fd/{number}"))
    except FileNotFoundError:
        pass  # It was closed meanwhile.
print([name for name in opened if re.match("/proc/[0-9]+/", name) and not name.startswith(f"/proc/{os.getpid()}/")])
asyncio.run(benchmark.close())
"""


def test_nothing_is_left_open_of_processes_that_have_gone(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(FORKING)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")
    results = rows("select process_id, type from result order by process_id, type")
    assert len({row["process_id"] for row in results}) == 6
    assert [row["type"] for row in results] == ["io", "memory"] * 6


@pytest.mark.parametrize("name", ["cpu", "tree-cpu"])
def test_cpu_time_from_outside_is_that_of_the_process(name: str) -> None:
    read = from_outside((name,), os.getpid()).read
    read()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    # Who looks from outside cannot tell the threads of this package from those of the user.
    before, value, after = time.process_time_ns(), read(), time.process_time_ns()
    own = value.own if name == "tree-cpu" else value
    assert before <= own <= after


def test_memory_and_io_from_outside_are_those_of_the_process() -> None:
    memory = bytearray(os.urandom(2**20)) * 50
    outside = from_outside(("memory",), os.getpid()).read()
    assert outside == pytest.approx(resident_memory().read(), abs=2)
    del memory
    read, from_outside_ = io_of("/proc/self/io"), from_outside(("io",), os.getpid()).read
    # Who looks from outside cannot tell what this package has read from what the process has read itself.
    before, moved, after = read(), from_outside_(), read()
    assert all(low <= value <= high for low, value, high in zip(before, moved, after, strict=True))


@pytest.mark.parametrize("name", ["cpu", "memory", "io"])
def test_a_process_that_has_ended_is_gone_and_its_pid_may_be_that_of_another(name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        read = from_outside((name,), child.pid).read
        living = read()
    with pytest.raises(ProcessGoneError):
        read()
    # Whoever is read next by this pid, nothing of the one before is kept.
    again = from_outside((name,), os.getpid()).read()
    assert type(again) is type(living)


def test_memory_of_a_process_that_nobody_has_waited_for_is_not_0() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is not None
        with pytest.raises(ProcessGoneError):
            from_outside(("memory",), child.pid).read()
