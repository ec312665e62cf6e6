"""`umlaut tag`, `umlaut rm` and `umlaut vacuum`, and which runs `umlaut runs` lists."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.on_a_terminal import on_a_terminal
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric
from umlaut_async.analysis import Results
from umlaut_async.analysis.selectors import baseline_tag
from umlaut_async.errors import ArgumentError
from umlaut_async.store import housekeeping
from umlaut_async.store.models import Chunk, Sample, Series, key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

DAY = 86_400 * SECOND
TABLES = ("run", "process", "span", "result", "series", "sample", "chunk", "event")


def shown_runs(stdout: str) -> list[str]:
    """Return the first column of a table of runs."""
    return [line.split()[0] for line in stdout.splitlines()[2:]]


def tags(database: Path) -> dict[str, list[str]]:
    return {found.uuid: found.info.tags for found in Results(database).runs()}


@pytest.fixture
def three(store: Store) -> None:
    """Make three runs: one of today, one of yesterday, one of long ago."""
    now = time.time_ns()
    store(
        run("aaaaaaaa", started=BEGAN, name="train.py", tags=["old"]),
        run("bbbbbbbb", started=now - DAY, name="serve.py", status="error", tags=["pr", baseline_tag("main")]),
        run("cccccccc", started=now - SECOND, name="train_all.py", tags=["pr"]),
    )


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("options", "uuids"),
    [
        ([], "cba"),
        (["--tag", "pr"], "cb"),
        (["--name", "train*"], "ca"),
        (["--name", "train.py"], "a"),
        (["--status", "error"], "b"),
        (["--newer-than", "2d"], "cb"),
        (["--newer-than", "1.5h"], "c"),
        (["--older-than", "2023-12-01"], "a"),
        (["--older-than", "12h", "--newer-than", "3w"], "b"),
        (["--limit", "2"], "cb"),
        (["last~1"], "b"),
        (["@main,train.py"], "ba"),
        (["--tag", "pr", "--status", "ok"], "c"),
    ],
)
def test_runs_are_filtered(umlaut: Umlaut, database: Path, options: list[str], uuids: str) -> None:
    shown = umlaut("runs", database, *options)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown_runs(shown.stdout) == [8 * letter for letter in uuids]


@pytest.mark.usefixtures("three")
def test_no_run_passes_the_filters(umlaut: Umlaut, database: Path) -> None:
    assert umlaut("runs", database, "--tag", "none").stdout == "No run is like that.\n"
    assert '"runs": []' in umlaut("runs", database, "--tag", "none", "--json").stdout
    for options in (["--newer-than", "soon"], ["--limit", "0"], ["--status", "fine"]):
        assert umlaut("runs", database, *options).exit_code == 2


@pytest.mark.usefixtures("three")
def test_tags_come_and_go(umlaut: Umlaut, database: Path) -> None:
    shown = umlaut("tag", database, "tag:pr", "new", "pr", "with space", "-r", "old", "-r", "none")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == "cccccccc pr, new, with space\nbbbbbbbb pr, @main, new, with space\n"
    assert tags(database)["bbbbbbbb"] == ["pr", "baseline:main", "new", "with space"]
    assert tags(database)["aaaaaaaa"] == ["old"]
    assert umlaut("tag", database, "aaaaaaaa", "--remove", "old").stdout == "aaaaaaaa no tags\n"
    assert umlaut("tag", database, "@main").stdout == "bbbbbbbb pr, @main, new, with space\n"


@pytest.mark.usefixtures("three")
def test_tags_that_cannot_be(umlaut: Umlaut, database: Path) -> None:
    before = tags(database)
    for arguments, code, message in (
        (["last", ""], 1, "a tag is empty"),
        (["last", baseline_tag("x")], 2, "umlaut baseline"),
        (["none", "x"], 1, "no run has the name"),
    ):
        shown = umlaut("tag", database, *arguments)
        assert (shown.exit_code, shown.stdout) == (code, "")
        assert message in shown.stderr
    assert tags(database) == before


@pytest.mark.usefixtures("three")
async def test_a_tag_of_one_run_alone(database: Path) -> None:
    changed = await housekeeping.change_tags(database, ["aaaaaaaa"], add=[baseline_tag("main")], alone=True)
    assert changed == {"aaaaaaaa": ["old", "baseline:main"]}
    assert tags(database) == {"aaaaaaaa": ["old", "baseline:main"], "bbbbbbbb": ["pr"], "cccccccc": ["pr"]}
    with pytest.raises(ArgumentError, match="a tag is empty"):
        await housekeeping.change_tags(database, ["aaaaaaaa"], add=[" "])


def count(database: Path) -> dict[str, int]:
    with closing(sqlite3.connect(database)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def rows_of(uuid: str, number: int) -> list[Any]:
    """Return a run with a row in every table."""
    call = span("train", process_id=number)
    series = key(number, 1)
    return [
        run(uuid, started=BEGAN + number), process(uuid, number), call,
        result("time", "sec", 1.0, span=call.id, process_id=number), event("drop", "x", process_id=number),
        Series(id=series, process_id=number, type="cpu", unit="%", source="", provenance="measured", interval=1),
        Sample(id=number, series_id=series, t=1, value=1.0),
        Chunk(id=number, series_id=series, t0=1, t1=1, n=1, min=1, max=1, sum=1, first=1, last=1, times=b"",
              values=b""),
    ]  # fmt: skip


def test_removing_leaves_nothing_of_a_run_and_all_of_the_others(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*rows_of("aaaaaaaa", 1), *rows_of("bbbbbbbb", 2), *rows_of("cccccccc", 3))
    assert count(database) == dict.fromkeys(TABLES, 3)
    shown = umlaut("rm", database, "aaaaaaaa,cccccccc", "--yes")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == "removed aaaaaaaa train.py\nremoved cccccccc train.py\n"
    assert count(database) == dict.fromkeys(TABLES, 1)
    found = Results(database).run()
    assert (found.uuid, len(found.calls), len(found.results), len(found.events)) == ("bbbbbbbb", 1, 1, 1)
    assert len(found.samples("cpu")) == 1


@pytest.mark.usefixtures("three")
def test_removing_by_what_runs_are_like(umlaut: Umlaut, database: Path) -> None:
    assert (
        umlaut("rm", database, "--older-than", "2h", "--status", "error", "-y").stdout == "removed bbbbbbbb serve.py\n"
    )
    shown = umlaut("rm", database, "last", "--status", "lost", "-y")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "umlaut: no run is like that; nothing was removed\n"
    assert umlaut("rm", database, "--yes").exit_code == 2
    assert set(tags(database)) == {"aaaaaaaa", "cccccccc"}


@pytest.mark.usefixtures("three")
def test_removing_needs_a_yes(umlaut: Umlaut, database: Path) -> None:
    shown = umlaut("rm", database, "last")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr == "umlaut: Removing one run needs --yes where nobody can be asked.\n"
    assert len(tags(database)) == 3


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("typed", "left", "code"), [("y\n", 2, 0), ("n\n", 3, 1), ("\x03", 3, 130)])
def test_removing_asks_on_a_terminal(database: Path, typed: str, left: int, code: int) -> None:
    shown, ended = on_a_terminal(["rm", str(database), "last"], "[y/N]:", typed)
    assert "cccccccc train_all.py · ok" in shown
    assert "Traceback" not in shown
    assert ("umlaut: nothing was removed" in shown) == (code == 1)
    assert (len(tags(database)), ended) == (left, code)


async def test_a_run_that_is_still_written_stays(umlaut: Umlaut, database: Path) -> None:
    async with Benchmark(database) as benchmark:
        await benchmark.flush()
        shown = await asyncio.to_thread(umlaut, "rm", database, "last", "--yes")
        assert (shown.exit_code, shown.stdout) == (1, "")
        reason = f"process {os.getpid()} is still writing run {benchmark.uuid[:8]}; end it first"
        assert shown.stderr == f"umlaut: {reason}\n"
        shown = await asyncio.to_thread(umlaut, "tag", database, "last", "meanwhile")
        assert shown.stdout == f"{benchmark.uuid[:8]} meanwhile\n"
    assert tags(database) == {benchmark.uuid: ["meanwhile"]}
    assert (await asyncio.to_thread(umlaut, "rm", database, "last", "--yes")).exit_code == 0


@pytest.mark.parametrize(("seconds_ago", "code"), [(5, 1), (300, 0)])
def test_a_run_on_another_machine_stays_while_it_is_heard_of(
    store: Store, umlaut: Umlaut, database: Path, seconds_ago: int, code: int
) -> None:
    elsewhere = process()
    elsewhere.host, elsewhere.last_seen = f"not-{socket.gethostname()}", time.time_ns() - seconds_ago * SECOND
    store(run(status="running", ended=None), elsewhere)
    assert umlaut("rm", database, "last", "--yes").exit_code == code
    assert len(tags(database)) == code


def test_the_run_of_a_process_that_was_killed_can_go(store: Store, umlaut: Umlaut, database: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        child.send_signal(signal.SIGKILL)
    killed = process()
    killed.host, killed.pid = socket.gethostname(), child.pid
    store(run(status="running", ended=None), killed)
    assert umlaut("rm", database, "last", "--yes").exit_code == 0


def test_vacuum(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*(run(f"{number:08}", description="x" * 5000) for number in range(200)), run("kept", name="kept"))
    assert umlaut("rm", database, "train.py", "--yes").exit_code == 0
    before = database.stat().st_size
    shown = umlaut("vacuum", database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    after = database.stat().st_size
    assert after < before / 5
    assert shown.stdout == f"{database}: {before:,} bytes before, {after:,} bytes after\n"
    assert [found.name for found in Results(database).runs()] == ["kept"]
    assert os.listdir(database.parent) == [database.name]


async def test_vacuum_while_a_run_is_written(umlaut: Umlaut, database: Path) -> None:
    async with Benchmark(database) as benchmark:

        @BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], benchmark)
        async def train() -> None:
            await asyncio.sleep(0)

        for _ in range(3):
            await train()
            await benchmark.flush()
            shown = await asyncio.to_thread(umlaut, "vacuum", database)
            assert (shown.exit_code, shown.stderr) == (0, "")
    assert len(Results(database).run().calls) == 3


@pytest.mark.parametrize("command", [("tag", "last", "x"), ("rm", "last", "--yes"), ("vacuum",)])
def test_what_changes_makes_no_database_and_needs_the_right_to(
    umlaut: Umlaut, tmp_path: Path, command: tuple[str, ...]
) -> None:
    name, *rest = command
    shown = umlaut(name, tmp_path / "folder" / "none.db", *rest)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "there is no database" in shown.stderr
    assert list(tmp_path.iterdir()) == []
