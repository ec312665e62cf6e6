"""Benchmarks that come into other processes, and what these are told of runs that are over or whose process died."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import support
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.collector import address

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

TASKS = """
import asyncio, multiprocessing, sys, threading
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

def task(benchmark):
    with BenchmarkSupervisor([TimeMetric("time")], benchmark, name="task"):
        pass
    asyncio.run(benchmark.flush())
    return threading.active_count()

async def main(method, collector):
    benchmark = Benchmark("runs.db", mode="w", collector=collector)
    await benchmark.open()
    with multiprocessing.get_context(method).Pool(1) as pool:
        for _ in range(2):
            await benchmark.open()
            threads = pool.map(task, [benchmark] * 5, chunksize=1)
            # The part of the run before may still be on its way out.
            assert max(threads) <= 3, threads
            await benchmark.close()
        pool.close()
        pool.join()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("method", "collector"), [("fork", "process"), ("spawn", "thread")])
def test_the_tasks_of_a_worker_share_the_benchmark_that_each_gets(
    run_script: RunScript, rows: Rows, method: str, collector: str
) -> None:
    ended = run_script(TASKS, method, collector, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(rows("select * from run")) == 2
    # Of each run: the process that began it, and the worker.
    assert len(rows("select * from process")) == 4
    calls = rows("select count(*) as calls from span group by process_id")
    assert [row["calls"] for row in calls] == [5, 5]


def test_in_its_own_process_a_copy_is_the_benchmark_itself(benchmark: Benchmark) -> None:
    assert pickle.loads(pickle.dumps(benchmark)) is benchmark
    assert copy.deepcopy(benchmark) is benchmark


OVER = """
import asyncio, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", mode="w")

async def main():
    async with benchmark:
        BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)("abc")

asyncio.run(main())
"""


async def test_a_process_whose_ancestor_has_ended_its_run_begins_one_and_replaces_nothing(
    benchmark: Benchmark, database: Path, run_script: RunScript, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with benchmark:
        BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)("abc")
        left = os.environ[address.VARIABLE]
    monkeypatch.setenv(address.VARIABLE, left)
    ended = run_script(OVER)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["status"] for row in rows("select status from run")] == ["ok", "ok"]


GONE = """
import logging, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.collector import address

logging.basicConfig()
benchmark = Benchmark("runs.db")
made = address.new_address("00000000-0000-4000-8000-000000000000", benchmark._location.url)
benchmark._join(made)
import os
os.rmdir(os.path.dirname(made.socket))
BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)("abc")
began = time.monotonic()
assert benchmark._recorders[benchmark.uuid].opened.wait(5)
"""


def test_a_collector_that_has_gone_is_not_waited_for(run_script: RunScript) -> None:
    ended = run_script(GONE)
    assert ended.returncode == 0, ended.stderr
    assert "cannot be reached" in ended.stderr
    assert "did not wait any longer" not in ended.stderr


ORPHAN = """
import asyncio, os, signal, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1])
stage = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
stage("abc")
asyncio.run(benchmark.flush())
reading, writing = os.pipe()

async def alone():
    while benchmark.records:
        await asyncio.sleep(0.05)

if os.fork() == 0:
    stage("abc")
    asyncio.run(benchmark.flush())
    os.write(writing, b"x")
    try:
        asyncio.run(asyncio.wait_for(alone(), 10))
        print("noticed", flush=True)
    except TimeoutError:
        print("waits for ever", flush=True)
    os._exit(0)
os.read(reading, 1)
if os.fork() == 0:
    time.sleep(30)
    os._exit(0)
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_forked_process_learns_of_the_death_of_a_collector_that_another_one_outlives(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORPHAN)
    with subprocess.Popen(
        [sys.executable, str(script), "thread"], cwd=tmp_path, env=support.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert process.stdout.readline() == "noticed\n"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


MANY = """
import asyncio, gc, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, TimeMetric
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series

benchmark = Benchmark("runs.db")
stage = BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.01)], benchmark)(len)
asyncio.run(benchmark.open())
before = len(os.listdir("/proc/self/fd"))
for _ in range(10):
    if os.fork() == 0:
        stage("abc")
        sys.exit()
    os.wait()
asyncio.run(benchmark.flush())
for _ in range(100):
    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    left = kinds.count(Link), kinds.count(Series), max(0, len(os.listdir("/proc/self/fd")) - before)
    if left == (1, 0, 0):
        break
    asyncio.run(asyncio.sleep(0.05))
print(*left)
asyncio.run(benchmark.close())
"""


def test_nothing_stays_in_memory_of_processes_that_have_left(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(MANY)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "1 0 0\n"
    assert len(rows("select * from span where status = 'ok'")) == 10
    (run,) = rows("select json_extract(collector, '$.stored') as stored from run")
    assert run["stored"] == 10


STOPPED = """
import asyncio, os, signal, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1])
asyncio.run(benchmark.open())
reading, writing = os.pipe()
if (child := os.fork()) == 0:
    with BenchmarkSupervisor([TimeMetric("time")], benchmark, name="stage"):
        asyncio.run(benchmark.flush())
        os.write(writing, b"x")
        time.sleep(30)
    os._exit(0)
os.read(reading, 1)
os.kill(child, signal.SIGSTOP)
asyncio.run(benchmark.close())
os.kill(child, signal.SIGKILL)
os.wait()
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_the_calls_of_a_process_that_does_not_answer_do_not_run_on_after_the_run(
    run_script: RunScript, rows: Rows, collector: str
) -> None:
    ended = run_script(STOPPED, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["status"] for row in rows("select status from span")] == ["abandoned"]
    assert [row["status"] for row in rows("select status from run")] == ["ok"]
