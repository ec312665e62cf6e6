"""`umlaut run` goes on with its command, whoever lets that go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.faults import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


def test_the_command_alone_is_told_to_go_on(run_program: RunProgram, database: Path) -> None:
    ended = run_program("run_sigcont", database)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"stopped": True, "out": "goes on and ends\n", "code": 0}
    [run] = stored.runs(database)
    assert (run["status"], run["calls"]) == ("ok", 1)
