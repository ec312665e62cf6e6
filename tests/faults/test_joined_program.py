"""A program that takes part in the run of `umlaut run` keeps what it calls its run, and lies under the command."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.commands.conftest import TIMEOUT, UMLAUT
from tests.faults import stored
from tests.faults.conftest import PROGRAMS
from tests.support import environment, read

if TYPE_CHECKING:
    from pathlib import Path


def test_a_program_that_describes_its_run(database: Path) -> None:
    program = str(PROGRAMS / "joins_umlaut_run.py")
    ended = subprocess.run(
        [*UMLAUT, "run", "--db", str(database), "--", sys.executable, program, str(database)],
        cwd=database.parent, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    [run] = stored.runs(database)
    assert (run["uuid"], run["calls"]) == (ended.stdout, 2)
    assert (run["name"], run["description"], run["tags"]) == ("my-name", "my description", '["mine"]')
    assert stored.events(database) == []
    inside = "select child.name, parent.kind from span child join span parent on parent.id = child.parent"
    assert read(database, inside) == [{"name": "train", "kind": "command"}]
