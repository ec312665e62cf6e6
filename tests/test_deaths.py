"""A run that nobody ended explains its death: to readers at once, in the database by the next writer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import update

from tests import support
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric, clock
from umlaut_async.cli import main
from umlaut_async.collector import settings
from umlaut_async.collector.membership import find_process
from umlaut_async.store import lost, queries, run_queries
from umlaut_async.store.deaths import write_lost
from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.location import resolve
from umlaut_async.store.models import Base, Process
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support import Anywhere, Rows

SECOND = 1_000_000_000

MEASURED = """
import asyncio, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric

benchmark = Benchmark(sys.argv[1], collector=sys.argv[2], flush_interval=float(sys.argv[3]))

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
def killed(tmp_path: Path, anywhere: Anywhere) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that was killed while two calls of its run were open, in thread mode."""
    with started(tmp_path, MEASURED, anywhere.db_file, "thread", 0.1) as process:
        support.until(lambda: len(anywhere.read("select * from span where status = 'running'")) == 2)
        process.kill()
        process.wait(10)
        yield process


def shown(db_file: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    main(["show", db_file, *options], standalone_mode=False)
    return capsys.readouterr().out


def dump(anywhere: Anywhere) -> dict[str, list[Any]]:
    """Return all rows."""
    return {name: anywhere.read(f"select * from {name} order by 1, 2, 3") for name in Base.metadata.tables}


def test_readers_derive_that_a_run_is_lost_and_write_nothing(
    killed: subprocess.Popen[str], anywhere: Anywhere, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dump(anywhere)
    with reading(anywhere.db_file) as session:
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
    said = shown(anywhere.db_file, capsys)
    (sentence,) = [line for line in said.splitlines() if line.startswith("Lost: ")]
    assert "2 calls were open: 'outer' for" in sentence
    assert "ended without closing, cause unknown" in sentence
    assert "MiB when it was last read" in sentence
    assert said.count("Lost: ") == 1
    document = json.loads(shown(anywhere.db_file, capsys, "--json"))
    assert document["run"]["status"] == "lost"
    main(["runs", anywhere.db_file, "--status", "lost"], standalone_mode=False)
    assert run.uuid[:8] in capsys.readouterr().out
    assert dump(anywhere) == before
    assert anywhere.read("select status from run") == [{"status": "running"}]


async def test_the_next_writer_stores_that_a_run_was_lost(
    killed: subprocess.Popen[str], anywhere: Anywhere, capsys: pytest.CaptureFixture[str]
) -> None:
    (before,) = anywhere.read("select last_seen from process")
    async with Benchmark(anywhere.db_file, "next") as benchmark:
        benchmark.log("value", "mine", 1)
    lost_run, next_run = anywhere.read("select status, ended from run order by started")
    assert (lost_run["status"], next_run["status"]) == ("lost", "ok")
    assert lost_run["ended"] == before["last_seen"]
    process, _ = anywhere.read("select ended, ending from process order by id")
    assert process == {"ended": before["last_seen"], "ending": "ended without closing, cause unknown"}
    assert [row["status"] for row in anywhere.read("select status from span order by number")] == [
        "ok",
        "ok",
        "lost",
        "lost",
    ]
    assert anywhere.read("select id from span where duration is null") == []
    (event,) = anywhere.read("select * from event where kind = 'lost'")
    assert event["data"]["pid"] == killed.pid
    assert shown(anywhere.db_file, capsys, "last~1").count("Lost: ") == 1
    async with Benchmark(anywhere.db_file, "one more"):
        pass
    assert len(anywhere.read("select * from event where kind = 'lost'")) == 1


async def test_a_run_that_goes_on_is_not_lost(anywhere: Anywhere) -> None:
    async with Benchmark(anywhere.db_file), Benchmark(anywhere.db_file, "beside"):
        with reading(anywhere.db_file) as session:
            assert [run.status for run in queries.runs(session)] == ["running", "running"]
            assert lost.find(session) == ({}, {})
    assert anywhere.read("select * from event where kind = 'lost'") == []


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
async def test_who_is_dead(anywhere: Anywhere, host: str | None, age: int, pid_started: int, status: str) -> None:
    async with Benchmark(anywhere.db_file) as benchmark:
        benchmark.log("value", "mine", 1)
    started = round(psutil.Process().create_time() * SECOND) - pid_started * SECOND
    anywhere.execute("update run set status = 'running', ended = null")
    anywhere.execute(
        f"update process set ended = null, host = '{host or socket.gethostname()}', pid = {os.getpid()},"
        f" pid_started = {started}, last_seen = {time.time_ns() - age * SECOND}"
    )
    with reading(anywhere.db_file) as session:
        assert [run.status for run in queries.runs(session)] == [status]


async def test_a_heartbeat_is_of_the_wall_clock(database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the monotonic clock is behind it where the machine has slept, or its clock was set."""
    monkeypatch.setattr(settings, "epoch", lambda: clock.epoch() - 40 * SECOND)

    def seen() -> int:
        return int(rows("select last_seen from process")[0]["last_seen"])

    async with Benchmark(database, flush_interval=3600) as benchmark:
        assert abs(time.time_ns() - seen()) < 20 * SECOND
        first = seen()
        await benchmark.flush()
        flushed = seen()
        assert first < flushed < time.time_ns()
        while (beaten := seen()) == flushed:
            await asyncio.sleep(0.05)
        assert flushed < beaten < time.time_ns()


async def test_two_writers_that_begin_at_once_store_it_once(anywhere: Anywhere) -> None:
    async with Benchmark(anywhere.db_file, flush_interval=0.1) as benchmark:
        benchmark.log("value", "mine", 1)
    anywhere.execute("update run set status = 'running', ended = null")
    anywhere.execute("update process set ended = null, host = 'another machine', last_seen = 1")
    engines = [await open_store(resolve(anywhere.db_file)) for _ in range(2)]

    async def bury(engine: AsyncEngine) -> int:
        async with transaction(engine) as session:
            found = await session.run_sync(write_lost)
            await asyncio.sleep(0.5)  # Long enough for the other one to be in the middle of it.
            return len(found)

    assert sorted(await asyncio.gather(*map(bury, engines))) == [0, 1]
    assert anywhere.read("select status from run") == [{"status": "lost"}]
    assert len(anywhere.read("select * from event where kind = 'lost'")) == 1
    for engine in engines:
        await engine.dispose()


@pytest.mark.parametrize("job", [None, "job 17"])
async def test_a_run_that_was_wrongly_taken_for_lost_takes_that_back(
    anywhere: Anywhere, job: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if job:
        monkeypatch.setenv("UMLAUT_RUN", job)
    async with Benchmark(anywhere.db_file, flush_interval=3600) as benchmark:
        supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")
        with supervised:
            await benchmark.flush()
            engine = await open_store(resolve(anywhere.db_file))
            async with transaction(engine) as session:
                # As one of another machine that was not heard of for long.
                unheard = {"host": "another machine", "last_seen": time.time_ns() - 31 * SECOND}
                await session.execute(update(Process).values(unheard))
                found = await session.run_sync(write_lost)
            await engine.dispose()
            assert [call.name for death in found for call in death.open_calls] == ["stage"]
            assert anywhere.read("select status from run") == [{"status": "lost"}]
    assert anywhere.read("select status from run") == [{"status": "ok"}]
    assert anywhere.read("select ending from process") == [{"ending": "closed"}]
    assert anywhere.read("select status from span") == [{"status": "ok"}]
    assert "Lost: " not in shown(anywhere.db_file, capsys)


async def test_no_process_is_taken_for_that_of_another_machine_with_its_pid(anywhere: Anywhere) -> None:
    """In containers the ranks of a job often have the same."""
    async with Benchmark(anywhere.db_file, run_uuid="job"):
        (own,) = anywhere.read("select id from process")
        anywhere.execute(
            "insert into process (run_uuid, host, pid, started, last_seen)"
            f" values ('job', 'another machine', {os.getpid()}, 1, 1)"
        )
    engine = await open_store(resolve(anywhere.db_file))
    async with transaction(engine) as session:
        assert await find_process(session, "job", os.getpid()) == own["id"]
        assert await find_process(session, "another job", os.getpid()) is None
    await engine.dispose()


def test_a_killed_process_whose_collector_lives_is_stored_as_lost_at_once(
    tmp_path: Path, anywhere: Anywhere, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path, MEASURED, anywhere.db_file, "process", 0.1) as process:
        support.until(lambda: len(anywhere.read("select * from span where status = 'running'")) == 2)
        process.kill()
        support.until(lambda: anywhere.read("select * from run where status = 'lost'"))
        process.wait(10)
    (event,) = anywhere.read("select * from event where kind = 'lost'")
    data: dict[str, Any] = event["data"]
    assert data["how"] == "killed by SIGKILL"
    assert [call["name"] for call in data["open_calls"]] == ["outer", "inner"]
    assert data["memory"] > 5
    (line,) = [line for line in shown(anywhere.db_file, capsys).splitlines() if line.startswith("Lost: ")]
    assert f"process {process.pid} on {socket.gethostname()} was killed by SIGKILL; it was last seen at " in line


@pytest.mark.parametrize(
    ("anywhere", "collector"),
    [("sqlite", "thread"), ("sqlite", "process"), ("postgresql", "process")],
    indirect=["anywhere"],
)
def test_there_is_a_heartbeat_each_second_whatever_the_flush_interval(
    tmp_path: Path, anywhere: Anywhere, collector: str
) -> None:
    with started(tmp_path, MEASURED, anywhere.db_file, collector, 3600) as process:
        (first,) = anywhere.read("select last_seen from process")
        seen: set[int] = set()

        def three_more() -> bool:
            (row,) = anywhere.read("select last_seen from process")
            seen.add(row["last_seen"])
            return len(seen - {first["last_seen"]}) >= 3

        support.until(three_more, seconds=30)
        assert anywhere.read("select * from span where status = 'running'") == []
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        if collector == "process":
            support.until(lambda: anywhere.read("select * from run where status = 'lost'"))


BECOMES = """
import asyncio, os, sys, time
from umlaut_async import Benchmark
benchmark = Benchmark("runs.db")
asyncio.run(benchmark.open())
benchmark.log("value", "mine", 1)
asyncio.run(benchmark.flush())
print("ready", flush=True)
sys.stdin.readline()
os.execv(sys.executable, [sys.executable, "-c", "print('another', flush=True); input()"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells one program of a process from another")
def test_a_process_that_has_become_another_program_has_lost_its_run(database: Path, tmp_path: Path) -> None:
    def status() -> str:
        with reading(database) as session:
            (run,) = queries.runs(session)
        return run.status

    with subprocess.Popen(
        [sys.executable, "-c", BECOMES],
        cwd=tmp_path, env=support.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert status() == "running"
        # Also one that stands still runs on.
        process.send_signal(signal.SIGSTOP)
        assert status() == "running"
        process.send_signal(signal.SIGCONT)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "another\n"
        assert status() == "lost"
        assert support.read(database, "select status from run") == [{"status": "running"}]
        process.communicate("\n")
        assert process.returncode == 0
    assert status() == "lost"
