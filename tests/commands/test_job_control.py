"""Job control in both directions: `umlaut run` stops and goes on with its command, whoever of them is told to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from tests import support
from tests.commands.conftest import TIMEOUT, UMLAUT
from tests.commands.test_on_a_terminal import talk
from tests.commands.test_passing_through import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support import Rows

COMMAND = """
import os, signal, sys
os.set_blocking(0, True)
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
signal.signal(signal.SIGCONT, lambda *_: say("goes on"))
signal.signal(signal.SIGWINCH, lambda *_: say("still here"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
say(os.getpid())
while True:
    signal.pause()
"""
"""Says its pid, and whenever it goes on; ends with 7 when it is asked to."""

STOPS = [
    (signal.SIGSTOP, "command"),
    (signal.SIGTSTP, "command"),
    (signal.SIGTTIN, "command"),
    (signal.SIGTTOU, "command"),
    (signal.SIGTSTP, "umlaut"),
    (signal.SIGTSTP, "group"),
    (signal.SIGSTOP, "group"),
    (signal.SIGTTIN, "group"),
]
WHO = ["command", "umlaut", "group"]


class Job(NamedTuple):
    """`umlaut run` and its command."""

    umlaut: subprocess.Popen[str]
    command: int

    def send(self, number: int, to: str) -> None:
        """Send a signal to one of them, or to both as the group that they are."""
        if to == "group":
            os.killpg(self.umlaut.pid, number)
        else:
            os.kill(self.command if to == "command" else self.umlaut.pid, number)

    @property
    def states(self) -> set[str]:
        """The letters of their states; those that run or sleep are one."""
        return {"T" if state_of(pid) == "T" else "R" for pid in (self.umlaut.pid, self.command)}

    def go_on(self, who: str) -> bool:
        """Let one of them, or both, go on; return whether both do."""
        self.send(signal.SIGCONT, who)
        return self.states == {"R"}

    def end(self) -> None:
        """End the command, and with it all."""
        self.send(signal.SIGTERM, "umlaut")
        assert self.umlaut.wait(TIMEOUT) == 7

    def said(self) -> str:
        """Return the next line of the command."""
        assert self.umlaut.stdout is not None
        return self.umlaut.stdout.readline().strip()


@contextmanager
def running(database: Path, program: str = COMMAND, before: Sequence[str] = ("run",)) -> Iterator[Job]:
    """Yield a program under `umlaut run`, or some other of its commands; it is killed in the end, with all of them."""
    umlaut = [*UMLAUT, *before, "--db", str(database), "--", sys.executable, "-c", program]
    with subprocess.Popen(
        umlaut, env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, process_group=0,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            job = Job(process, int(process.stdout.readline()))
            yield job
            assert process.poll() is not None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def job(database: Path) -> Iterator[Job]:
    """Yield a command under `umlaut run`."""
    with running(database) as job:
        yield job


def check_that_both_run(job: Job) -> None:
    """Check that the command has gone on once, and that it still gets what is sent to `umlaut run`."""
    support.until(lambda: job.states == {"R"})
    # Of the signals that wait, it is the last one that is passed on.
    job.send(signal.SIGWINCH, "umlaut")
    assert [job.said(), job.said()] == ["goes on", "still here"]
    assert job.states == {"R"}


@pytest.mark.parametrize("continued", WHO)
def test_both_stop_and_both_go_on(job: Job, continued: str, rows: Rows) -> None:
    # In both orders: what one step leaves behind must not change the next.
    for number, stopped in (*STOPS, *reversed(STOPS)):
        job.send(number, stopped)
        seen = os.waitid(os.P_PID, job.umlaut.pid, os.WSTOPPED)
        assert seen is not None
        assert seen.si_status == number, (number, stopped)
        support.until(lambda: job.states == {"T"})
        job.send(signal.SIGCONT, continued)
        check_that_both_run(job)
    job.end()
    assert rows("select status, ending from process join run") == [{"status": "error", "ending": "exited with code 7"}]


@pytest.mark.parametrize("continued", WHO)
def test_both_go_on_also_at_once(job: Job, continued: str) -> None:
    for _ in range(5):
        for number, stopped in STOPS:
            job.send(number, stopped)
            job.send(signal.SIGCONT, continued)
        # The kernel takes back what comes just before the other, so the last word is said once more.
        support.until(lambda: job.go_on(continued))
        job.send(signal.SIGWINCH, "umlaut")
        support.until(lambda: job.said() == "still here")
    job.end()


@pytest.mark.parametrize("stopped", ["command", "group"])
def test_it_ends_with_a_command_that_is_killed_while_both_are_stopped(job: Job, stopped: str, rows: Rows) -> None:
    job.send(signal.SIGSTOP, stopped)
    support.until(lambda: job.states == {"T"})
    job.send(signal.SIGKILL, "command")
    assert job.umlaut.wait(TIMEOUT) == -signal.SIGKILL
    assert rows("select ending from process") == [{"ending": "killed by SIGKILL"}]


@pytest.mark.parametrize("stops", [False, True], ids=["running", "stopped"])
def test_what_is_beside_it_ends_with_it(job: Job, stops: bool) -> None:
    beside = {child.pid for child in psutil.Process(job.umlaut.pid).children(recursive=True)} - {job.command}
    assert len(beside) >= 2
    if stops:
        job.send(signal.SIGSTOP, "group")
        support.until(lambda: job.states == {"T"})
    job.send(signal.SIGKILL, "umlaut")
    assert job.umlaut.wait(TIMEOUT) == -signal.SIGKILL
    support.until(lambda: not any(map(psutil.pid_exists, beside)))
    with contextlib.suppress(ProcessLookupError):  # A stopped one the kernel hangs up, since its group has no parent.
        os.kill(job.command, signal.SIGKILL)


def test_a_stop_of_umlaut_run_alone_is_left_alone(job: Job) -> None:
    job.send(signal.SIGSTOP, "umlaut")
    support.until(lambda: state_of(job.umlaut.pid) == "T")
    job.send(signal.SIGCONT, "command")
    assert job.said() == "goes on"
    assert state_of(job.umlaut.pid) == "T"
    job.send(signal.SIGCONT, "umlaut")
    check_that_both_run(job)
    job.end()


def test_a_command_that_handles_what_stops_the_group_goes_on_with_umlaut_run(database: Path) -> None:
    handles = f"import signal; signal.signal(signal.SIGTTIN, lambda *_: None)\n{COMMAND}"
    with running(database, handles) as job:
        job.send(signal.SIGTTIN, "group")
        assert os.waitid(os.P_PID, job.umlaut.pid, os.WSTOPPED | os.WCONTINUED) is not None
        support.until(lambda: job.states == {"R"})
        job.end()


def test_the_stop_of_our_group_is_not_that_of_a_command_in_its_own(database: Path) -> None:
    own_group = f"import os; os.setpgid(0, 0)\n{COMMAND}"
    with running(database, own_group) as job:
        try:
            job.send(signal.SIGSTOP, "group")
            support.until(lambda: state_of(job.umlaut.pid) == "T")
            job.send(signal.SIGCONT, "command")
            assert job.said() == "goes on"
            assert state_of(job.umlaut.pid) == "T"
            job.send(signal.SIGCONT, "group")
            check_that_both_run(job)
            job.end()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job.command, signal.SIGKILL)


BOTH = [["run", "--db", "runs.db", "--", *UMLAUT, "run"], ["repeat", "-n", "1"]]


@pytest.mark.parametrize("before", BOTH, ids=["run", "repeat"])
def test_all_go_on_that_are_one_in_another(database: Path, before: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(database.parent)
    with running(database, before=before) as job:
        for number, stopped in (signal.SIGSTOP, "command"), (signal.SIGSTOP, "group"), (signal.SIGTSTP, "umlaut"):
            job.send(number, stopped)
            support.until(lambda: job.states == {"T"})
            job.send(signal.SIGCONT, "command")
            check_that_both_run(job)
        job.end()


SHELL = """
import os, signal, sys
place, who, pid_file = sys.argv[1:4]
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    if place == "foreground":
        os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[4], sys.argv[4:])
while True:
    status = os.waitpid(job, os.WUNTRACED | os.WCONTINUED)[1]
    if os.WIFCONTINUED(status):
        print("shell: goes on", flush=True)
    elif os.WIFSTOPPED(status):
        os.tcsetpgrp(0, os.getpgrp())
        print("shell: stopped by", os.WSTOPSIG(status), flush=True)
        os.tcsetpgrp(0, job)
        if who == "group":
            os.killpg(job, signal.SIGCONT)
        else:
            os.kill(job if who == "umlaut" else int(open(pid_file).read()), signal.SIGCONT)
    else:
        break
os.tcsetpgrp(0, os.getpgrp())
print("shell: ended", os.waitstatus_to_exitcode(status), flush=True)
"""
"""Has a job on its terminal, and lets one process of it go on whenever it has stopped."""

READER = """
import os, sys
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
print("asks", flush=True)
print("got", input(), flush=True)
print("got", input(), flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize("continued", WHO)
@pytest.mark.parametrize("place", ["foreground", "background"])
def test_on_a_terminal(database: Path, tmp_path: Path, place: str, continued: str) -> None:
    pid_file = str(tmp_path / "pid")
    program = [sys.executable, "-c", READER, pid_file]
    under = [*UMLAUT, "run", "--db", str(database), "--", *program]
    number = int(signal.SIGTSTP if place == "foreground" else signal.SIGTTIN)
    dialogue = [("asks", "\x1a")] if place == "foreground" else []
    dialogue += [(f"shell: stopped by {number}", ""), ("shell: goes on", "one\n"), ("got one", "two\n")]
    dialogue += [("got two", ""), ("shell: ended 7", "")]
    shown = talk([sys.executable, "-c", SHELL, place, continued, pid_file, *under], dialogue)
    assert [line for line in shown if line.startswith("shell: stopped")] == [f"shell: stopped by {number}"]
    assert support.read(database, "select ending from process") == [{"ending": "exited with code 7"}]
