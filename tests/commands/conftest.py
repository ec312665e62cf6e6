"""Commands run as they are, and under `umlaut run`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests import support

if TYPE_CHECKING:
    from pathlib import Path

UMLAUT = [sys.executable, "-m", "umlaut_async"]
TIMEOUT = 50


class Runner(Protocol):
    """The fixtures `plain`, `run` and `umlaut`."""

    def __call__(self, *arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        ...


def _runner(folder: Path, *before: str) -> Runner:
    def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        given: dict[str, Any] = {"env": support.environment()} | settings
        if "input" not in given:
            given["stdin"] = subprocess.DEVNULL
        return subprocess.run(
            [*before, *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            **given,
        )

    return run


@pytest.fixture
def plain(tmp_path: Path) -> Runner:
    """Return what runs a command as it is."""
    return _runner(tmp_path)


@pytest.fixture
def run(tmp_path: Path, database: Path) -> Runner:
    """Return what runs a command under `umlaut run`."""
    return _runner(tmp_path, *UMLAUT, "run", "--db", str(database), "--")


@pytest.fixture
def umlaut(tmp_path: Path) -> Runner:
    """Return what runs `umlaut`."""
    return _runner(tmp_path, *UMLAUT)
