"""The collector process is killed: the stage goes on, one line in the log says so, and the run says what is missing."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from umlaut_async.store import queries
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

SCRIPT = """
import asyncio, logging, os, signal, sqlite3, sys, time
from contextlib import closing
import psutil
from umlaut_async import Benchmark, BenchmarkSupervisor, StoreError, TimeMetric

logging.basicConfig(format="%(levelname)s %(message)s")
benchmark = Benchmark("runs.db", collector="process", flush_interval=0.2)
supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)

def collectors():
    mine = str(os.getpid())
    for process in psutil.process_iter(["cmdline"]):
        if "umlaut_async.collector.host" in " ".join(process.info["cmdline"] or []):
            yield process

@supervised
def work(number):
    return 2 * number

@supervised
def stage():
    assert [work(number) for number in range(20)] == list(range(0, 40, 2))
    for collector in collectors():
        if collector.environ().get("MARK") == os.environ["MARK"]:
            collector.kill()
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
        with closing(sqlite3.connect("runs.db")) as connection:
            while not connection.execute("select 1 from event where kind = 'drop'").fetchall():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["closed", "exit"])
def test_the_stage_goes_on_and_the_run_says_what_is_missing(
    run_script: RunScript, rows: Rows, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("MARK", str(os.getpid()))
    ended = run_script(SCRIPT, end, timeout=60)
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ERROR the collector has ended before the run: up to ")
    (run,) = rows("select * from run")
    (process,) = rows("select * from process")
    assert (run["status"], process["ending"]) == ("ok", end)
    assert run["ended"] is not None
    (event,) = rows("select * from event where kind = 'drop'")
    account = json.loads(run["collector"])
    (stored,) = rows("select count(*) as n from span where status = 'ok'")
    missing = event["data"]
    assert account["stored"] == stored["n"] >= 1
    assert account["dropped"] == {"collector ended": missing["count"], "not measured": missing["unmeasured"]}
    assert account["recorded"] == account["stored"] + missing["count"] + missing["unmeasured"]
    # The nine calls and the value at the end, and one that came before.
    assert missing["unmeasured"] >= 11
    assert rows("select * from span where status = 'running'") == []
    if end == "closed":
        told = [account["recorded"], account["stored"], missing["unmeasured"], missing["count"]]
        assert ended.stdout.split() == [str(number) for number in told]
    assert [*map(str, rows("pragma integrity_check"))] == ["{'integrity_check': 'ok'}"]


def test_killed_as_well_the_run_is_lost_and_says_both(
    run_script: RunScript, rows: Rows, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", str(os.getpid()))
    ended = run_script(SCRIPT, "killed", timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert rows("select status from run") == [{"status": "running"}]
    with reading(database) as session:
        (run,) = queries.runs(session)
        kinds = [event.kind for event in queries.events(session, run.uuid)]
    assert run.status == "lost"
    assert sorted(kinds) == ["drop", "lost"]
