"""The workers of pools: however they end, and however old they are, their calls are in the run that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.support import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess", "joblib"])
def test_workers_that_are_replaced_after_each_task_lose_nothing(
    run_program: RunProgram, database: Path, package: str
) -> None:
    pytest.importorskip(package, reason=f"needs {package}, which is one of the extra `dev`")
    ended = run_program("recycled_workers", database, package)
    assert (ended.returncode, ended.stderr) == (0, "")
    # The workers of joblib are ended later.
    assert [(run["status"], run["calls"]) for run in stored.ended_runs(database)] == [("ok", 10)]
    if package != "joblib":
        assert ended.stdout == "10\n"


@pytest.mark.parametrize("kind", ["forkserver", "pool"])
def test_workers_that_are_older_than_a_run_take_part_in_it(run_program: RunProgram, database: Path, kind: str) -> None:
    ended = run_program("runs_of_one_pool", database, kind)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [(run["status"], run["calls"]) for run in stored.runs(database)] == [("ok", 6), ("ok", 6)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_workers_that_are_terminated_after_their_last_call_lose_none(
    run_program: RunProgram, database: Path, collector: str, method: str
) -> None:
    ended = run_program("terminated_pool", database, collector, method)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [run["calls"] for run in stored.runs(database)] == [6]
    assert read(database, "select status, count(*) as n from span group by status") == [{"status": "ok", "n": 6}]
