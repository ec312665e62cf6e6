"""A run that nobody ended explains its death: to readers at once, in the database by the next writer."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests import support
from umlaut_async import Benchmark
from umlaut_async.cli import main
from umlaut_async.store import lost, queries, run_queries
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Rows

SECOND = 1_000_000_000

MEASURED = """
import asyncio, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1], flush_interval=float(sys.argv[2]))

@BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory", interval=0.02)], benchmark)
def inner(seconds):
    time.sleep(seconds)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def outer(seconds):
    inner(seconds)

async def main():
    await benchmark.open()
    outer(0.1)
    await benchmark.flush()
    print("ready", flush=True)
    outer(60)

asyncio.run(main())
"""


@contextmanager
def started(folder: Path, text: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a script, and wait until it says that it is ready; kill it in the end, if it lives."""
    script = folder / "script.py"
    script.write_text(text)
    with subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder, env=support.environment(), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def killed(tmp_path: Path, rows: Rows) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that was killed while two calls of its run were open, in thread mode."""
    with started(tmp_path, MEASURED, "thread", 0.1) as process:
        support.until(lambda: len(rows("select * from span where status = 'running'")) == 2)
        process.kill()
        process.wait(10)
        yield process


def shown(database: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    main(["show", str(database), *options], standalone_mode=False)
    return capsys.readouterr().out


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return [*connection.iterdump()]


def test_readers_derive_that_a_run_is_lost_and_write_nothing(
    killed: subprocess.Popen[str], database: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dump(database)
    with reading(database) as session:
        (run,) = queries.runs(session)
        (process,) = run_queries.processes(session, run.uuid)
        calls = run_queries.calls(session, run.uuid)
        stages = {stage.name: stage for stage in queries.stages(session, run.uuid)}
        (event,) = (event for event in run_queries.events(session, run.uuid) if event.kind == "lost")
    assert (run.status, run.ended) == ("lost", process.last_seen)
    assert (process.ended, process.ending) == (process.last_seen, "ended without closing, cause unknown")
    assert [call.status for call in calls] == ["ok", "ok", "lost", "lost"]
    assert all(call.duration is not None and call.duration >= 0 for call in calls)
    assert stages["outer"].statuses == {"ok": 1, "lost": 1}
    assert [call["name"] for call in event.data["open_calls"]] == ["outer", "inner"]
    assert event.data["memory"] > 5
    assert event.data["pid"] == killed.pid
    said = shown(database, capsys)
    (sentence,) = [line for line in said.splitlines() if line.startswith("Lost: ")]
    assert "2 calls were open: 'outer' for" in sentence
    assert "ended without closing, cause unknown" in sentence
    assert "MiB when it was last read" in sentence
    assert said.count("Lost: ") == 1
    document = json.loads(shown(database, capsys, "--json"))
    assert document["run"]["status"] == "lost"
    main(["runs", str(database), "--status", "lost"], standalone_mode=False)
    assert run.uuid[:8] in capsys.readouterr().out
    assert dump(database) == before
    assert rows("select status from run") == [{"status": "running"}]


async def test_the_next_writer_stores_that_a_run_was_lost(
    killed: subprocess.Popen[str], database: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    (before,) = rows("select last_seen from process")
    async with Benchmark(database, "next") as benchmark:
        benchmark.log("value", "mine", 1)
    lost_run, next_run = rows("select status, ended from run order by started")
    assert (lost_run["status"], next_run["status"]) == ("lost", "ok")
    assert lost_run["ended"] == before["last_seen"]
    process, _ = rows("select ended, ending from process order by id")
    assert process == {"ended": before["last_seen"], "ending": "ended without closing, cause unknown"}
    assert [row["status"] for row in rows("select status from span order by number")] == ["ok", "ok", "lost", "lost"]
    assert rows("select id from span where duration is null") == []
    (event,) = rows("select * from event where kind = 'lost'")
    assert event["data"]["pid"] == killed.pid
    assert shown(database, capsys, "last~1").count("Lost: ") == 1
    async with Benchmark(database, "one more"):
        pass
    assert len(rows("select * from event where kind = 'lost'")) == 1


async def test_a_run_that_goes_on_is_not_lost(benchmark: Benchmark, database: Path, rows: Rows) -> None:
    async with benchmark, Benchmark(database, "beside"):
        with reading(database) as session:
            assert [run.status for run in queries.runs(session)] == ["running", "running"]
            assert lost.find(session) == ({}, {})
    assert rows("select * from event where kind = 'lost'") == []


@pytest.mark.parametrize(
    ("host", "age", "pid_started", "status"),
    [
        ("another machine", 29, 0, "running"),
        ("another machine", 31, 0, "lost"),
        (None, 3600, 0, "running"),
        (None, 0, 60, "lost"),
    ],
    ids=["elsewhere, seen lately", "elsewhere, not seen", "here, alive", "here, another process with its pid"],
)
async def test_who_is_dead(
    benchmark: Benchmark, database: Path, host: str | None, age: int, pid_started: int, status: str
) -> None:
    async with benchmark:
        benchmark.log("value", "mine", 1)
    started = round(psutil.Process().create_time() * SECOND) - pid_started * SECOND
    columns = (host or socket.gethostname(), os.getpid(), started, time.time_ns() - age * SECOND)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("update run set status = 'running', ended = null")
        connection.execute(
            "update process set ended = null, host = ?, pid = ?, pid_started = ?, last_seen = ?", columns
        )
        connection.commit()
    with reading(database) as session:
        assert [run.status for run in queries.runs(session)] == [status]


def test_a_killed_process_whose_collector_lives_is_stored_as_lost_at_once(
    tmp_path: Path, database: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path, MEASURED, "process", 0.1) as process:
        support.until(lambda: len(rows("select * from span where status = 'running'")) == 2)
        process.kill()
        support.until(lambda: rows("select * from run where status = 'lost'"))
        process.wait(10)
    (event,) = rows("select * from event where kind = 'lost'")
    data: dict[str, Any] = event["data"]
    assert data["how"] == "killed by SIGKILL"
    assert [call["name"] for call in data["open_calls"]] == ["outer", "inner"]
    assert data["memory"] > 5
    (line,) = [line for line in shown(database, capsys).splitlines() if line.startswith("Lost: ")]
    assert f"process {process.pid} on {socket.gethostname()} was killed by SIGKILL; it was last seen at " in line


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_there_is_a_heartbeat_each_second_whatever_the_flush_interval(
    tmp_path: Path, rows: Rows, collector: str
) -> None:
    with started(tmp_path, MEASURED, collector, 3600) as process:
        (first,) = rows("select last_seen from process")
        seen: set[int] = set()

        def three_more() -> bool:
            (row,) = rows("select last_seen from process")
            seen.add(row["last_seen"])
            return len(seen - {first["last_seen"]}) >= 3

        support.until(three_more, seconds=30)
        assert rows("select * from span where status = 'running'") == []
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        if collector == "process":
            support.until(lambda: rows("select * from run where status = 'lost'"))
