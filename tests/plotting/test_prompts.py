"""`umlaut-cli` in a real terminal: what is missing is asked for."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.plotting.databases import OLD_UUID
from tests.plotting.test_command import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOWN, SPACE, ENTER, INTERRUPT = b"\x1b[B", b" ", b"\r", b"\x03"
PATIENCE = 30


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, arguments)],
            env=support.environment() | {"TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = b""

    def wait_for(self, text: str) -> None:
        """Read until a text is shown that was not before."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown.decode(errors="replace")
            assert self._read(), self.shown.decode(errors="replace")
        self.shown = self.shown.partition(text.encode())[2]

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1)[0]:
            return True
        try:
            found = os.read(self._ours, 65536)
        except OSError:  # the other side is closed
            return False
        self.shown += found
        if b"\x1b[6n" in found:
            self.press(b"\x1b[20;1R")  # where the cursor is, as every terminal answers
        return bool(found)

    def press(self, *keys: bytes) -> None:
        """Press keys."""
        for key in keys:
            os.write(self._ours, key)

    def end(self) -> int:
        """Return the exit code at the end."""
        deadline = time.monotonic() + PATIENCE
        while self._read() and time.monotonic() < deadline:
            pass
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End the process if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[list[Terminal]]:
    """Yield a list that closes what is put into it."""
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.close()


def test_all_that_is_missing_is_asked_for(terminal: list[Terminal], stored: dict[str, Path], tmp_path: Path) -> None:
    shell = Terminal(stored["last"], "-p", "csv", "-o", tmp_path)
    terminal.append(shell)
    shell.wait_for("Which runs?")
    shell.wait_for(f"{OLD_UUID[:8]} old.py from 2024-11-05 09:30:00: old runs")
    shell.press(ENTER)
    shell.wait_for("Choose at least one")
    shell.press(SPACE, ENTER)
    shell.wait_for("Which types of measurement?")
    shell.wait_for(f"In run {OLD_UUID}")
    shell.press(SPACE, DOWN, SPACE, ENTER)
    shell.wait_for("Which descriptions?")
    shell.wait_for("Of the type confusion-matrix")
    shell.press(SPACE, DOWN, SPACE, ENTER)
    assert shell.end() == 0
    text = (tmp_path / "last.csv").read_text()
    assert {line.split(",")[3] for line in text.splitlines()[1:]} == {"confusion-matrix", "cpu"}


def test_only_what_is_missing_is_asked_for(terminal: list[Terminal], stored: dict[str, Path], tmp_path: Path) -> None:
    shell = Terminal(stored["first"], "-t", "latency", "time", "-u", OLD_UUID, "-p", "csv", "-o", tmp_path)
    terminal.append(shell)
    shell.wait_for("Which descriptions?")
    shell.press(DOWN, SPACE, ENTER)
    assert shell.end() == 0
    text = (tmp_path / "first.csv").read_text()
    assert {line.split(",")[3] for line in text.splitlines()[1:]} == {"time"}


def test_ctrl_c_ends_it(terminal: list[Terminal], stored: dict[str, Path]) -> None:
    shell = Terminal(stored["last"], "-p", "csv")
    terminal.append(shell)
    shell.wait_for("Which runs?")
    shell.press(INTERRUPT)
    assert shell.end() == 130
    assert b"Traceback" not in shell.shown


def test_a_terminal_is_told_what_lacks_before_anything_is_asked(terminal: list[Terminal], tmp_path: Path) -> None:
    shell = Terminal(tmp_path / "missing.db", "-p", "text")
    terminal.append(shell)
    assert shell.end() == 1
    assert b"there is no database" in shell.shown
