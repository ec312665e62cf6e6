"""What is supervised can be sent to workers by whatever they use, looks the same there each time, and is recorded."""

from __future__ import annotations

import json
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

CLASSES = {"object", "method", "loader", "async loader"}
"""What needs a class of the script, which gets a random number of cloudpickle in each process, supervised or not."""
BY_REFERENCE = {"builtin", "partial", "list", "supervisor", "benchmark"}
"""What needs nothing of the script, so that a copy is pickled as its original is."""


@pytest.mark.parametrize("pickler", ["pickle", "cloudpickle", "dill"])
def test_what_is_pickled_is_the_same_before_and_after_calls_and_in_each_process(
    run_program: RunProgram, database: Path, pickler: str
) -> None:
    pytest.importorskip(pickler, reason=f"needs {pickler}, which comes with the extra `dev`")
    found = []
    for seed in ("1", "2"):
        ended = run_program("copied_stages", database, pickler, environment={"PYTHONHASHSEED": seed})
        assert (ended.returncode, ended.stderr) == (0, "")
        found.append(json.loads(ended.stdout))
    for kind, (before, after, copy, recorded) in found[0].items():
        assert (kind, after, recorded) == (kind, before, 1)
        if pickler == "pickle" or kind in BY_REFERENCE:
            assert (kind, copy) == (kind, before)
        if pickler != "cloudpickle" or kind not in CLASSES:
            assert (kind, found[1][kind][:2]) == (kind, [before, after])
    runs = stored.ended_runs(database)
    assert [(run["status"], run["calls"]) for run in runs] == [("ok", 24), ("ok", 24)]


@pytest.fixture
def old_run(run_program: RunProgram, database: Path) -> None:
    """Have a run in the database that was begun long before."""
    assert run_program("never_closed", database, "thread", "closed").returncode == 0


@pytest.mark.usefixtures("old_run")
def test_functions_of_a_script_that_were_called_take_part_in_each_run_of_their_own_benchmark(
    run_program: RunProgram, database: Path
) -> None:
    pytest.importorskip("joblib", reason="needs joblib, which is one of the extra `dev`")
    ended = run_program("joblib_tasks", database, "w", "called")
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second, first_again, second_again = stored.ended_runs(database)
    for run, description in ((first, "first"), (second, "second"), (first_again, "first"), (second_again, "second")):
        assert (run["description"], run["status"], run["calls"]) == (description, "ok", 21)
        # The program, and no worker of the two more than once.
        processes = read(database, "select pid from process where run_uuid = ?", run["uuid"])
        assert len(processes) == len({process["pid"] for process in processes}) <= 3


@pytest.mark.usefixtures("old_run")
def test_functions_of_a_script_that_were_not_called_share_the_run_of_its_workers(
    run_program: RunProgram, database: Path
) -> None:
    pytest.importorskip("joblib", reason="needs joblib, which is one of the extra `dev`")
    ended = run_program("joblib_tasks", database, "w", "uncalled")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = {run["description"]: run["calls"] for run in stored.ended_runs(database)}
    assert found == {"first": 20, "second": 20}


def test_a_function_that_a_stranger_calls_takes_part_in_the_run_and_replaces_nothing(
    run_program: RunProgram, database: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cloudpickle", reason="needs cloudpickle, which is one of the extra `dev`")
    program, sent = str(PROGRAMS / "sent_by_stranger.py"), tmp_path / "sent"
    with subprocess.Popen(
        [sys.executable, program, database, sent, "writes"], env=environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as sender:  # fmt: skip
        assert sender.stdout is not None
        assert sender.stdout.readline() == "written\n"
        ended = run_program("sent_by_stranger", database, sent, "calls")
        assert (ended.returncode, ended.stderr) == (0, "")
        sender.communicate("")
    assert [run["calls"] for run in stored.ended_runs(database)] == [4]
    # Nobody has begun a run now: this one is its own.
    ended = run_program("sent_by_stranger", database, sent, "calls")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [run["calls"] for run in stored.ended_runs(database)] == [4, 3]
