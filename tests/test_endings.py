"""However a process ends: it does not hang, and loses no more than the flush interval allows."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests import support
from umlaut_async.store import queries
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

SCRIPT = """
import asyncio, atexit, os, signal, sqlite3, sys, threading, time
from contextlib import closing
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

ending = sys.argv[2]
benchmark = Benchmark("runs.db", collector=sys.argv[1], flush_interval=0.1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage(name):
    benchmark.log(name, "mine", 1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def last():
    stage("late")
    if ending == "exception":
        raise RuntimeError("on purpose")
    elif ending == "sys.exit":
        sys.exit(3)
    elif ending == "os._exit":
        os._exit(4)
    elif ending == "execv":
        os.execv(sys.executable, [sys.executable, "-c", "print('another program')"])
    elif ending in ("SIGTERM", "SIGHUP", "SIGINT"):
        os.kill(os.getpid(), getattr(signal, ending))
        time.sleep(30)

def forever():
    while True:
        stage("again")
        time.sleep(0.01)

def for_a_while():
    time.sleep(1.7)  # longer than what the end of the interpreter waits where nothing gets on
    stage("after the main thread")

asyncio.run(benchmark.open())
stage("early")
asyncio.run(benchmark.flush())
stage("in time")
deadline = time.monotonic() + 20
with closing(sqlite3.connect("runs.db")) as connection:
    while not connection.execute("select 1 from result where description = 'in time'").fetchall():
        assert time.monotonic() < deadline
        time.sleep(0.01)
if ending == "sys.exit in a thread":
    thread = threading.Thread(target=lambda: (stage("in the thread"), sys.exit(5)))
    thread.start()
    thread.join()
elif ending == "daemon thread":
    threading.Thread(target=forever, daemon=True).start()
elif ending == "other thread":
    threading.Thread(target=for_a_while).start()
elif ending == "exit handler":
    atexit.register(lambda: stage("in the exit handler"))
last()
"""

WHOLE = {
    "return": (0, "ok", []),
    "exception": (1, "error", []),
    "sys.exit": (3, "ok", []),
    "sys.exit in a thread": (0, "ok", ["in the thread"]),
    "SIGINT": (-signal.SIGINT, "error", []),
    "daemon thread": (0, "ok", []),
    "other thread": (0, "ok", ["after the main thread"]),
    "exit handler": (0, "ok", ["in the exit handler"]),
}
"""The endings after which the interpreter ends in order, with exit code, status and what was recorded late."""
CUT = {
    "os._exit": (4, "exited with code 4 without closing"),
    "execv": (0, "went on without its collector: it closed the connection, or became another program by exec"),
    "SIGTERM": (-signal.SIGTERM, "killed by SIGTERM"),
    "SIGHUP": (-signal.SIGHUP, "killed by SIGHUP"),
}
"""Those that leave no time, with exit code and what the process collector finds out where it can."""
UNKNOWN = "ended without closing, cause unknown"

pytestmark = pytest.mark.parametrize("collector", ["thread", "process"])


def values(rows: Rows) -> list[str]:
    return [row["description"] for row in rows("select description from result where type = 'mine' order by id")]


def check_sound(rows: Rows) -> None:
    assert rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    assert rows("select id from span where status = 'ok' and duration is null") == []
    of_runs = "from span join process on process.id = process_id join run on run.uuid = run_uuid"
    outside = "span.started < run.started or span.started + span.duration > run.ended"
    assert rows(f"select span.id {of_runs} where {outside}") == []


@pytest.mark.parametrize("ending", WHOLE)
def test_what_ends_in_order_loses_nothing(run_script: RunScript, rows: Rows, collector: str, ending: str) -> None:
    code, status, late = WHOLE[ending]
    ended = run_script(SCRIPT, collector, ending, timeout=30)
    assert ended.returncode == code, ended.stderr
    assert "umlaut" not in ended.stderr.replace("umlaut_async/", "")
    found = values(rows)
    again = found.count("again")
    assert (again > 0) == (ending == "daemon thread")
    expected = ["early", "in time", "late", *late]
    assert sorted(value for value in found if value != "again") == sorted(expected)
    (run,) = rows("select status, ended from run")
    assert run["status"] == status
    assert run["ended"] is not None
    assert rows("select * from span where status = 'running'") == []
    check_sound(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how a process ended that is no child")
@pytest.mark.parametrize("ending", CUT)
def test_what_leaves_no_time_loses_what_the_flush_interval_allows(
    run_script: RunScript, rows: Rows, database: Path, collector: str, ending: str
) -> None:
    code, how = CUT[ending]
    ended = run_script(SCRIPT, collector, ending, timeout=30)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert ended.stdout == ("another program\n" if ending == "execv" else "")
    if collector == "process":
        support.until(lambda: rows("select * from run where status = 'lost'"))
        (process,) = rows("select ending from process")
        # The program that it became has ended as well by now.
        expected = (how, UNKNOWN, "exited with code 0 without closing") if ending == "execv" else (how, UNKNOWN)
        assert process["ending"] in expected
    assert set(values(rows)) >= {"early", "in time"}
    with reading(database) as session:
        assert [run.status for run in queries.runs(session)] == ["lost"]
    check_sound(rows)
