"""The workers of multiprocessing, which call no exit functions, and which a pool kills: what they record is stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests import support

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets"),
]

OWN = """
import asyncio, multiprocessing, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[2])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

def work():
    asyncio.run(benchmark.open())
    for _ in range(100):
        stage()
    benchmark.log("value", "mine", 1)

if __name__ == "__main__":
    worker = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_that_alone_records_has_the_run_of_its_parent(
    run_script: RunScript, rows: Rows, method: str, collector: str
) -> None:
    ended = run_script(OWN, method, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 100}]
    assert rows("select value from result where type = 'mine'") == [{"value": 1}]
    assert rows("select status from run") == [{"status": "ok"}]
    assert rows("select ending from process") == 2 * [{"ending": "exit"}]


POOL = """
import asyncio, multiprocessing, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[2])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage(number):
    time.sleep(0.005)
    return number

if __name__ == "__main__":
    asyncio.run(benchmark.open())
    with multiprocessing.get_context(sys.argv[1]).Pool(4) as pool:
        assert pool.map(stage, range(200)) == [*range(200)]
    # The end of the block has killed the workers.
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize(("method", "collector"), [("fork", "process"), ("spawn", "thread")])
def test_of_what_a_pool_has_done_only_the_last_moment_can_be_missing(
    run_script: RunScript, rows: Rows, database: Path, method: str, collector: str
) -> None:
    def missing() -> float:
        database.unlink(missing_ok=True)
        ended = run_script(POOL, method, collector)
        assert (ended.returncode, ended.stderr) == (0, "")
        (calls,) = rows("select count(*) as n from span where status = 'ok'")
        assert calls["n"] <= 200
        return float(200 - calls["n"])

    # One call of each worker may have ended just now.
    support.best_of_three(4, missing)


KILLED = """
import asyncio, os, signal, sqlite3, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1], flush_interval=0.1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    time.sleep(0.001)

def work():
    if sys.argv[2] == "known":
        asyncio.run(benchmark.open())
    for _ in range(5):
        stage()
        time.sleep(0.02)
    time.sleep(float(sys.argv[3]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(benchmark.open())
locked = sqlite3.connect("runs.db", isolation_level=None)
if sys.argv[2] == "not let in":
    locked.execute("begin immediate")
children = []
for _ in range(int(sys.argv[4])):
    if (child := os.fork()) == 0:
        work()
    children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
locked.close()
asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_what_another_process_records_is_on_its_way_at_once(
    run_script: RunScript, rows: Rows, database: Path, collector: str
) -> None:
    def missing() -> float:
        database.unlink(missing_ok=True)
        ended = run_script(KILLED, collector, "known", 0.04, 8)
        assert ended.returncode == 0, ended.stderr
        (calls,) = rows("select count(*) as n from span where status = 'ok'")
        return float(8 * 5 - calls["n"])

    support.best_of_three(0, missing)


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_what_a_process_records_before_it_is_let_in_outlives_it(
    run_script: RunScript, rows: Rows, collector: str
) -> None:
    ended = run_script(KILLED, collector, "not let in", 0.7, 1)
    assert ended.returncode == 0, ended.stderr
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 5}]
    assert len(rows("select * from process")) == 2
