"""Forks by the thousand, whatever the collector is doing: no hang, nothing twice, nothing broken."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

FORKS = """
import asyncio, gc, io, logging, os, sys, threading, time
from functools import partial
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric
from umlaut_async.probes import helpers, nvml, rapl

collector, state, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
benchmark = Benchmark("runs.db", mode="w", collector=collector)

@BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory", interval=0.005)], benchmark)
def stage():
    return os.getpid()

stop = threading.Event()

def flush_on():
    while not stop.is_set():
        stage()
        asyncio.run(benchmark.flush())

def locks():
    # All of ours, as this process has them, and that of a handler of the log, which a thread may hold as well.
    return [helpers._state.changing, nvml.shared()._lock, rapl._reader()._lock, handler.lock]

def hold_on(which):
    while not stop.is_set():
        with locks()[which]:
            stage()
            time.sleep(0.005)

handler = logging.StreamHandler(io.StringIO())
logging.getLogger("umlaut_async").addHandler(handler)
asyncio.run(benchmark.open())
threads = {"idle": [], "flush": [flush_on], "lock": [partial(hold_on, which) for which in range(len(locks()))]}[state]
threads = [threading.Thread(target=target) for target in threads]
for thread in threads:
    thread.start()
for number in range(count):
    child = os.fork()
    if child == 0:
        gc.collect()
        assert all(lock.acquire(timeout=10) for lock in locks())
        for lock in locks():
            lock.release()
        if number % 10 == 0:
            assert stage() == os.getpid()
            asyncio.run(benchmark.flush())
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
for thread in threads:
    thread.join()
stage()
asyncio.run(benchmark.close())
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("state", ["idle", "flush", "lock"])
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_forks_leave_the_run_whole(run_script: RunScript, rows: Rows, soak: bool, collector: str, state: str) -> None:
    count = 2000 if soak else 60
    ended = run_script(FORKS, collector, state, count, timeout=800 if soak else 50)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["integrity_check"] for row in rows("pragma integrity_check")] == ["ok"]
    (run,) = rows("select status from run")
    assert run["status"] == "ok"
    (doubled,) = rows("select count(*) - count(distinct id) as calls from span")
    assert doubled["calls"] == 0
    parent, *children = rows("select id, ending from process order by id")
    assert parent["ending"] == "closed"
    # Each tenth child records one call, waits until it is on disk, and ends without a word.
    assert len(children) == count // 10
    (calls,) = rows("select count(*) as count from span where process_id != ?", parent["id"])
    assert calls["count"] == count // 10
    assert {child["ending"] for child in children} <= {
        "exited with code 7 without closing", "ended without closing, cause unknown", "the run ended",
    }  # fmt: skip
