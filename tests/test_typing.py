"""The decorator keeps the static type of each kind of stage."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT, environment


def test_mypy_finds_the_types_that_the_cases_state() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "tests/typing_cases.py"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
