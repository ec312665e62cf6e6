"""A process that wants to take part in a run whose database cannot be written, at present or at all."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Rows, RunScript

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets"),
    pytest.mark.parametrize("collector", ["thread", "process"]),
]

REFUSED = """
import asyncio, os, sqlite3, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1], flush_interval=0.1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

asyncio.run(benchmark.open())
stage()
database = sqlite3.connect("runs.db", isolation_level=None)
database.execute("create trigger no before insert on process begin select raise(abort, 'not now'); end")
refused, told = os.pipe()
if (child := os.fork()) == 0:
    for _ in range(50):
        stage()
    os.write(told, b"x")
    if sys.argv[2] == "at present":
        asyncio.run(benchmark.flush())
    time.sleep(0.3)
    os._exit(0)
os.read(refused, 1)
time.sleep(0.3)
if sys.argv[2] == "at present":
    database.execute("drop trigger no")
assert os.waitpid(child, 0)[1] == 0
asyncio.run(benchmark.close())
"""


def test_a_process_is_let_in_once_the_database_can_be_written(
    run_script: RunScript, rows: Rows, collector: str
) -> None:
    ended = run_script(REFUSED, collector, "at present")
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert "cannot take part in the run as yet" in line
    assert "not now" in line
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 51}]
    assert len(rows("select * from process")) == 2


def test_what_cannot_be_let_in_is_counted_and_told_of(run_script: RunScript, rows: Rows, collector: str) -> None:
    ended = run_script(REFUSED, collector, "for good")
    assert ended.returncode == 0, ended.stderr
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 1}]
    (event,) = rows("select message from event where kind = 'excluded'")
    assert "could not take part in the run" in event["message"]
    assert "not now" in event["message"]
    (run,) = rows("select status, collector from run")
    account = json.loads(run["collector"])
    assert (account["recorded"], account["stored"], account["dropped"]) == (51, 1, {"excluded": 50})


WITHOUT = """
import asyncio, logging, multiprocessing, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, StoreError, TimeMetric

benchmark = Benchmark("postgresql+asyncpg://nobody@127.0.0.1:1/runs", collector=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

def work():
    for _ in range(10):
        stage()
    try:
        asyncio.run(benchmark.flush())
    except StoreError as error:
        print("cannot be reached" in str(error), benchmark.accounting.dropped, flush=True)

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(benchmark.open())
    except StoreError:
        pass
    stage()
    logging.disable(logging.NOTSET)
    for _ in range(2):
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""


def test_a_process_of_a_run_without_a_database_is_told_at_once(run_script: RunScript, collector: str) -> None:
    ended = run_script(WITHOUT, collector, timeout=30)
    assert (ended.returncode, ended.stdout) == (0, "True {'no database': 10}\n" * 2), ended.stderr
    assert ended.stderr == ""
