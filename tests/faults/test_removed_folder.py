"""A program goes on where its working directory was removed, and is told where only that could be meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.support import ROOT, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

GONE = "the working directory was removed, so 'runs.db' leads nowhere; pass an absolute path"


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_only_relative_paths_need_the_working_directory(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    # What Python itself cannot make absolute any more stays relative.
    ended = run_program("removed_folder", database, collector, environment={"PYTHONPATH": f"{ROOT}:relative"})
    assert (ended.returncode, ended.stderr) == (0, "")
    refused, stage, shown, exported = ended.stdout.splitlines()
    assert (refused, stage) == (f"True {GONE}", "1")
    assert GONE in shown
    assert exported.endswith("the working directory was removed, so out.json leads nowhere; name an absolute path")
    (run,) = stored.ended_runs(database)
    assert (run["status"], json.loads(run["collector"])["mode"], run["calls"]) == ("ok", collector, 1)
    assert len(stored.results(database, "stage", "memory")) == 1
    assert read(database, "select kind from event") == []
