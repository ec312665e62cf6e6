"""What is typed wrong in an interactive session is no end of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_mistake_that_the_session_outlives(run_program: RunProgram, database: Path, collector: str) -> None:
    ended = run_program("interactive_error", database, collector)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"code": 0, "mistakes": 1}
    [run] = stored.runs(database)
    assert (run["status"], run["calls"]) == ("ok", 2)
