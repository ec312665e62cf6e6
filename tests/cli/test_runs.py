"""`umlaut runs`, and how every command fails."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.rows import BEGAN, SECOND, run
from umlaut_async import __version__
from umlaut_async.cli.text import moment

if TYPE_CHECKING:
    from pathlib import Path

    from tests import support
    from tests.cli.conftest import Store, Umlaut, UmlautProcess


def test_one_line_for_each_run_the_newest_first(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(
        run("aaaaaaaa-1"),
        run("bbbbbbbb-2", started=BEGAN + 2 * SECOND, ended=None, status="running", tags=[], description=""),
        run("cccccccc-3", started=BEGAN + SECOND, ended=BEGAN + 1.5 * SECOND, status="lost"),
    )
    shown = umlaut("runs", database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    heading, _, *lines = (re.split(r"\s{2,}", line.strip()) for line in shown.stdout.splitlines() if line.strip())
    assert heading == ["run", "name", "description", "started", "time", "status", "tags"]
    assert lines == [
        ["bbbbbbbb", "train.py", moment(BEGAN + 2 * SECOND), "–", "running"],  # noqa: RUF001
        ["cccccccc", "train.py", "about it", moment(BEGAN + SECOND), "500 ms", "lost", "gpu, night"],
        ["aaaaaaaa", "train.py", "about it", moment(BEGAN), "1 min 30 s", "ok", "gpu, night"],
    ]


def test_json(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run("aaaaaaaa-1"), run("bbbbbbbb-2", started=BEGAN + 1, ended=None, status="running", tags=[]))
    shown = umlaut("runs", database, "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == {
        "schema": 1,
        "runs": [
            {
                "uuid": "bbbbbbbb-2",
                "name": "train.py",
                "description": "about it",
                "tags": [],
                "started": BEGAN + 1,
                "ended": None,
                "status": "running",
            },
            {
                "uuid": "aaaaaaaa-1",
                "name": "train.py",
                "description": "about it",
                "tags": ["gpu", "night"],
                "started": BEGAN,
                "ended": BEGAN + 90 * SECOND,
                "status": "ok",
            },
        ],
    }


def test_no_runs_yet(store: Store, umlaut: Umlaut, database: Path) -> None:
    store()
    assert umlaut("runs", database).stdout == "There are no runs yet.\n"
    assert json.loads(umlaut("runs", database, "--json").stdout) == {"schema": 1, "runs": []}
    shown = umlaut("show", database)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "umlaut: this database has no runs yet\n"


def test_a_pipe_cuts_nothing(store: Store, umlaut_process: UmlautProcess, database: Path) -> None:
    store(run(name="n" * 150, description="d" * 150, tags=["t" * 150]))
    shown = umlaut_process("runs", database)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(letter * 150 in shown.stdout for letter in "ndt")
    assert "\x1b" not in shown.stdout


def test_colours_only_where_they_are_wanted(store: Store, umlaut_process: UmlautProcess, database: Path) -> None:
    store(run())
    forced = {"FORCE_COLOR": "1", "TERM": "xterm"}
    assert "\x1b[32mok" in umlaut_process("runs", database, **forced).stdout
    assert "\x1b[3" not in umlaut_process("runs", database, **forced, NO_COLOR="1").stdout


def test_a_terminal_that_knows_only_ascii(store: Store, umlaut_process: UmlautProcess, database: Path) -> None:
    store(run(description="数字", ended=BEGAN + 5_000))
    shown = umlaut_process("runs", database, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"train\.py *\| *\?\? .*\b5 \?s", shown.stdout)


# How commands fail


def one_line(stderr: str) -> str:
    """Return the message of a failure, which must be one line."""
    assert stderr.startswith("umlaut: ")
    assert stderr.count("\n") == 1
    assert "Traceback" not in stderr
    return stderr.removeprefix("umlaut: ").rstrip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs"], "Missing argument 'DB'."),
        (["show"], "Missing argument 'DB'."),
        (["runs", "DB", "run", "more"], "Got unexpected extra argument (more)"),
        (["show", "DB", "run", "more"], "Got unexpected extra argument (more)"),
        (["runs", "DB", "--jason"], "No such option '--jason'"),
        (["fly"], "No such command 'fly'."),
        (["--fly"], "No such option"),
    ],
)
def test_a_usage_that_cannot_be(umlaut: Umlaut, arguments: list[str], message: str) -> None:
    shown = umlaut(*arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert message in one_line(shown.stderr).replace("No such option: --", "No such option '--")


@pytest.mark.parametrize("command", ["runs", "show"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
class TestFiles:
    """Files that are no database of ours."""

    def refused(self, shown: Any) -> str:
        assert (shown.exit_code, shown.stdout) == (1, "")
        return one_line(shown.stderr)

    def test_missing(self, umlaut: Umlaut, tmp_path: Path, command: str, as_json: list[str]) -> None:
        assert "there is no database" in self.refused(umlaut(command, tmp_path / "none.db", *as_json))
        assert not (tmp_path / "none.db").exists()

    def test_directory(self, umlaut: Umlaut, tmp_path: Path, command: str, as_json: list[str]) -> None:
        assert "directory" in self.refused(umlaut(command, tmp_path, *as_json))

    def test_text(self, umlaut: Umlaut, database: Path, command: str, as_json: list[str]) -> None:
        database.write_text("this is no database" * 1000)
        assert "not an SQLite database" in self.refused(umlaut(command, database, *as_json))

    def test_of_another_application(self, umlaut: Umlaut, database: Path, command: str, as_json: list[str]) -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("create table bookmark (url)")
        assert "another application" in self.refused(umlaut(command, database, *as_json))

    def test_memory(self, umlaut: Umlaut, command: str, as_json: list[str]) -> None:
        self.refused(umlaut(command, ":memory:", *as_json))

    def test_server(self, umlaut: Umlaut, command: str, as_json: list[str]) -> None:
        url = "postgresql+asyncpg://user:secret@host/runs"
        assert "secret" not in self.refused(umlaut(command, url, *as_json))

    def test_truncated(self, store: Store, umlaut: Umlaut, database: Path, command: str, as_json: list[str]) -> None:
        store(*(run(f"{number:08}", description="x" * 500) for number in range(200)))
        whole = database.read_bytes()
        for kept in (100, 1000, 4096, len(whole) // 2, len(whole) - 4096):
            database.write_bytes(whole[:kept])
            self.refused(umlaut(command, database, *as_json))

    def test_damaged(self, store: Store, umlaut: Umlaut, database: Path, command: str, as_json: list[str]) -> None:
        store(*(run(f"{number:08}", description="x" * 500) for number in range(200)))
        whole = bytearray(database.read_bytes())
        for page in range(4096, len(whole), 4096):
            whole[page : page + 16] = b"\xff" * 16
        database.write_bytes(whole)
        self.refused(umlaut(command, database, *as_json))

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("tags", "no JSON"),
            ("tags", "[" * 100_000),
            ("tags", "5"),
            ("started", "yesterday"),
            ("started", None),
            ("ended", b"\x00\xff"),
            ("name", b"\x00\xff"),
            ("name", 5),
        ],
    )
    def test_values_that_we_do_not_write(
        self, store: Store, umlaut: Umlaut, database: Path, command: str, as_json: list[str], column: str, value: object
    ) -> None:
        store(run())
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("pragma writable_schema = on")
            connection.execute("update sqlite_master set sql = replace(sql, 'NOT NULL', '')")
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute(f"update run set {column} = ?", (value,))
        shown = umlaut(command, database, *as_json)
        assert shown.exit_code in (0, 1)
        if shown.exit_code == 1:
            self.refused(shown)


def test_a_view_in_place_of_a_table_runs_nothing(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run())
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("alter table run rename to hidden")
        connection.execute("create view run as select load_extension('/tmp/evil') as uuid, * from hidden")
    shown = umlaut("runs", database)
    assert shown.exit_code == 1
    one_line(shown.stderr)


# The program itself


def test_help(umlaut: Umlaut) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = umlaut(*arguments)
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert "runs" in shown.stdout
        assert "show" in shown.stdout
    assert "RUN is the beginning of its uuid" in umlaut("show", "--help").stdout


def test_version(umlaut_process: UmlautProcess) -> None:
    shown = umlaut_process("--version")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"umlaut, version {__version__}\n", "")


def test_a_failure_of_the_process(umlaut_process: UmlautProcess) -> None:
    shown = umlaut_process("runs", "none.db")
    assert (shown.returncode, shown.stdout) == (1, "")
    one_line(shown.stderr)
    shown = umlaut_process("runs")
    assert (shown.returncode, shown.stdout) == (2, "")
    one_line(shown.stderr)


def test_heavy_modules_are_imported_where_they_are_used(run_script: support.RunScript) -> None:
    ended = run_script(
        "import sys\n"
        "import umlaut_async.cli\n"
        "print(sorted(sys.modules.keys() & {'sqlalchemy', 'rich', 'numpy', 'psutil', 'msgspec'}))\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")
