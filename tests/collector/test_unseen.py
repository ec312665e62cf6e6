"""A measured program sees no child of this package: not by `os.wait`, not by SIGCHLD, not among its children."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.test_environment import needs_git
from tests.collector.test_environment import repository as repository
from tests.support import environment, read, run_script_in
from umlaut_async import Benchmark
from umlaut_async.collector import unseen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has children without a signal")

REPEATS = 2

WAITING = """
import asyncio, json, multiprocessing, os, signal, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

signals = []
match sys.argv[2]:
    case "handled":
        signal.signal(signal.SIGCHLD, lambda *_: signals.append(1))
    case "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
benchmark = Benchmark("runs.db", collector=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

# Its children end while the run opens; the last lives until a description with git's answer is written.
children = set()
for seconds in (0.02, 0.05, 0.1, 0.2, 0.4, 1):
    if (child := os.fork()) == 0:
        time.sleep(seconds)
        os._exit(0)
    children.add(child)
stage()
waited = []
while True:
    assert not multiprocessing.active_children()
    try:
        waited.append(os.wait()[0])
    except ChildProcessError:
        break
stage()
asyncio.run(benchmark.close())
if sys.argv[2] == "ignored":
    assert waited == [], waited
else:
    assert sorted(waited) == sorted(children), (waited, children)
print(len(signals))
"""


@needs_git
@pytest.mark.parametrize("sigchld", ["default", "handled", "ignored"])
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_program_that_waits_for_its_children_while_the_run_opens(
    repository: Path, collector: str, sigchld: str
) -> None:
    for repeat in range(REPEATS):
        ended = run_script_in(repository, WAITING, collector, sigchld, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert int(ended.stdout) <= (6 if sigchld == "handled" else 0)
        [run] = read(repository / "runs.db", "select status, environment, collector from run")[repeat:]
        assert run["status"] == "ok"
        assert json.loads(run["collector"])["mode"] == collector
        assert json.loads(run["environment"])["git"]["dirty"] is False


INHERITABLE = """
import asyncio, json, os, select, signal
from umlaut_async import Benchmark

reading, writing = os.pipe()
os.set_inheritable(writing, True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
benchmark = Benchmark("runs.db", collector="process")

async def main():
    async with benchmark:
        os.close(writing)
        assert select.select([reading], [], [], 10)[0], "the collector keeps a file open that is not its own"
        os.killpg(0, signal.SIGTERM)
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_a_collector_keeps_no_file_of_the_program_open_and_gets_no_signal_for_it(
    run_script: RunScript, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INHERITABLE], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        timeout=60, check=False, start_new_session=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    [run] = read(tmp_path / "runs.db", "select status, collector from run")
    assert run["status"] == "ok"
    assert json.loads(run["collector"])["mode"] == "process"


def run_into_file(tmp_path: Path, program: str, *arguments: str) -> str:
    """Return what a program that is run unseen writes into the file that it inherits."""
    path = tmp_path / "written"
    with path.open("w") as file:
        unseen.run_python(f"out = os.fdopen(descriptor, 'w')\n{program}", file.fileno(), *arguments, options=["-IS"])
    return path.read_text()


def test_what_is_run_unseen_is_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    text = "odd 'argument' $HOME \\ \udcff"
    program = (
        "import time; time.sleep(0.3); out.write(ascii([sys.argv[2], os.getpgid(0) == os.getpid(), os.getppid()]))"
    )
    began = time.monotonic()
    argument, leads, parent = ast.literal_eval(run_into_file(tmp_path, program, text))
    assert time.monotonic() - began >= 0.3
    assert (argument, leads) == (text, True)
    assert parent != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | 0x40000000)  # Children of every kind.


def test_what_the_program_closes_meanwhile_is_closed(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with ThreadPoolExecutor() as pool, open(reading, "rb") as end:
        ended = pool.submit(run_into_file, tmp_path, "os.system('sleep 2')")
        time.sleep(0.5)
        os.close(writing)
        assert end.read() == b""
        assert not ended.done()


def test_signals_are_let_through_as_before_and_by_what_is_run(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        program = "out.write(str(len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))"
        assert run_into_file(tmp_path, program) == "0"
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {*before, signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_many_at_once_and_with_commands_of_the_program_itself(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = [tmp_path / str(number) for number in range(24)]
        for folder in folders:
            folder.mkdir()
        written = pool.map(lambda folder: run_into_file(folder, "out.write(sys.argv[2])", folder.name), folders)
        codes = pool.map(lambda number: os.waitstatus_to_exitcode(os.system(f"exit {number}")), range(24))
        assert [*written] == [folder.name for folder in folders]
        assert [*codes] == [*range(24)]


def test_more_than_a_command_line_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no shell could be started"):
        run_into_file(tmp_path, "", "long" * 2**16)


OVERLAPPING = """
import itertools, os, re, signal, threading
from umlaut_async.collector import unseen

def ours():
    with open(os.memfd_create("ours"), "r+b") as file:
        unseen.run_python("open('ours begun', 'w').close(); open('ours').close()", file.fileno(), options=["-IS"])

def theirs():
    os.system(": > 'theirs begun'; cat theirs")

def dispositions():
    with open("/proc/self/status") as file:
        return re.findall("(?:SigIgn|SigCgt).*", file.read())

for name in ("ours", "theirs"):
    os.mkfifo(name)
    os.mkfifo(f"{name} begun")
for begun, ended in itertools.product(itertools.permutations((ours, theirs)), repeat=2):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threads = {}
    for run in begun:
        if run is theirs:
            # A program may change its mind while ours runs.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            before = dispositions()
        threads[run] = threading.Thread(target=run)
        threads[run].start()
        open(f"{run.__name__} begun").close()
    for run in ended:
        open(run.__name__, "w").close()
        threads[run].join()
    assert dispositions() == before, (begun, ended, before, dispositions())
"""


def test_a_command_of_the_program_that_overlaps_leaves_signals_as_they_were(run_script: RunScript) -> None:
    ended = run_script(OVERLAPPING)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("collector", ["thread", "process"])
async def test_where_nothing_can_be_run_unseen(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, collector: Any
) -> None:
    """Then git is a child for a moment, and the collector runs in a thread."""
    monkeypatch.setattr(sys, "executable", "")
    async with Benchmark(database, collector=collector):
        for _ in range(100):
            await asyncio.sleep(0.05)
            [run] = read(database, "select environment, collector from run")
            if run["environment"] and "git" in json.loads(run["environment"]):
                break
    assert re.fullmatch("[0-9a-f]{40,}", json.loads(run["environment"])["git"]["commit"])
    assert json.loads(run["collector"])["mode"] == "thread"
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "part of another program" in line] == lines
    assert len(lines) == (collector == "process")
