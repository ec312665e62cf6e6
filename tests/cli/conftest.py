"""Databases made by hand, and the command line in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from click.testing import CliRunner, Result

from tests import support
from umlaut_async.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from umlaut_async.store.models import Base


class Umlaut(Protocol):
    """The fixture `umlaut`."""

    def __call__(self, *arguments: object, **environment: str) -> Result:
        """Run a command in this process."""
        ...


class UmlautProcess(Protocol):
    """The fixture `umlaut_process`."""

    def __call__(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own."""
        ...


class Store(Protocol):
    """The fixture `store`."""

    def __call__(self, *rows: Base) -> None:
        """Add rows to the database."""
        ...


@pytest.fixture
def store(database: Path) -> Store:
    """Return a function that adds rows to the database, which it makes at first."""

    def add(*rows: Base) -> None:
        with support.filling(database) as session:
            session.add_all(rows)

    return add


@pytest.fixture
def umlaut() -> Umlaut:
    """Return a function that runs a command in this process."""

    def run(*arguments: object, **environment: str) -> Result:
        return CliRunner(env={"NO_COLOR": None, "FORCE_COLOR": None, **environment}).invoke(
            main, [str(argument) for argument in arguments], prog_name="umlaut"
        )

    return run


@pytest.fixture
def umlaut_process(tmp_path: Path) -> UmlautProcess:
    """Return a function that runs a command in a process of its own."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited: dict[str, Any] = support.environment()
        return subprocess.run(
            [sys.executable, "-m", "umlaut_async", *map(str, arguments)],
            cwd=tmp_path,
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )

    return run
