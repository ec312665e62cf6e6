"""SIGKILL at any moment: the database stays sound, every flushed record is in it once, and it is written again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests import kill_at, support
from umlaut_async.store import queries
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Anywhere, Rows

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets"),
    pytest.mark.timeout(3600),  # With --soak there are hundreds of victims; each of them has a limit of its own.
]

INTERVAL = 0.05
SETTLED = 0.8
"""The seconds after which a victim no longer begins."""
FLUSH_INTERVAL = 0.2

VICTIM = f"""
import asyncio, os, random, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, StoreError, TimeMetric

ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC)
benchmark = Benchmark((*sys.argv, "runs.db")[3], collector=sys.argv[1], flush_interval={FLUSH_INTERVAL})

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

@BenchmarkSupervisor([MemoryMetric("memory", interval={INTERVAL})], benchmark)
async def outer(rounds):
    done = 0
    print("ready", flush=True)
    for _ in range(rounds):
        for _ in range(random.randrange(1, 100)):
            benchmark.log("value", "mine", done)
            stage()
            done += 1
        await benchmark.flush()
        # Only now: whatever is in the ledger must be in the database.
        os.write(ledger, f"{{benchmark.uuid}} {{done}}\\n".encode())
        await asyncio.sleep(random.uniform(0, 0.02))
    return done

async def main():
    try:
        async with benchmark:
            await outer(int(sys.argv[2]))
    except StoreError as error:
        assert "collector" in str(error), error
    print("its own result", flush=True)

asyncio.run(main())
"""


VALUES = """
select run_uuid, count(*) as n, count(distinct result.value) as different,
count(*) filter (where result.value < cast(flushed.value as integer)) as kept
from result join process on process_id = process.id left join {} as flushed on flushed.key = run_uuid
where result.type = 'mine' group by run_uuid
"""
CALLS = """
select run_uuid, count(*) as n from span join process on process_id = process.id
where span.name = 'stage' and status = 'ok' group by run_uuid
"""


class Ended(NamedTuple):
    """How a victim ended."""

    code: int
    output: str
    errors: str


def start(
    folder: Path, collector: str, rounds: int, kill: tuple[object, ...] | None = None, db_file: str = "runs.db"
) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(VICTIM)
    shutil.copy(kill_at.__file__, folder / "sitecustomize.py")
    environment = support.environment()
    environment["PYTHONPATH"] = f"{folder}:{environment['PYTHONPATH']}"
    if kill is not None:
        environment["KILL_AT"] = json.dumps(kill)
    return subprocess.Popen(
        [sys.executable, "script.py", collector, str(rounds), db_file],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> Ended:
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return Ended(process.returncode, output, errors)


def check(folder: Path, rows: Rows) -> None:
    """Check the database file against the ledger."""
    # Who only reads cannot put in order what was cut short while there was no log.
    support.execute(folder / "runs.db", "pragma user_version")
    assert rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    if rows("select * from sqlite_master where name = 'run'"):
        check_records(folder, rows, "json_each(?)")
    else:
        assert not flushed(folder)


def check_records(folder: Path, rows: Rows, each: str) -> None:
    """Check the records against the ledger, which this database reads by a function of its own."""
    # One pass over all runs: in the end there are hundreds.
    kept = flushed(folder)
    values = {row["run_uuid"]: row for row in rows(VALUES.format(each), json.dumps(kept))}
    assert all(row["n"] == row["different"] for row in values.values()), "a value is there twice"
    calls = {row["run_uuid"]: row["n"] for row in rows(CALLS)}
    for uuid, count in kept.items():
        assert values[uuid]["kept"] == count, "flushed values are missing"
        assert calls[uuid] >= count, "flushed calls are missing"
    orphans = "select id from result where span is not null and span not in (select id from span)"
    assert rows(orphans) == [], "half of a record is there"


def flushed(folder: Path) -> dict[str, int]:
    """Return how many values of each run the ledger has."""
    lines = (folder / "ledger").read_text().splitlines() if (folder / "ledger").exists() else []
    return {uuid: int(done) for uuid, done in (line.split() for line in lines)}


def statuses(db_file: Path | str) -> list[str]:
    with reading(db_file) as session:
        return [run.status for run in queries.runs(session)]


def last_sample(rows: Rows, run_uuid: str) -> int:
    (row,) = rows(
        "select max(t) as t from (select t, series_id from sample union all select t1, series_id from chunk) as taken"
        " join series on series.id = series_id join process on process.id = process_id where run_uuid = ?",
        run_uuid,
    )
    return int(row["t"])


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.alone
def test_at_random_moments(tmp_path: Path, anywhere: Anywhere, soak: bool, collector: str) -> None:
    moments = random.Random(f"kills {collector}")
    rows, running = anywhere.read, "select uuid from run where status = 'running'"

    def checked() -> None:
        if anywhere.is_file:
            check(tmp_path, rows)
        else:
            check_records(tmp_path, rows, "json_each_text(cast(? as json))")

    def kill(*, begun: bool, after: float) -> float | None:
        """Kill a victim; return how old its last sample was, if it had begun to sample."""
        process = start(tmp_path, collector, 10**9, db_file=anywhere.db_file)
        assert process.stdout is not None
        if begun:
            assert process.stdout.readline() == "ready\n"
        time.sleep(after)
        runs = {row["uuid"] for row in rows(running)}
        killed_at = time.time_ns()
        process.kill()
        if collector == "process":
            support.until(lambda: not rows(running), seconds=30)
        assert finish(process).code == -signal.SIGKILL
        checked()
        assert "running" not in statuses(anywhere.db_file)
        if not begun or after < SETTLED:
            return None
        (uuid,) = [row["uuid"] for row in rows("select uuid from run order by started desc limit 1")]
        assert collector == "process" or uuid in runs
        return (killed_at - last_sample(rows, uuid)) / 1e9

    def kills(count: int) -> float:
        """Kill so many victims; return how old the last sample was in the middle one of those that had settled."""
        gaps = []
        for number in range(count):
            after = moments.uniform(SETTLED, 2 * SETTLED) if number % 3 == 1 else moments.uniform(0, SETTLED)
            if (gap := kill(begun=number % 3 > 0, after=after)) is not None:
                gaps.append(gap)
        assert max(gaps) < 10
        return statistics.median(gaps)

    # Made beforehand, so that there is a file from the first kill on.
    assert finish(start(tmp_path, collector, 1, db_file=anywhere.db_file)).code == 0
    counts = iter([(200 if soak else 9) if anywhere.is_file else (40 if soak else 3), 3, 3])
    support.best_of_three(
        2 * INTERVAL if collector == "process" else FLUSH_INTERVAL + INTERVAL, lambda: kills(next(counts))
    )
    assert finish(start(tmp_path, collector, 2, db_file=anywhere.db_file)).code == 0
    checked()
    assert statuses(anywhere.db_file)[0] == "ok"
    assert rows("select id from span where status = 'running'") == []


STATEMENTS = {
    "schema": ("CREATE TABLE", 4, 0),
    "end of the schema": ("PRAGMA user_version = ", 1, 0),
    "before the run": ('INSERT INTO "?run', 1, 0),
    "commit of the run": ("COMMIT", 2, 0),
    "before BEGIN": ("BEGIN", 6, 0),
    "mid batch": ('INSERT INTO "result"', 4, 0),
    "before COMMIT": ("COMMIT", 6, 0),
    "in COMMIT": ("COMMIT", 7, 0.0002),
    "after COMMIT": ("COMMIT", 8, 0.002),
    "before a checkpoint": (r"PRAGMA wal_checkpoint", 4, 0),
    "in a checkpoint": (r"PRAGMA wal_checkpoint", 6, 0.0005),
    "end of the run": ("UPDATE run SET ended", 1, 0),
    "close": ("PRAGMA journal_mode = DELETE", 1, 0),
    "in close": ("PRAGMA journal_mode = DELETE", 1, 0.001),
}


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_at_the_statements_of_the_writer(
    tmp_path: Path, database: Path, rows: Rows, soak: bool, collector: str
) -> None:
    reached = []
    # A collector process runs the same code, so that fewer do for it.
    chosen = [*STATEMENTS.items()] * 10 if soak else [*STATEMENTS.items()][:: 1 if collector == "thread" else 3]
    for name, (pattern, which, delay) in chosen:
        if "schema" in name:
            for path in [*tmp_path.glob("runs.db*"), *tmp_path.glob("ledger")]:
                path.unlink()
        writer = "measured" if collector == "thread" else "collector"
        process = start(tmp_path, collector, 6, (writer, "sql", f"\\s*{pattern}", which, delay))
        ended = finish(process)
        # In a delayed kill the process may have ended by itself first.
        if collector == "process":
            # Where it cannot even say that the run has begun, `open` raises, and the stage does not begin.
            assert (ended.code, ended.output.removeprefix("ready\n")) == (0, "its own result\n"), (name, ended)
        elif ended.code == -signal.SIGKILL:
            reached.append(name)
        else:
            assert delay, (name, ended)
            assert ended.code == 0, (name, ended)
        if database.exists() and database.stat().st_size:
            check(tmp_path, rows)
        # It is written again by the next victim.
    if collector == "thread":
        assert set(reached) >= {name for name, (_, _, delay) in chosen if not delay}
    assert finish(start(tmp_path, collector, 1)).code == 0
    check(tmp_path, rows)
    assert statuses(database)[0] == "ok"
    assert rows("select * from run where status = 'running'") == []


@pytest.mark.parametrize("where", ["measured", "collector"])
def test_at_the_messages_of_the_link(tmp_path: Path, database: Path, rows: Rows, soak: bool, where: str) -> None:
    for which in [1, 2, 3, 5] * (10 if soak else 1):
        process = start(tmp_path, "process", 6, (where, "send", "", which, 0))
        ended = finish(process)
        assert ended.code == (-signal.SIGKILL if where == "measured" else 0), (which, ended)
        if where == "collector":
            # Where it cannot even say that the run has begun, `open` raises, and the stage does not begin.
            assert ended.output.removeprefix("ready\n") == "its own result\n"
            assert len(ended.errors.splitlines()) == 1, ended.errors
        if database.exists() and database.stat().st_size:
            support.until(lambda: not rows("select * from run where status = 'running'"), seconds=30)
            check(tmp_path, rows)
    assert finish(start(tmp_path, "process", 1)).code == 0
    check(tmp_path, rows)
    assert statuses(database)[0] == "ok"
