"""`umlaut repeat`: several runs of one command, with one tag."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from tests import support
from tests.commands.conftest import TIMEOUT, UMLAUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Runner
    from tests.support import Rows

COUNTING = 'echo x >> count; test "$(wc -l < count)" -ne 2 || exit 5'
"""Fails the second time."""


def test_runs_have_one_tag(umlaut: Runner, database: Path, rows: Rows) -> None:
    done = umlaut("repeat", "-n", 3, "--db", database, "--tag", "mine", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout) == (0, "out\n" * 3)
    said = re.fullmatch(r"(?:err\n){3}umlaut: 3 runs have the tag (repeat-[0-9a-f]{8})\n", done.stderr)
    assert said
    runs = rows("select uuid, tags, status, name from run")
    assert len({run["uuid"] for run in runs}) == len(runs) == 3
    assert all(json.loads(run["tags"]) == ["mine", said[1]] for run in runs)
    assert {(run["status"], run["name"]) for run in runs} == {("ok", "sh")}
    assert len(rows("select * from span where kind = 'command' and status = 'ok'")) == 3
    listed = umlaut("runs", database, f"tag:{said[1]}", "--json")
    assert len(json.loads(listed.stdout)["runs"]) == 3


def test_the_first_that_fails_is_the_last(umlaut: Runner, database: Path, rows: Rows) -> None:
    done = umlaut("repeat", "-n", 4, "--db", database, "--", "sh", "-c", COUNTING)
    assert done.returncode == 5
    assert "umlaut: 2 runs have the tag" in done.stderr
    assert [run["status"] for run in rows("select status from run order by started")] == ["ok", "error"]


def test_keep_going(umlaut: Runner, database: Path, rows: Rows) -> None:
    done = umlaut("repeat", "-n", 3, "--keep-going", "--db", database, "--", "sh", "-c", COUNTING)
    assert done.returncode == 5
    assert [run["status"] for run in rows("select status from run order by started")] == ["ok", "error", "ok"]


def test_a_signal_ends_all(database: Path, rows: Rows) -> None:
    command = [*UMLAUT, "repeat", "--keep-going", "--db", str(database), "--", "sh", "-c", "echo begun; exec sleep 100"]
    with subprocess.Popen(
        command, env=support.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(TIMEOUT) == -signal.SIGTERM
        assert process.stdout.read() == ""
    assert rows("select ending from process") == [{"ending": "killed by SIGTERM"}]


def test_what_cannot_begin_is_said_once(umlaut: Runner, database: Path) -> None:
    done = umlaut("repeat", "--keep-going", "--db", database, "--", "no-such-command")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "umlaut: no-such-command: command not found\n"
    done = umlaut("repeat", "--keep-going", "--db", "/proc/none/runs.db", "--", "true")
    assert done.returncode == 125
    assert done.stderr.count("umlaut: ") == 1
