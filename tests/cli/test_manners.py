"""What holds for every command: where it finds its database, how it ends, what it loads, what a shell completes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.cli.rows import BEGAN, run
from umlaut_async.cli import main
from umlaut_async.cli.group import Group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess

HEAVY = {"numpy", "pandas", "polars", "pyarrow", "scipy", "plotly", "matplotlib", "questionary", "uniplot"}


@pytest.fixture
def two(store: Store) -> None:
    store(
        run("aaaaaaaa", started=BEGAN, name="train.py", tags=["pr"]),
        run("bbbbbbbb", started=BEGAN + 1, name="serve.py"),
    )


# The database of the environment


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["runs"], "aaaaaaaa"),
        (["runs", "tag:pr"], "aaaaaaaa"),
        (["runs", "--limit", "1", "train.py"], "aaaaaaaa"),
        (["show"], "serve.py bbbbbbbb"),
        (["show", "last~1"], "train.py aaaaaaaa"),
        (["show", "--json", "train.py"], '"aaaaaaaa"'),
        (["tag", "train.py", "new"], "aaaaaaaa pr, new"),
        (["rm", "train.py", "-y"], "removed aaaaaaaa"),
        (["vacuum"], "bytes after"),
    ],
)
def test_the_database_of_the_environment(umlaut: Umlaut, database: Path, arguments: list[str], shown: str) -> None:
    found = umlaut(*arguments, UMLAUT_DB=str(database))
    assert (found.exit_code, found.stderr) == (0, "")
    assert shown in found.stdout


@pytest.mark.usefixtures("two")
def test_a_database_that_is_given_counts_more(
    umlaut: Umlaut, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(tmp_path / "other.db")
    assert "bbbbbbbb" in umlaut("show", database, UMLAUT_DB=other).stdout
    assert "aaaaaaaa" in umlaut("show", database, "train.py", UMLAUT_DB=other).stdout
    without_ending = database.rename(tmp_path / "runs")
    assert "aaaaaaaa" in umlaut("show", without_ending, "train.py", UMLAUT_DB=other).stdout
    assert "aaaaaaaa" in umlaut("show", f"sqlite+aiosqlite:///{without_ending}", "train.py", UMLAUT_DB=other).stdout
    # A script in this folder that has the name of a run is no database.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("pass")
    assert "aaaaaaaa" in umlaut("show", "train.py", UMLAUT_DB=str(without_ending)).stdout
    assert "there is no database" in umlaut("show", "none.db", UMLAUT_DB=str(without_ending)).stderr
    assert "there is no database" in umlaut("show", "train.py", UMLAUT_DB=other).stderr


def test_no_database_at_all(umlaut: Umlaut) -> None:
    for command in ("runs", "show", "vacuum"):
        shown = umlaut(command, UMLAUT_DB="")
        assert (shown.exit_code, shown.stdout) == (2, "")
        expected = "Missing argument 'DB'. Pass the path of a database, or set UMLAUT_DB.\n"
        assert shown.stderr == f"umlaut: {expected}"


def test_commands_without_a_database_do_not_get_one(umlaut: Umlaut) -> None:
    assert umlaut("completion", "bash", UMLAUT_DB="x.db").exit_code == 0
    assert umlaut("show", "--help", UMLAUT_DB="x.db").exit_code == 0
    assert umlaut("fly", UMLAUT_DB="x.db").exit_code == 2


# How commands end


@pytest.mark.usefixtures("two")
def test_a_reader_that_goes_away(database: Path) -> None:
    command = f"{sys.executable} -m umlaut_async runs {database} --json; echo $? >&2"
    ended = subprocess.run(
        ["bash", "-c", f"({command}) | true"], env=support.environment(), capture_output=True, text=True, check=True
    )
    assert ended.stderr in ("0\n", "1\n")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("as_json", ["", "--json"])
def test_a_full_disk(database: Path, as_json: str) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m umlaut_async runs {database} {as_json} > /dev/full"],
        env=support.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "umlaut: No space left on device\n")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("command", ["runs", "show", "export -f csv"])
def test_a_closed_output(database: Path, command: str) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m umlaut_async {command} {database} >&-"],
        env=support.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "umlaut: Bad file descriptor\n")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("command", ["show", "plot", "runs", "tag"])
def test_a_selector_without_letters_names_no_run(umlaut: Umlaut, database: Path, command: str) -> None:
    """What a shell makes of a variable that is not set is not the newest run."""
    refused = umlaut(command, database, "")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "'' names no run" in refused.stderr


def test_a_fault_of_ours_is_one_line_too(umlaut: Umlaut, monkeypatch: pytest.MonkeyPatch) -> None:
    @main.command()
    def faulty() -> None:
        raise ZeroDivisionError("no\nnumber")

    try:
        shown = umlaut("faulty")
        assert (shown.exit_code, shown.stdout) == (1, "")
        message = "this is a fault of umlaut, ZeroDivisionError: no number; UMLAUT_TRACEBACK=1 shows where it is"
        assert shown.stderr == f"umlaut: {message}\n"
        monkeypatch.setenv("UMLAUT_TRACEBACK", "1")
        assert isinstance(umlaut("faulty").exception, ZeroDivisionError)
    finally:
        del main.commands["faulty"]


# What commands load


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("command", ["runs", "show"])
def test_a_command_loads_only_what_it_needs(database: Path, command: str) -> None:
    script = (
        "import sys\nfrom umlaut_async.cli import main\n"
        f"main(['{command}', {str(database)!r}], standalone_mode=False)\nprint(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env=support.environment(), capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in ended.stderr.split()} & HEAVY == set()


# What a shell completes


def completed(umlaut_process: UmlautProcess, words: str, **environment: str) -> list[str]:
    shown = umlaut_process(
        _UMLAUT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1), **environment
    )
    assert shown.stderr == ""
    return shown.stdout.splitlines()


@pytest.mark.usefixtures("two")
def test_a_shell_completes_commands_databases_and_runs(umlaut_process: UmlautProcess, database: Path) -> None:
    assert "plain,vacuum" in completed(umlaut_process, "umlaut va")
    assert completed(umlaut_process, "umlaut show ru") == ["file,ru"]
    offered = completed(umlaut_process, f"umlaut show {database} ")
    assert offered == ["plain,last", "plain,tag:gpu", "plain,tag:night", "plain,serve.py", "plain,bbbbbbbb",
                       "plain,tag:pr", "plain,train.py", "plain,aaaaaaaa"]  # fmt: skip
    assert completed(umlaut_process, f"umlaut show {database} last,tr") == ["plain,last,train.py"]
    assert completed(umlaut_process, "umlaut show tr", UMLAUT_DB=str(database)) == ["plain,train.py"]
    assert completed(umlaut_process, "umlaut show none.db ") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(umlaut: Umlaut, shell: str) -> None:
    shown = umlaut("completion", shell)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "_UMLAUT_COMPLETE" in shown.stdout


def test_every_command_says_what_it_does(umlaut: Umlaut) -> None:
    assert isinstance(main, Group)
    for name, command in main.commands.items():
        assert (command.help or "").strip(), name
        shown = umlaut(name, "--help")
        assert (shown.exit_code, shown.stderr) == (0, "")
