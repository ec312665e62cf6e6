"""`umlaut import` and `umlaut export`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

from tests import support
from tests.cli.rows import BEGAN, event, process, result, run, span
from tests.legacy import old_databases as old
from umlaut_async.legacy.reading import read, runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess


def test_import(tmp_path: Path, umlaut: Umlaut, database: Path) -> None:
    path = old.make(tmp_path / "old.db", "pickled", [*old.rows("pickled"), old.Row("loss", b"cos\nsystem\n.")])
    shown = umlaut("import", path, database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.splitlines() == [
        f"1 run with 17 measurements imported into {database}.",
        f"1 measurement could not be read; events in {database} name them.",
        "2 numbers of latency and throughput were stored under each other's names; see --fix-swapped.",
    ]
    assert len([*read(database)]) == 17
    assert umlaut("show", database).exit_code == 0


def test_import_and_fix(tmp_path: Path, umlaut: Umlaut, database: Path) -> None:
    path = old.make(tmp_path / "old.db", "pickled", [old.Row("latency", old.stored("pickled", "latency", 5.0))])
    shown = umlaut("import", path, database, "--fix-swapped")
    assert (shown.exit_code, shown.stdout) == (0, f"1 run with 1 measurement imported into {database}.\n")
    assert [each.measurement_type for each in read(database)] == ["throughput"]


def test_export(tmp_path: Path, store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run(), process(), span("train"), result("time", "sec", 1.5), event("drop", "lost"))
    out = tmp_path / "out.db"
    shown = umlaut("export", database, "--format", "umlaut", out)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.splitlines() == [
        f"1 run with 1 measurement exported to {out}.",
        "Without a place in this format: 1 call, 1 event, tags, environments, provenances.",
    ]
    assert [each.measurement_data for each in read(out)] == [1.5]


def test_export_of_one_run(tmp_path: Path, store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run("aaaa-1"), run("bbbb-2", started=BEGAN + 1))
    out = tmp_path / "out.db"
    assert umlaut("export", database, "bb", "-f", "umlaut", "-o", out).exit_code == 0
    assert [each.uuid for each in runs(out)] == ["bbbb-2"]
    assert umlaut("export", database, "-f", "umlaut", "-o", tmp_path / "all.db").exit_code == 0
    assert len(runs(tmp_path / "all.db")) == 2
    shown = umlaut("export", database, "cc", "-f", "umlaut", "-o", tmp_path / "none.db")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "cc" in shown.stderr
    assert not (tmp_path / "none.db").exists()


def test_failures_are_one_line(tmp_path: Path, written: Path, umlaut_process: UmlautProcess) -> None:
    path = old.make(tmp_path / "old.db", "json", [])
    (tmp_path / "text.db").write_text("no database " * 100)
    for code, words, *arguments in (
        (1, "not an SQLite database", "import", tmp_path / "text.db", tmp_path / "new.db"),
        (1, "there is no database", "import", tmp_path / "none.db", tmp_path / "new.db"),
        (1, "already", "import", written, tmp_path / "new.db"),
        (1, "umlaut import", "export", path, "-f", "umlaut", tmp_path / "new.db"),
        (1, "exists already", "export", written, "-f", "umlaut", path),
        (2, "say where to write to", "export", written, "-f", "umlaut"),
        (2, "--format", "export", written, tmp_path / "new.db"),
    ):
        shown = umlaut_process(*arguments)
        assert (shown.returncode, shown.stdout) == (code, "")
        (line,) = shown.stderr.splitlines()
        assert line.startswith("umlaut: ")
        assert str(words) in line
    assert not (tmp_path / "new.db").exists()


def test_a_progress_bar_on_a_terminal(tmp_path: Path, database: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", [old.Row("loss", "[1]") for _ in range(2000)])
    ours, terminal = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "umlaut_async", "import", str(path), str(database)],
            env=support.environment() | {"TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            timeout=30,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (
            0,
            f"1 run with 2,000 measurements imported into {database}.\n".encode(),
        )
        assert b"importing" in os.read(ours, 100_000)
    finally:
        os.close(ours)
        os.close(terminal)
