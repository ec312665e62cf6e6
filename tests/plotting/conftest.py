"""Databases with every type of measurement, and `umlaut-cli` in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from tests import support
from tests.plotting import databases
from umlaut_async.compat.command import main
from umlaut_async.compat.plotting.shapes import Read, contents
from umlaut_async.legacy import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("ours", "last", "first")


class Ended(NamedTuple):
    """What a command said."""

    code: object
    out: str
    err: str


class Cli(Protocol):
    """The fixture `cli`."""

    def __call__(self, *arguments: object) -> Ended:
        """Run the command in this process, where no terminal is."""
        ...


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a database of ours, and one of the last and the first form of UMLAUT."""
    folder = tmp_path_factory.mktemp("databases")
    paths = {name: folder / f"{name}.db" for name in NAMES}

    async def write() -> None:
        await databases.write_ours(paths["ours"])

    support.run_elsewhere(write)
    databases.write_last_form(paths["last"])
    databases.write_first_form(paths["first"])
    return paths


@pytest.fixture(scope="session")
def read(stored: dict[str, Path]) -> Callable[[str, str], list[Read]]:
    """Return a function that gives the measurements of a type in one of the databases."""
    everything = {name: contents(reading.read(path)) for name, path in stored.items()}
    return lambda name, measure_type: [each for each in everything[name] if each[0].measurement_type == measure_type]


@pytest.fixture
def everything(stored: dict[str, Path]) -> Callable[[str], list[str]]:
    """Return a function that gives the arguments which ask for all measurements of a database."""
    found = {name: list(reading.read(path)) for name, path in stored.items()}

    def arguments(name: str) -> list[str]:
        return [
            str(stored[name]),
            "-u", *{measured.uuid for measured in found[name]},
            "-t", *{measured.measurement_type for measured in found[name]},
            "-d", *{measured.measurement_description for measured in found[name]},
        ]  # fmt: skip

    return arguments


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a function that runs `umlaut-cli`."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return Ended(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
