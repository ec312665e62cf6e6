"""CPU, memory and I/O of stages whose children work: processes that burn, share memory and write."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import best_of_three, check_message, read, run_script_in
from umlaut_async import ArgumentError, ArgumentTypeError, CPUMetric, IOMetric, MemoryMetric

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls, RunScript

pytestmark = pytest.mark.alone

linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the process file system of Linux")

METRICS: tuple[Any, ...] = (CPUMetric, MemoryMetric, IOMetric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("wrong", [1, 0, "yes", None, [True]])
def test_children_of_the_wrong_type_are_refused(metric: Any, wrong: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="children must be True or False") as caught:
        metric("m", children=wrong)
    check_message(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("metric", METRICS)
def test_children_are_named_and_the_other_arguments_are_checked_as_ever(metric: Any) -> None:
    with pytest.raises(TypeError):
        metric("m", 1, True)
    with pytest.raises(ArgumentError, match="interval"):
        metric("m", 0, children=True)
    assert (metric("m").children, metric("m", 0.5, children=True).children) == (False, True)


@pytest.mark.parametrize("metric", METRICS)
def test_a_tree_is_another_source_than_the_process(metric: Any) -> None:
    alone, tree = metric("m").probe(), metric("m", children=True).probe()
    assert alone.key != tree.key
    assert tree.key == metric("another", 0.1, children=True).probe().key
    assert tree.source == "process-tree"


CPU = """
import asyncio, json, resource, subprocess, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric

BURN = '''
import sys, time
end = time.process_time() + 0.6
while time.process_time() < end:
    pass
print(time.process_time(), flush=True)
sys.stdin.readline()
'''

def own():
    return time.process_time()

bm = Benchmark("runs.db")

@BenchmarkSupervisor([CPUMetric("tree", 0.1, children=True)], bm)
async def tree(reaped):
    # What happens near the edges may fall to either side of them.
    await asyncio.sleep(0.3)
    before, used = own(), 0
    children = [
        subprocess.Popen([sys.executable, "-S", "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    used = sum(float(child.stdout.readline()) for child in children)
    if reaped:
        for child in children:
            child.communicate()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = used.ru_utime + used.ru_stime
    used += own() - before
    await asyncio.sleep(0.3)
    return used, children

async def main():
    async with bm:
        used, children = await tree(sys.argv[1] == "reaped")
    for child in children:
        child.communicate()
    print(used)

asyncio.run(main())
"""


@linux
@pytest.mark.parametrize("end", ["reaped", "living"])
def test_the_cpu_time_of_two_busy_children_is_counted(end: str, tmp_path: Path) -> None:
    tries = iter(range(3))

    def off() -> float:
        folder = tmp_path / str(next(tries))
        folder.mkdir()
        done = run_script_in(folder, CPU, end, timeout=40)
        assert (done.returncode, done.stderr) == (0, "")
        [result] = read(folder / "runs.db", "select * from result where type = 'cpu'")
        [call] = read(folder / "runs.db", "select * from span")
        assert (result["unit"], result["provenance"]) == ("%", "measured")
        assert result["data"]["n"] >= 3
        assert [row["source"] for row in read(folder / "runs.db", "select source from series")] == ["process-tree"]
        return abs(float(result["value"]) / 100 * float(call["duration"]) / 1e9 / float(done.stdout) - 1)

    best_of_three(0.05, off)


MEMORY = """
import asyncio, os, signal, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric

bm = Benchmark("runs.db")
alone, tree = MemoryMetric("alone", 0.05), MemoryMetric("tree", 0.05, children=True)
shared = bytearray(b"x") * (100 * 2**20)

@BenchmarkSupervisor([alone], bm)
def only_this(seconds):
    time.sleep(seconds)

@BenchmarkSupervisor([tree], bm)
def whole_tree(seconds):
    time.sleep(seconds)

@BenchmarkSupervisor([tree], bm, name="before")
def before(seconds):
    time.sleep(seconds)

def proportional(*pids):
    rollups = [open(f"/proc/{pid}/smaps_rollup").read().split() for pid in pids]
    total, largest = (
        combine(int(fields[fields.index(name) + 1]) for fields in rollups)
        for combine, name in ((sum, "Pss:"), (max, "Rss:"))
    )
    print(max(total, largest) / 1024)

async def main():
    async with bm:
        before(0.3)
        proportional("self")
        await bm.flush()  # Its last reading is taken, before there is a child.
        readable, writable = os.pipe()
        child = os.fork()
        if not child:
            own = bytearray(b"y") * (60 * 2**20)
            os.write(writable, b"allocated")
            signal.pause()
            os._exit(0)
        os.read(readable, 9)
        try:
            only_this(0.3)
            whole_tree(0.5)
            proportional("self", child)
            await bm.flush()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

asyncio.run(main())
"""


@linux
def test_the_memory_of_a_forked_child_is_counted_and_what_it_shares_only_once(
    run_script: RunScript, ended_calls: EndedCalls
) -> None:
    done = run_script(MEMORY)
    assert done.returncode == 0, done.stderr
    value = {call["name"]: call["results"]["memory"]["value"] for call in ended_calls()}
    before, forked = map(float, done.stdout.split())
    assert value["only_this"] > 100
    assert abs(value["before"] - before) < 20
    # All of its own 60 MiB, and not the 100 MiB of its parent once more.
    assert 40 < forked - before < 90
    assert abs(value["whole_tree"] - forked) < 20


IO = """
import asyncio, subprocess, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, IOMetric

bm = Benchmark("runs.db")
WRITE = '''
import sys
with open("written", "wb") as file:
    file.write(bytes(8 * 2**20))
print(flush=True)
sys.stdin.readline()
'''

@BenchmarkSupervisor([IOMetric("alone", 0.1)], bm)
async def only_this():
    await work()

@BenchmarkSupervisor([IOMetric("tree", 0.1, children=True)], bm)
async def whole_tree():
    await work()

async def work():
    await asyncio.sleep(0.3)
    child = subprocess.Popen([sys.executable, "-S", "-c", WRITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    children.append(child)
    await asyncio.sleep(0.3)

children = []

async def main():
    async with bm:
        await only_this()
        children.pop().communicate()
        await whole_tree()
    children.pop().communicate()

asyncio.run(main())
"""


@linux
def test_what_a_living_child_writes_is_counted(run_script: RunScript, ended_calls: EndedCalls) -> None:
    done = run_script(IO)
    assert (done.returncode, done.stderr) == (0, "")
    alone, tree = (call["results"]["io"] for call in ended_calls())
    assert alone["data"]["wchar"] < 8 * 2**20 <= tree["data"]["wchar"] < 8.5 * 2**20
    assert tree["unit"] == "MiB/s"
    assert tree["data"]["n"] >= 3


GIT = """#!{python} -SE
import os, sys, time
if sys.argv[-1] == "HEAD":
    block = bytearray(b"x") * (150 * 2**20)
    while time.process_time() < 0.5:
        pass
    with open(os.devnull, "wb", 0) as file:
        file.write(bytes(8 * 2**20))
    print("0123456789" * 4, flush=True)
    time.sleep(0.1)
else:
    open({folder!r} + "/asked", "w").close()
"""

WHILE_GIT_RUNS = """
import asyncio, json, os, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, IOMetric, MemoryMetric

bm = Benchmark("runs.db")
metrics = [metric("tree", 0.01, children=True) for metric in (CPUMetric, MemoryMetric, IOMetric)]

async def look():
    before = time.process_time()
    for _ in range(1000):
        await asyncio.sleep(0.02)
        if os.path.exists("asked"):
            break
    await asyncio.sleep(0.3)
    return time.process_time() - before

stage = BenchmarkSupervisor(metrics, bm, name="stage")(look)
alone = BenchmarkSupervisor([IOMetric("alone", 0.01)], bm, name="alone")(look)

async def main():
    async with bm:
        cpu, _ = await asyncio.gather(stage(), alone())
    print(json.dumps([cpu, os.path.exists("asked")]))

asyncio.run(main())
"""


@linux
def test_the_git_that_is_asked_for_the_state_of_the_source_is_not_counted(
    run_script: RunScript, ended_calls: EndedCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(GIT.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    done = run_script(WHILE_GIT_RUNS)
    assert (done.returncode, done.stderr) == (0, "")
    own, asked = json.loads(done.stdout)
    assert asked, "the machine is too slow for this test"
    [call], [alone] = ended_calls("stage"), ended_calls("alone")
    memory, cpu, io = (call["results"][kind] for kind in ("memory", "cpu", "io"))
    assert memory["data"]["n"] > 10
    assert memory["value"] < 130
    assert cpu["value"] / 100 * call["duration"] / 1e9 < own + 0.25
    assert io["data"]["wchar"] < 6 * 2**20
    assert alone["results"]["io"]["data"]["wchar"] < 6 * 2**20
