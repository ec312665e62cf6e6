"""A disk that fails at each write of a run: the stage does not notice, and what is lost is counted."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests import support
from tests.faults import disk

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS, VALUES = 40, 20
EXPECTED = sum(range(CALLS))
LATE = 3.0
"""How many seconds later than without a fault a process may end."""

SCRIPT = """
import atexit, json, logging, sys, time

def tell():
    account = bm.accounting
    print(json.dumps({
        "total": total, "done": done, "recorded": account.recorded, "stored": account.stored,
        "dropped": account.dropped, "in_flight": account.in_flight, "closed": closed,
    }), flush=True)

# Before the package is imported, so that it comes after what that does at the end.
atexit.register(tell)
import asyncio
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, StoreError, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2], flush_interval=0.05)
closed = None

@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.02)], bm)
def stage(number):
    time.sleep(0.005)
    return number

total = 0
if sys.argv[3] == "close":
    try:
        asyncio.run(bm.open())
    except StoreError:
        pass
for number in range(CALLS):
    total += stage(number)
    if number % 2:
        bm.log("values", "test", number)
done = time.time()
if sys.argv[3] == "close":
    try:
        asyncio.run(bm.close())
        closed = "ok"
    except StoreError as error:
        closed = str(error)
""".replace("CALLS", str(CALLS))


class Outcome(NamedTuple):
    """What became of a run."""

    told: dict[str, Any]
    late: float
    """How many seconds after the last stage the process ended."""
    log: str
    stored: int
    """How many records are in the database."""
    account: dict[str, Any] | None
    """What the run says became of its records, where its end is in the database."""
    writes: int


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that fails writes."""
    return disk.compiled(tmp_path_factory.mktemp("disk"))


def run(library: Path, folder: Path, collector: str, end: str, **fault: str) -> Outcome:
    """Run the reference run with a fault."""
    folder.mkdir()
    database, script, counts = folder / "runs.db", folder / "script.py", folder / "counts"
    script.write_text(SCRIPT)
    counts.touch()
    ruled = {"LD_PRELOAD": str(library), "FAULT_FILE": str(database), "FAULT_COUNT": str(counts), **fault}
    process = subprocess.run(
        [sys.executable, str(script), str(database), collector, end],
        env=support.environment() | ruled,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ended = time.time()
    assert process.returncode == 0, process.stderr
    support.until(lambda: not in_use(database), 30)
    told = json.loads(process.stdout)
    writes = max([0, *map(int, counts.read_text().split())])
    return Outcome(told, ended - told["done"], process.stderr, stored_in(database), account_in(database), writes)


def in_use(database: Path) -> bool:
    """Return whether a process has the files of a database open, or is about to."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(database).encode() in (folder / "environ").read_bytes():
                return True
    return False


def stored_in(database: Path) -> int:
    """Return how many ended calls and values are in a database, which is sound."""
    if not database.exists() or not database.stat().st_size:
        return 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        if not connection.execute("select 1 from sqlite_master where name = 'span'").fetchall():
            return 0
        (calls,) = connection.execute("select count(*) from span where status != 'running'").fetchone()
        (values,) = connection.execute("select count(*) from result where span is null").fetchone()
        return int(calls + values)


def account_in(database: Path) -> dict[str, Any] | None:
    """Return what a run that has ended says of its records; None where no such run is in the database."""
    if not database.exists() or not database.stat().st_size:
        return None
    with contextlib.closing(sqlite3.connect(database)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'run'").fetchall():
            return None
        accounts = connection.execute("select collector from run where ended is not null").fetchall()
        return json.loads(accounts[0][0]) if accounts else None


def check(outcome: Outcome) -> None:
    """Check what must hold whatever fails."""
    told = outcome.told
    assert told["total"] == EXPECTED
    assert told["recorded"] == CALLS + VALUES
    dropped, in_flight = sum(told["dropped"].values()), told["in_flight"]
    assert told["recorded"] == told["stored"] + dropped + in_flight
    missing = told["recorded"] - outcome.stored
    # Of what is being written when the process must exit, nobody can know what arrives: at least nothing, at most all
    # of it. It is said to be so much at the most. All else is exact.
    assert dropped <= missing <= dropped + in_flight, (missing, told, outcome.log)
    assert not in_flight or "did not wait any longer" in outcome.log
    assert not in_flight or f"up to {in_flight} records are lost" in outcome.log
    if dropped:
        assert outcome.log or told["closed"] != "ok"
    if outcome.account is not None:
        # What the database says of itself is exact in any case, as to all that has reached the collector.
        recorded, stored = outcome.account["recorded"], outcome.account["stored"]
        assert stored == outcome.stored
        assert recorded == stored + sum(outcome.account["dropped"].values())
        assert recorded == told["recorded"] or in_flight


def plans(writes: int, soak: bool) -> Iterator[tuple[str, int, bool]]:
    """Give what goes wrong, at which write, and whether it goes on going wrong."""
    everything = [
        (how, at, sticks)
        for how in ("ENOSPC", "EIO", "EROFS", "unlink", "hang")
        for at in range(1, writes + 1)
        for sticks in ((False, True) if how.startswith("E") else (False,))
    ]
    if soak:
        yield from everything
        return
    chance = random.Random(5)
    for how, count in (("ENOSPC", 1), ("EIO", 2), ("EROFS", 1), ("unlink", 1), ("hang", 1)):
        yield from chance.sample([plan for plan in everything if plan[0] == how], count)


@pytest.mark.timeout(7200)  # With --soak there are hundreds of runs, each of which has a limit of its own.
@pytest.mark.parametrize(("collector", "end"), [("thread", "exit"), ("process", "close")])
def test_a_failing_disk_costs_only_what_is_counted(
    library: Path, tmp_path: Path, collector: str, end: str, soak: bool
) -> None:
    reference = run(library, tmp_path / "reference", collector, end)
    assert reference.stored == CALLS + VALUES
    assert reference.writes > 20
    for how, at, sticks in plans(reference.writes, soak):
        fault = {"FAULT": how, "FAULT_AT": str(at)} | ({"FAULT_STICKS": "1"} if sticks else {})
        # Who waits for the end by `close` waits for the disk.
        ends = "exit" if how == "hang" else end

        def in_time(number: int, ends: str = ends, how: str = how, fault: dict[str, str] = fault) -> bool:
            outcome = run(library, tmp_path / "-".join((*fault.values(), str(number))), collector, ends, **fault)
            check(outcome)
            waited = how == "hang" or not outcome.told["in_flight"]
            return waited and outcome.late <= reference.late + LATE

        try:
            # A busy machine may make any one of them late.
            assert any(map(in_time, range(support.TRIES)))
        except AssertionError as error:
            error.add_note(f"{how} at write {at}{' and from then on' if sticks else ''} of {reference.writes}")
            raise
