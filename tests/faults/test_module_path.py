"""A collector process finds what it needs where the measured process has found it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.collector.test_modules import bare_python as bare_python
from tests.collector.test_modules import pytestmark as pytestmark
from tests.collector.test_modules import target as target
from tests.faults import stored
from tests.faults.conftest import PROGRAMS

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_that_was_extended_at_run_time(database: Path, bare_python: str, target: Path) -> None:
    ended = subprocess.run(
        [bare_python, str(PROGRAMS / "module_path.py"), str(database), str(target)],
        cwd=database.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    [run] = stored.runs(database)
    assert (run["status"], run["calls"]) == ("ok", 1)
    assert json.loads(run["collector"])["mode"] == "process"
