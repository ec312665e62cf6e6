"""The door of a collector: who is let in, where there is no room for anybody, and what killed runs leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import support

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

OLD = 100
"""Seconds, more than what a starting collector takes."""

SCRIPT = """
import asyncio, os, signal, sys
from umlaut_async import Benchmark
benchmark = Benchmark("runs.db", collector=sys.argv[1])
asyncio.run(benchmark.open())
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "told":
    print(os.environ["UMLAUT_COLLECTOR"].split(",")[0], flush=True)
    sys.stdin.read()
asyncio.run(benchmark.close())
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the sockets of collectors in a folder of this test."""
    # Not that of pytest, whose path is too long for a socket.
    made = Path(tempfile.mkdtemp(prefix="door-"))
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield made
    shutil.rmtree(made)


def run(tmp_path: Path, collector: str, how: str) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, collector, how],
        cwd=tmp_path,
        env=support.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def left_in(folder: Path) -> set[Path]:
    """Return what is in a folder beside the folder of the entries, which stays."""
    return {*folder.iterdir()} - {folder / f"umlaut-{os.geteuid()}"}


def entries(folder: Path) -> list[Path]:
    """Return the entries of runs."""
    return [*(folder / f"umlaut-{os.geteuid()}").iterdir()]


def swept(tmp_path: Path, collector: str, among: Path, kept: set[Path]) -> bool:
    """Return whether one more run leaves only so much behind; it sweeps beside what else it does."""
    for _ in range(5):
        with run(tmp_path, collector, "closed") as process:
            assert process.wait(30) == 0
        if left_in(among) == kept:
            return True
    return False


def aged(folder: Path) -> Path:
    os.utime(folder, (time.time() - OLD, time.time() - OLD))
    return folder


def test_the_folder_of_a_killed_run_goes_with_the_next_run(folder: Path, tmp_path: Path) -> None:
    # The collector in a process of its own outlives the run, and removes the folder itself.
    with run(tmp_path, "thread", "killed") as process:
        assert process.wait(30) == -signal.SIGKILL
    (left,) = left_in(folder)
    assert len(entries(folder)) == 2, "one by which its children find it, one by which copies of its benchmark do"
    assert swept(tmp_path, "thread", folder, {left}), "that of a collector which may be about to listen is gone"
    aged(left)
    assert swept(tmp_path, "process", folder, set())
    assert not entries(folder)


def test_what_may_be_in_use_is_not_swept(folder: Path, tmp_path: Path) -> None:
    with run(tmp_path, "thread", "closed") as process:
        assert process.wait(30) == 0
    gone = process.pid

    def made(name: str, mode: int = 0o700) -> Path:
        (folder / name).mkdir(mode)
        return aged(folder / name)

    kept = {
        made(f"umlaut-{os.getpid()}-{'0' * 12}"),  # whose collector alone was killed
        made(f"umlaut-{gone}-{'1' * 12}", 0o755),
        made(f"umlaut-{gone}-{'2' * 11}"),
        made("umlaut-postgres-1"),
    }
    (folder / f"umlaut-{gone}-{'3' * 12}").symlink_to(made(f"other-{gone}"))
    kept |= {folder / f"umlaut-{gone}-{'3' * 12}", folder / f"other-{gone}"}
    if os.geteuid() == 0:
        other = made(f"umlaut-{gone}-{'4' * 12}")
        os.chown(other, 65534, 65534)
        kept.add(other)
    listening = made(f"umlaut-{gone}-{'5' * 12}")  # of a process that cannot be seen from here
    holding = made(f"umlaut-{gone}-{'6' * 12}")
    (holding / "something").touch()
    kept |= {listening, aged(holding)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(listening / "collector"))
        listener.listen(1)
        aged(listening)
        deserted = made(f"umlaut-{gone}-{'7' * 12}")
        assert swept(tmp_path, "thread", folder, kept), f"{deserted} is not all that is gone: {left_in(folder)}"


CROWDED = """
import asyncio, errno, os, resource, sys
from umlaut_async.collector.listening import Listener, listening_socket

async def main():
    came, tries = [], 0
    listener = Listener(sys.argv[1], listening_socket(sys.argv[1]), came.append)
    accept = listener._knocked

    def counted():
        nonlocal tries
        tries += 1
        accept()

    listener._knocked = counted
    asyncio.get_running_loop().remove_reader(listener._socket)
    listener._listen()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError as error:
        assert error.errno == errno.EMFILE
    print("full", flush=True)
    await asyncio.sleep(1.5)
    print(tries, len(came), flush=True)
    for descriptor in taken:
        os.close(descriptor)
    while not came:
        await asyncio.sleep(0.01)
    came[0].send(b"welcome")
    came[0].close()
    listener.close()

asyncio.run(main())
"""


def test_where_there_is_no_room_for_a_connection_who_knocks_waits(folder: Path) -> None:
    path = str(folder / "socket")
    command = [sys.executable, "-c", CROWDED, path]
    with subprocess.Popen(command, env=support.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
            knocking.settimeout(30)
            knocking.connect(path)
            tries, came = map(int, process.stdout.readline().split())
            assert came == 0
            # It is told of a knock as long as it has not answered it: without a pause, some hundred thousand times.
            assert 1 <= tries <= 30
            assert knocking.recv(100) == b"welcome"
        assert process.wait(30) == 0


FULL = """
import asyncio, os, resource, subprocess, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", flush_interval=0.05)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

asyncio.run(benchmark.open())
stage()
asyncio.run(benchmark.flush())
JOIN = "import asyncio; from umlaut_async import Benchmark; bm = Benchmark('runs.db'); bm.log('joined', 'mine', 1); "
child = subprocess.Popen([sys.executable, "-c", JOIN + "asyncio.run(bm.close())"], stdin=subprocess.DEVNULL)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
try:
    child.wait(2)
except subprocess.TimeoutExpired:
    pass
for _ in range(100):
    stage()
for descriptor in taken:
    os.close(descriptor)
assert child.wait(30) == 0
asyncio.run(benchmark.close())
"""


def test_a_process_that_came_while_files_had_run_out_joins_later(folder: Path, tmp_path: Path, rows: Rows) -> None:
    ended = support.run_script_in(tmp_path, FULL, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 101}]
    assert rows("select description from result where type = 'mine'") == [{"description": "joined"}]
    assert rows("select status from run") == [{"status": "ok"}]


STRANGER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connected:
    connected.settimeout(30)
    connected.connect(sys.argv[1])
    try:
        print(len(connected.recv(100)))
    except ConnectionResetError:
        print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_process_of_another_user_is_sent_away(folder: Path, tmp_path: Path, rows: Rows, collector: str) -> None:
    with run(tmp_path, collector, "told") as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for reachable, mode in ((folder, 0o755), (path.parent, 0o755), (path, 0o777)):
            reachable.chmod(mode)
        stranger = subprocess.run(
            [sys.executable, "-c", STRANGER, str(path)], cwd="/", capture_output=True, text=True, check=True,
            env=support.environment(), timeout=60,
        )  # fmt: skip
        assert stranger.stdout == "0\n"
        process.communicate()
        assert process.returncode == 0
    assert rows("select count(*) as n from process") == [{"n": 1}]
