"""Runs that nobody closes: they end, all that was recorded is stored, and nothing of them is left."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.faults.conftest import PROGRAMS
from tests.support import environment, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_server_that_ends_by_its_signal_has_stored_all_requests(database: Path, collector: str) -> None:
    command = [sys.executable, str(PROGRAMS / "sigterm_again.py"), str(database), collector]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        server.terminate()
        answered = int(server.stdout.readline())
        assert server.wait(30) == -15
    runs = stored.ended_runs(database)
    assert [(run["status"], run["calls"]) for run in runs] == [("ok", answered)]


@pytest.mark.parametrize(("collector", "mode"), [("thread", "a"), ("process", "a"), ("thread", "w"), ("process", "w")])
def test_a_cell_that_is_run_again_leaves_nothing(
    run_program: RunProgram, database: Path, collector: str, mode: str
) -> None:
    ended = run_program("cell_again", database, collector, mode)
    assert (ended.returncode, ended.stderr) == (0, "")
    states = [tuple(map(int, line.split())) for line in ended.stdout.splitlines()]
    assert len(states) == 5
    # What ends, and what begins, is there for a moment. A run that is left has two threads, eight files or a process.
    for after, before, passing in zip(states[-1], states[0], (3, 10, 1), strict=True):
        assert after <= before + passing, states
    runs = stored.runs(database)
    assert [(run["status"], run["calls"]) for run in runs] == (5 if mode == "a" else 1) * [("ok", 1)]


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_child_of_a_thread_exits(run_program: RunProgram, database: Path, collector: str) -> None:
    ended = run_program("fork_in_thread", database, collector)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
    assert [(run["status"], run["calls"]) for run in stored.runs(database)] == [("ok", 2)]


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_what_an_exit_handler_records_too_late_is_counted_and_told(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    ended = run_program("early_exit_handler", database, collector)
    assert ended.returncode == 0
    assert ended.stdout == "Accounting(recorded=3, stored=1, dropped={'not measured': 2}, in_flight=0)\n"
    [told] = ended.stderr.splitlines()
    assert "is not measured: the program ends; import umlaut_async before" in told
    assert read(database, "select count(*) as calls from span") == [{"calls": 1}]
