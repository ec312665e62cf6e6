"""What is supervised can be sent to workers by whatever they use, looks the same there each time, and is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored

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
