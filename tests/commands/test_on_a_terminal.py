"""A command on a terminal, with job control: what is typed and shown is the same with `umlaut run` and without it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
import warnings
from typing import TYPE_CHECKING

from tests import support
from tests.commands.conftest import UMLAUT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    status = os.waitpid(job, os.WUNTRACED)[1]
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    print("stopped by", os.WSTOPSIG(status), flush=True)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
"""Does what a shell does with a job in the foreground, and lets it go on whenever it has stopped."""

PROGRAM = """
import os, signal
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
signal.signal(signal.SIGINT, lambda *_: say("interrupted"))
signal.signal(signal.SIGWINCH, lambda *_: say("resized to", os.get_terminal_size().columns))
signal.signal(signal.SIGCONT, lambda *_: say("goes on"))
say("terminal", *(os.isatty(stream) for stream in range(3)), os.tcgetpgrp(0) == os.getpgrp())
while True:
    line = os.read(0, 100).decode().strip()
    say("got", line) if line else say("end of input")
"""

DIALOGUE: list[tuple[str, str | None]] = [
    ("terminal True True True True", "words\n"),
    ("got words", "\x03"),
    ("interrupted", "\x1a"),
    ("goes on", "more\n"),
    ("got more", "\x04"),
    ("end of input", None),
    ("resized to 70", "\x1c"),
    ("ended -3", ""),
]
"""What is waited for, and what is typed then: Ctrl-C, Ctrl-Z, Ctrl-D, and Ctrl-\\; None changes the size."""


def test_a_dialogue(database: Path) -> None:
    program = [sys.executable, "-c", PROGRAM]
    without = talk([sys.executable, "-c", SHELL, *program], DIALOGUE)
    under = talk([sys.executable, "-c", SHELL, *UMLAUT, "run", "--db", str(database), "--", *program], DIALOGUE)
    assert "stopped by 20" in under
    assert "interrupted" in under
    # Who writes first when a job goes on is up to the kernel.
    assert sorted(under) == sorted(without)
    assert support.read(database, "select ending from process") == [{"ending": "killed by SIGQUIT"}]


def test_repeat_says_how_far_it_is(database: Path) -> None:
    command = f"{' '.join(UMLAUT)} repeat -n 2 --db {database} -- echo out; echo over"
    shown = talk(["/bin/sh", "-c", command], [("over", "")])
    lines = [line.split() for line in shown if line]
    assert [line[:5] for line in lines if line[0] == "umlaut:"] == [
        ["umlaut:", "run", "1", "of", "2"],
        ["umlaut:", "run", "2", "of", "2"],
        ["umlaut:", "2", "runs", "have", "the"],
    ]
    assert [line for line in lines if line[0] == "out"] == [["out"]] * 2


def talk(command: Sequence[str], dialogue: Sequence[tuple[str, str | None]]) -> list[str]:
    """Run a command on a terminal of its own; return the lines that were shown."""
    with warnings.catch_warnings():
        # Since 3.12 a fork beside threads warns; this child becomes another program at once.
        warnings.simplefilter("ignore", DeprecationWarning)
        child, terminal = pty.fork()
    if child == 0:
        os.execve(command[0], [*command], support.environment() | {"TERM": "dumb", "COLUMNS": "100"})
    attributes = termios.tcgetattr(terminal)
    # What is typed is not shown, and what was shown is not thrown away for it.
    attributes[3] = attributes[3] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    shown = ""
    deadline = time.monotonic() + 50
    seen, end = 0, "\r\n"
    try:
        for wanted, typed in dialogue:
            while f"{wanted}{end}" not in shown[seen:]:
                assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], (wanted, shown)
                shown += os.read(terminal, 4096).decode()
            seen = shown.index(wanted, seen) + len(wanted)
            if typed is None:
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
            else:
                os.write(terminal, typed.encode())
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    return [line.strip() for line in shown.replace("\r", "").split("\n")]
