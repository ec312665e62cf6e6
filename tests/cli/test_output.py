"""Files that commands write are there whole or not at all; - is standard output."""

from __future__ import annotations

import errno
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.cli.rows import process, run, span

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess

COMMANDS = {"report -o": "</html>", "plot --html": "</html>", "export -f csv -o": "train.py"}


@pytest.fixture
def one(store: Store, database: Path) -> Path:
    store(run(), process(), span("train"))
    return database


def arguments(command: str, database: Path, out: object) -> list[object]:
    name, *options = command.split()
    return [name, database, *options, out]


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output(one: Path, umlaut_process: UmlautProcess, command: str) -> None:
    before = sorted(one.parent.iterdir())
    ended = umlaut_process(*arguments(command, one, "-"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert COMMANDS[command] in ended.stdout
    assert sorted(one.parent.iterdir()) == before


@pytest.mark.parametrize("command", [*COMMANDS, "plot --png"])
def test_a_file_that_cannot_be_finished_leaves_the_one_before_it(
    one: Path, umlaut: Umlaut, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full before the last byte."""
    out = one.with_name("out")
    out.write_text("before")
    before = sorted(one.parent.iterdir())
    real_open = open

    def opened(file: Any, mode: str = "r", *more: Any, **named: Any) -> IO[Any]:
        opened_file: IO[Any] = real_open(file, mode, *more, **named)
        if str(file).startswith(str(out)) and "w" in mode:

            def write(data: Any) -> int:
                type(opened_file).write(opened_file, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")

            opened_file.write = write  # type: ignore[method-assign]
        return opened_file

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("io.open", opened)
    ended = umlaut(*arguments(command, one, out))
    assert ended.exit_code == 1
    assert "out cannot be written: No space left on device" in ended.stderr
    assert out.read_text() == "before"
    assert sorted(one.parent.iterdir()) == before
