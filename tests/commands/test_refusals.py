"""Commands that `umlaut run` does not begin, and what it says then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import support

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Runner
    from tests.support import Rows


@pytest.mark.parametrize("command", ["run", "repeat"])
def test_no_command(umlaut: Runner, command: str) -> None:
    for arguments in ([], ["--"]):
        done = umlaut(command, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "umlaut: Missing argument 'COMMAND...'.\n"


def test_commands_that_cannot_be_executed(run: Runner, plain: Runner, tmp_path: Path, database: Path) -> None:
    """The codes are those of a shell, and no run is made."""
    (tmp_path / "file").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    said = {
        "no-such-command": "umlaut: no-such-command: command not found\n",
        "./none": "umlaut: ./none: No such file or directory\n",
        "./file/none": "umlaut: ./file/none: No such file or directory\n",
        "./dangling": "umlaut: ./dangling: No such file or directory\n",
        "./file": "umlaut: ./file: Permission denied\n",
        "./folder": "umlaut: ./folder: Is a directory\n",
    }
    for command, message in said.items():
        done = run(command)
        shell = plain("sh", "-c", '"$0"', command)
        expected = 127 if command == "./file/none" else shell.returncode
        assert (done.returncode, done.stdout, done.stderr) == (expected, "", message)
        assert done.returncode in (126, 127)
    assert not database.exists()


def test_a_script_whose_interpreter_is_missing(run: Runner, tmp_path: Path, rows: Rows) -> None:
    """This shows when the command is to begin: the run says what became of it."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = run("./script")
    assert (done.returncode, done.stderr) == (127, "umlaut: ./script: No such file or directory\n")
    assert rows("select status from run") == [{"status": "error"}]
    assert rows("select ending from process") == [{"ending": "could not be executed"}]


@pytest.mark.parametrize("command", ["run", "repeat"])
def test_a_database_that_cannot_be_used(umlaut: Runner, tmp_path: Path, command: str) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "text.db").write_text("this is no database, but a text of some length")
    (tmp_path / "folder").mkdir()
    for place in (
        "/proc/none/runs.db",
        tmp_path / "text.db",
        tmp_path / "folder",
        "postgresql+asyncpg://x@127.0.0.1:1/x",
    ):
        done = umlaut(command, "--db", place, "--", "touch", mark)
        assert done.returncode == 125
        line = done.stderr.splitlines()[0]
        assert line.startswith("umlaut: ")
        assert line.endswith("; the command was not begun")
        assert not mark.exists()


def test_options_that_cannot_be(umlaut: Runner, tmp_path: Path) -> None:
    for options in (["--interval", "0"], ["--interval", "nan"], ["--interval", "x"], ["--no-such"]):
        done = umlaut("run", *options, "--", "touch", "mark")
        assert (done.returncode, done.stdout) == (2, "")
    for options in (["-n", "0"], ["-n", "x"]):
        assert umlaut("repeat", *options, "--", "touch", "mark").returncode == 2
    assert [*tmp_path.iterdir()] == []


def test_the_database_of_the_environment(umlaut: Runner, tmp_path: Path, database: Path) -> None:
    assert umlaut("run", "true", env=support.environment() | {"UMLAUT_DB": str(database)}).returncode == 0
    assert database.exists()
    environment = support.environment()
    environment.pop("UMLAUT_DB", None)
    assert umlaut("run", "true", env=environment).returncode == 0
    assert (tmp_path / "umlaut.db").exists()
