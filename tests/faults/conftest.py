"""What the tests of faults share: running one of the programs, and reading what it has stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests import support

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = Path(__file__).parent / "programs"


class RunProgram(Protocol):
    """The fixture `run_program`."""

    def __call__(
        self, name: str, *arguments: object, timeout: float = 60, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this folder to its end, with an empty folder as its working directory."""
        ...


@pytest.fixture
def run_program(tmp_path: Path) -> RunProgram:
    """Return a function that runs one of the programs to its end."""

    def run(
        name: str, *arguments: object, timeout: float = 60, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, arguments)],
            cwd=tmp_path,
            env=support.environment() | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
