"""A command under `umlaut run` behaves as without it: streams, exit code, environment, signals, descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.commands.conftest import TIMEOUT, UMLAUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Runner
    from tests.support import Rows

COUNTER = """
import os, signal, sys, time
came = []
for name in ("HUP", "INT", "QUIT", "USR1", "WINCH", "TERM"):
    signal.signal(getattr(signal, f"SIG{name}"), lambda number, frame: came.append(number))
print(os.getpid(), flush=True)
deadline = time.monotonic() + 40
while time.monotonic() < deadline and signal.SIGTERM not in came:
    time.sleep(0.01)
    while came and came[0] != signal.SIGTERM:
        print(came.pop(0), flush=True)
time.sleep(0.3)
print(*came, flush=True)
sys.exit(7)
"""
"""Says which signals it gets, and ends after SIGTERM."""

ENDS = [
    ("exit 0", "out"),
    ("exit 3", "an exit code"),
    ("kill -TERM $$", "SIGTERM"),
    ("kill -KILL $$", "SIGKILL"),
    ("kill -SEGV $$", "SIGSEGV"),
]


@pytest.mark.parametrize("how", [how for how, _ in ENDS], ids=[name for _, name in ENDS])
def test_streams_and_exit(plain: Runner, run: Runner, how: str, rows: Rows) -> None:
    command = ["sh", "-c", f"cat; echo to standard error >&2; {how}"]
    without, under = plain(*command, input="read\n"), run(*command, input="read\n")
    assert (without.returncode, without.stdout, without.stderr) == (under.returncode, "read\n", "to standard error\n")
    assert (under.stdout, under.stderr) == (without.stdout, without.stderr)
    code = under.returncode
    name = "" if code >= 0 else signal.Signals(-code).name
    (process,) = rows("select ending from process")
    assert process["ending"] == (f"killed by {name}" if name else f"exited with code {code}")
    (stored,) = rows("select status, ended from run")
    assert stored["status"] == ("error" if code else "ok")
    assert stored["ended"]
    (span,) = rows("select kind, name, status, error from span")
    assert (span["kind"], span["status"]) == ("command", "error" if code else "ok")
    assert span["name"].startswith("sh -c 'cat;")
    assert (span["error"] is None) == (code == 0)


def test_a_shell_sees_the_same_code(plain: Runner, database: Path) -> None:
    under = f"{' '.join(UMLAUT)} run --db {database} -- sh -c 'kill -TERM $$'; echo $?"
    assert plain("sh", "-c", under).stdout == "143\n"


def test_environment_and_state(plain: Runner, run: Runner) -> None:
    environment = support.environment() | {"LC_ALL": "", "LANG": "", "SPACED": "a b\nc", "UMLAUT_COLLECTOR": ""}
    environment.pop("LC_CTYPE", None)
    # The mask, what is ignored, the limits and the open files, as the command finds them.
    look = "env | sort; grep -E '^Sig(Pnd|Blk|Ign|Cgt)|^Umask' /proc/self/status; ulimit -a; ls /proc/self/fd; pwd"
    without, under = (runner("sh", "-c", look, env=environment).stdout.splitlines() for runner in (plain, run))
    different = {line.partition("=")[0] for line in set(without) ^ set(under)}
    assert different == {"UMLAUT_COLLECTOR"}
    assert len(without) == len(under) > 20


def test_ignored_signals_stay_ignored(plain: Runner, run: Runner) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    look = "grep ^SigIgn /proc/self/status"
    without, under = (runner("sh", "-c", look, preexec_fn=ignore).stdout for runner in (plain, run))
    assert without == under
    assert int(without.split()[1], 16) & 0b11 == 0b11


def test_a_script_without_an_interpreter_line(run: Runner, plain: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo ran with $1\nexit 4\n")
    script.chmod(0o755)
    under = run("./script", "words")
    assert (under.returncode, under.stdout, under.stderr) == (4, "ran with words\n", "")


def test_no_option_of_the_command_is_ours(umlaut: Runner, database: Path) -> None:
    without_dashes = umlaut("run", "--db", database, "echo", "-t", "--db", "x", "--help")
    assert without_dashes.stdout == "-t --db x --help\n"
    assert umlaut("run", "--db", database, "--", "echo", "--", "-t").stdout == "-- -t\n"


def test_who_reads_sees_the_end_when_the_command_closes_its_output(database: Path) -> None:
    reading, writing = os.pipe()
    script = f"import os, sys; os.close(1); os.close({writing}); os._exit(7 + len(sys.stdin.read()))"
    command = [*UMLAUT, "run", "--db", str(database), "--", sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=support.environment(), pass_fds=[writing]
    ) as process:
        os.close(writing)
        assert process.stdin is not None
        assert process.stdout is not None
        # Neither ends before the command has let go of it, and then both do, though the command goes on.
        assert process.stdout.read() == b""
        assert os.read(reading, 1) == b""
        os.close(reading)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(TIMEOUT) == 7


def test_standard_streams_that_are_closed(umlaut: Runner, plain: Runner, database: Path, rows: Rows) -> None:
    look = "ls /proc/self/fd > seen"
    under = f"exec 0<&- 1>&- 2>&-; {' '.join(UMLAUT)} run --db {database} -- sh -c '{look}'"
    assert plain("sh", "-c", f"{under}; exit $?").returncode == 0
    seen = (database.parent / "seen").read_text()
    assert plain("sh", "-c", f"exec 0<&- 1>&- 2>&-; sh -c '{look}'").returncode == 0
    assert seen == (database.parent / "seen").read_text()
    assert rows("select status from run") == [{"status": "ok"}]


@pytest.mark.parametrize("to_group", [False, True], ids=["to it", "to its group"])
def test_each_signal_comes_once(database: Path, to_group: bool, rows: Rows) -> None:
    send = os.killpg if to_group else os.kill
    with start(database, sys.executable, "-c", COUNTER) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGUSR1, signal.SIGWINCH):
            send(process.pid, number)
            assert process.stdout.readline() == f"{int(number)}\n"
        send(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "15\n"
        assert process.wait(TIMEOUT) == 7
    assert rows("select ending from process") == [{"ending": "exited with code 7"}]


@pytest.mark.parametrize(("number", "to_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_it_dies_of_what_the_command_dies_of(
    database: Path, number: signal.Signals, to_group: bool, rows: Rows
) -> None:
    with start(database, "sh", "-c", "echo ready; exec sleep 100") as process:
        assert process.stdout is not None
        process.stdout.readline()
        (os.killpg if to_group else os.kill)(process.pid, number)
        assert process.wait(TIMEOUT) == -number
    assert rows("select ending from process") == [{"ending": f"killed by {number.name}"}]
    assert rows("select status from run") == [{"status": "error"}]


def test_a_command_in_a_group_of_its_own_gets_what_is_sent_to_ours(database: Path) -> None:
    own_group = f"import os; os.setpgid(0, 0)\n{COUNTER}"
    with start(database, sys.executable, "-c", own_group) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "15\n"
        assert process.wait(TIMEOUT) == 7


def test_it_stops_and_goes_on_as_the_command(database: Path) -> None:
    with start(database, sys.executable, "-c", COUNTER) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        for stopping in (signal.SIGSTOP, signal.SIGTSTP):
            os.kill(child if stopping == signal.SIGSTOP else process.pid, stopping)
            stopped = os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            assert stopped is not None
            assert stopped.si_status == stopping
            support.until(lambda: state_of(child) == "T")
            os.kill(process.pid, signal.SIGCONT)
            if stopping == signal.SIGSTOP:
                os.kill(child, signal.SIGCONT)
            support.until(lambda: state_of(child) == "S")
        os.kill(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "15\n"
        assert process.wait(TIMEOUT) == 7


def test_a_signal_before_the_command_begins(tmp_path: Path, database: Path) -> None:
    mark = tmp_path / "mark"
    with start(database, "sh", "-c", f"sleep 1; touch {mark}") as process:
        support.until(lambda: blocks_signals(process.pid))
        process.terminate()
        assert process.wait(TIMEOUT) == -signal.SIGTERM
    assert not mark.exists()


def start(database: Path, *command: str) -> subprocess.Popen[str]:
    """Start a command under `umlaut run` in a group of its own, within this session."""
    return subprocess.Popen(
        [*UMLAUT, "run", "--db", str(database), "--", *command],
        env=support.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def state_of(pid: int) -> str:
    """Return the letter of the state of a process."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def blocks_signals(pid: int) -> bool:
    """Return whether a process has blocked SIGTERM."""
    with open(f"/proc/{pid}/status") as file:
        (blocked,) = [int(line.split()[1], 16) for line in file if line.startswith("SigBlk")]
    return bool(blocked >> (signal.SIGTERM - 1) & 1)


GOES_ON = """
import os, sys, time
os.chdir(sys.argv[1])
print("ready", flush=True)
for number in range(300):
    with open("mark", "w") as file:
        file.write(str(number))
    time.sleep(0.1)
    if number > 20:
        break
open("over", "w").close()
"""


def test_killed_it_leaves_the_command_going_on_and_the_run_lost(
    database: Path, tmp_path: Path, rows: Rows, umlaut: Runner
) -> None:
    with start(database, sys.executable, "-c", GOES_ON, str(tmp_path)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        support.until(lambda: rows("select id from span where status = 'running'"))
        process.kill()
        assert process.wait(TIMEOUT) == -signal.SIGKILL
        assert not (tmp_path / "over").exists()
        support.until(lambda: (tmp_path / "over").exists())
        # What it writes is read to its end: the witness of `umlaut run` does not keep the pipe open.
        assert process.stdout.read() == ""
    assert rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    shown = umlaut("show", database)
    assert shown.returncode == 0
    assert "lost" in shown.stdout.splitlines()[0]
    assert "Lost: process" in shown.stdout
    assert "1 call was open" in " ".join(shown.stdout.split())
    # The next run stores it.
    assert umlaut("run", "--db", database, "--", "true").returncode == 0
    statuses = [row["status"] for row in rows("select status from run order by started")]
    assert statuses == ["lost", "ok"]
