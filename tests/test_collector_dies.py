"""The collector process is killed: the stage goes on, one line in the log says so, and the run says what is missing."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import run_elsewhere
from umlaut_async import Benchmark
from umlaut_async.store import queries
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Anywhere, Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

SCRIPT = """
import asyncio, logging, os, signal, sys, time
from contextlib import suppress
import psutil
from umlaut_async import Benchmark, BenchmarkSupervisor, StoreError, TimeMetric
from umlaut_async.store import queries
from umlaut_async.store.reading import reading

logging.basicConfig(format="%(levelname)s %(message)s")
benchmark = Benchmark(sys.argv[2], collector="process", flush_interval=0.2)
supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)

def kill_the_collector():
    for process in psutil.process_iter(["cmdline"]):
        if "umlaut_async.collector.host" in " ".join(process.info["cmdline"] or []):
            with suppress(psutil.NoSuchProcess):
                if process.environ().get("MARK") == os.environ["MARK"]:
                    process.kill()

@supervised
def work(number):
    return 2 * number

@supervised
def stage():
    assert [work(number) for number in range(20)] == list(range(0, 40, 2))
    kill_the_collector()
    deadline = time.monotonic() + 20
    while work(1) == 2 and "not measured" not in benchmark.accounting.dropped:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for number in range(9):
        assert work(number) == 2 * number
    benchmark.log("value", "mine", 1)
    return "its own result"

async def main():
    await benchmark.open()
    work(0)
    await benchmark.flush()
    assert stage() == "its own result"
    deadline = time.monotonic() + 20
    for request in (benchmark.flush, benchmark.close) if sys.argv[1] == "closed" else ():
        try:
            await request()
        except StoreError as error:
            assert "ended before it" in str(error), error
        else:
            raise AssertionError(request)
    account = benchmark.accounting
    assert account.recorded == account.stored + sum(account.dropped.values()) + account.in_flight, account
    if sys.argv[1] == "closed":
        assert account.in_flight == 0, account
        print(account.recorded, account.stored, account.dropped["not measured"], account.dropped["collector ended"])
    if sys.argv[1] == "killed":
        with reading(sys.argv[2]) as session:
            while not any(event.kind == "drop" for event in queries.events(session, benchmark.uuid)):
                assert time.monotonic() < deadline
                session.rollback()
                time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("anywhere", "end"), [("sqlite", "closed"), ("sqlite", "exit"), ("postgresql", "closed")], indirect=["anywhere"]
)
def test_the_stage_goes_on_and_the_run_says_what_is_missing(
    run_script: RunScript, anywhere: Anywhere, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("MARK", str(os.getpid()))
    ended = run_script(SCRIPT, end, anywhere.db_file, timeout=60)
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ERROR the collector has ended before the run: up to ")
    (run,) = anywhere.read("select status, ended, collector as data from run")
    (process,) = anywhere.read("select * from process")
    assert (run["status"], process["ending"]) == ("ok", end)
    assert run["ended"] is not None
    (event,) = anywhere.read("select * from event where kind = 'drop'")
    account = run["data"]
    (stored,) = anywhere.read("select count(*) as n from span where status = 'ok'")
    missing = event["data"]
    assert account["stored"] == stored["n"] >= 1
    assert account["dropped"] == {"collector ended": missing["count"], "not measured": missing["unmeasured"]}
    assert account["recorded"] == account["stored"] + missing["count"] + missing["unmeasured"]
    # The nine calls and the value at the end, and one that came before.
    assert missing["unmeasured"] >= 11
    assert anywhere.read("select * from span where status = 'running'") == []
    if end == "closed":
        told = [account["recorded"], account["stored"], missing["unmeasured"], missing["count"]]
        assert ended.stdout.split() == [str(number) for number in told]
    if anywhere.is_file:
        assert [*map(str, anywhere.read("pragma integrity_check"))] == ["{'integrity_check': 'ok'}"]


BROKEN = """
import sys
if any("umlaut_async.collector.host" in word for word in sys.orig_argv):
    from umlaut_async.collector.collector import Collector

    async def fail(self):
        raise RuntimeError("as a defect does")

    Collector._round = fail
"""

DEFECT = """
import asyncio, logging
from umlaut_async import Benchmark, StoreError

logging.basicConfig(format="%(levelname)s %(message)s")
benchmark = Benchmark("runs.db", collector="process", flush_interval=0.1)

async def main():
    for request in (benchmark.open, benchmark.close):
        try:
            await request()
        except StoreError:
            pass

asyncio.run(main())
"""


def test_a_collector_that_fails_says_why(
    run_script: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    ended = run_script(DEFECT)
    assert ended.returncode == 0
    assert "ERROR the collector failed, which is a defect of umlaut_async" in ended.stderr
    assert "RuntimeError: as a defect does" in ended.stderr
    assert "ERROR the collector has ended before the run" in ended.stderr


def test_what_another_rank_has_told_of_its_collector_is_counted_once(
    run_script: RunScript, database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", str(os.getpid()))
    monkeypatch.setenv("UMLAUT_RUN", "job")

    async def work() -> None:
        async with Benchmark(database) as benchmark:
            benchmark.log("value", "mine", 1)

    run_elsewhere(work)
    (before,) = rows("select collector as data from run")
    ended = run_script(SCRIPT, "closed", database, timeout=60)
    assert ended.returncode == 0, ended.stderr
    (after,) = rows("select status, collector as data from run")
    assert after["status"] == "ok"
    assert after["data"]["cpu_time"] == before["data"]["cpu_time"] > 0
    told = [int(number) for number in ended.stdout.split()]
    assert [after["data"][name] - before["data"][name] for name in ("recorded", "stored")] == told[:2]


def test_killed_as_well_the_run_is_lost_and_says_both(
    run_script: RunScript, anywhere: Anywhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", str(os.getpid()))
    ended = run_script(SCRIPT, "killed", anywhere.db_file, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert anywhere.read("select status from run") == [{"status": "running"}]
    with reading(anywhere.db_file) as session:
        (run,) = queries.runs(session)
        kinds = [event.kind for event in queries.events(session, run.uuid)]
    assert run.status == "lost"
    assert sorted(kinds) == ["drop", "lost"]
