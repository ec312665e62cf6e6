"""The workers of multiprocessing, which call no exit functions, and which a pool kills: what they record is stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

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
def test_a_worker_with_a_run_of_its_own_stores_it(
    run_script: RunScript, rows: Rows, method: str, collector: str
) -> None:
    ended = run_script(OWN, method, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 100}]
    assert rows("select value from result where type = 'mine'") == [{"value": 1}]
    assert rows("select status from run") == [{"status": "ok"}]
    assert rows("select ending from process") == [{"ending": "exit"}]
