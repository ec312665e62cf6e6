"""The probes of a process tree, on real processes that burn, fork, end and are orphaned."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import best_of_three, environment
from umlaut_async.probes.process import MIB
from umlaut_async.probes.tree import tree_cpu, tree_io, tree_memory
from umlaut_async.probes.tree_sources import ListingByPsutil, ProcSource, PsutilSource, Status
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the process file system of Linux"),
]

PREAMBLE = """
import os, signal, sys, time

def say(word):
    os.write(1, f"{word}\\n".encode())

def hear():
    return sys.stdin.readline().strip()

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

def stay():
    signal.sigwait([signal.SIGUSR1])

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def child(work, *arguments):
    pid = os.fork()
    if not pid:
        work(*arguments)
        say(f"used {time.process_time()}")
        if work is lingering:
            time.sleep(0.3)
        os._exit(0)
    return pid

def lingering(seconds):
    burn(seconds)

def wait_for_all():
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
"""

BURNER = {
    "short": """
for _ in range(20):
    child(burn, 0.03)
    os.wait()
""",
    "long": """
for _ in range(3):
    child(burn, 0.2)
wait_for_all()
""",
    "zombie": """
os.waitid(os.P_PID, child(burn, 0.3), os.WEXITED | os.WNOWAIT)
time.sleep(0.1)
""",
    "nested": """
def with_children():
    for _ in range(5):
        child(burn, 0.05)
        os.wait()
child(with_children)
wait_for_all()
""",
    "orphan": """
def leave_an_orphan():
    child(lingering, 0.3)
    time.sleep(0.15)
ended, held = os.pipe()
child(leave_an_orphan)
wait_for_all()
os.close(held)
os.read(ended, 1)  # Until the orphan, which holds the other end, has ended.
""",
    "ignored": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    child(lingering, 0.1)
    wait_for_all()
""",
}


class Script:
    """A script that is a process tree of its own and does what it is told to by lines."""

    def __init__(self, text: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", PREAMBLE + text, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = self.process.pid

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()


@contextmanager
def running(text: str, *arguments: object) -> Iterator[Script]:
    """Run a script; it is ended by its pid at last."""
    script = Script(text, *arguments)
    try:
        yield script
    finally:
        script.process.kill()
        script.process.communicate(timeout=10)


@pytest.mark.parametrize("scenario", BURNER)
def test_the_cpu_time_of_a_tree_is_all_that_can_be_known(scenario: str) -> None:
    def measure() -> float:
        text = BURNER[scenario] + "say(f'used {time.process_time()}'); say('done'); hear()"
        with running(text) as script:
            assert script.process.stdout is not None
            os.set_blocking(script.process.stdout.fileno(), False)
            read, before, said = tree_cpu(script.pid).read, 0, b""
            deadline = time.monotonic() + 20
            while b"done" not in said and time.monotonic() < deadline:
                total = read()
                assert total >= before
                before = total
                said += script.process.stdout.read() or b""
                time.sleep(0.02)
            total = read()
            assert total >= before
        used = sum(float(line.split()[1]) for line in said.decode().splitlines() if line.startswith("used"))
        assert used > 0.25
        return float(abs(total / 1e9 / used - 1))

    best_of_three(0.05, measure)


def test_a_child_is_counted_once_while_it_lives_when_it_is_a_zombie_and_when_it_was_waited_for() -> None:
    text = "child(lambda: (burn(0.3), say('burnt'), stay())); hear(); hear(); os.wait(); say('reaped'); hear()"

    def measure() -> float:
        with running(text) as script:
            read = tree_cpu(script.pid).read
            assert script.hear() == "burnt"
            alive = read()
            release_children(script.pid)
            assert script.hear().startswith("used")
            wait_for(lambda: b") Z " in children_stat(script.pid))
            zombie = read()
            script.tell("go on")
            script.tell("wait")
            assert script.hear() == "reaped"
            reaped = read()
        # A reader that begins only now has the whole of it from the kernel alone.
        assert alive <= zombie <= reaped
        assert alive > 0.3e9
        return float(reaped - alive) / 1e9

    best_of_three(0.03, measure)


TAKES_IN_ORPHANS = """
import ctypes

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
reader, writer = os.pipe()

def begin_another(left):
    signal.alarm(20)
    if left:
        child(begin_another, left - 1)
    else:
        os.write(writer, f"{os.getppid()} {os.getpid()}".encode())
        burn(0.3)
        say("burnt")
    stay()

child(begin_another, 2)
between, worker = map(int, os.read(reader, 100).split())
hear()
os.kill(between, signal.SIGKILL)
while worker not in map(int, open(f"/proc/self/task/{os.getpid()}/children").read().split()):
    time.sleep(0.01)
os.kill(worker, signal.SIGKILL)
os.waitpid(worker, 0)
say("reaped")
hear()
"""


def test_an_orphan_that_the_root_takes_in_and_waits_for_is_counted_once() -> None:
    """As in a container, whose first process is the root: a child of it has a child that has a worker."""
    with running(TAKES_IN_ORPHANS) as script:
        read = tree_cpu(script.pid).read
        assert script.hear() == "burnt"
        alive = read()
        script.tell("go on")
        assert script.hear() == "reaped"
        after = [read() for _ in range(3)]
        release_children(script.pid)
    assert 0.3e9 <= alive <= after[0] <= after[1] <= after[2] < alive + 0.2e9


def test_this_process_and_its_children_are_counted_to_the_microsecond() -> None:
    read = tree_cpu().read
    for _ in range(5):
        outer = time.process_time_ns()
        before = read()
        inner = time.process_time_ns()
        pid = os.posix_spawn(sys.executable, [sys.executable, "-S", "-E", "-c", ""], os.environ)
        usage = os.wait4(pid, 0)[2]
        inner = time.process_time_ns() - inner
        after = read()
        outer = time.process_time_ns() - outer
        child = round((usage.ru_utime + usage.ru_stime) * 1e9)
        assert child > 0
        assert inner - 5_000 <= after - before - child <= outer + 5_000


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, for a space of pids of its own")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs the program unshare")
def test_a_stranger_with_the_pid_of_a_child_that_has_ended_is_not_counted() -> None:
    text = """
import os, signal, subprocess, sys, time
from umlaut_async.probes.tree import tree_cpu
from umlaut_async.probes.tree_sources import source_for
from umlaut_async.probes.tree_walk import Family

program = "import subprocess; subprocess.run(['sleep', '60']); input()"
root = subprocess.Popen([sys.executable, "-S", "-E", "-c", program], stdin=subprocess.PIPE)
read, family = tree_cpu(root.pid).read, Family(root.pid, source_for("/proc"))
while len(members := family.read(lambda _: 0).living) < 2:
    time.sleep(0.05)
before = read()
child = members[1].key[0]
os.kill(child, signal.SIGTERM)
while os.path.exists(f"/proc/{child}"):
    time.sleep(0.05)
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(child - 1))
stranger = os.fork()
if not stranger:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    time.sleep(60)
assert stranger == child, (stranger, child)
time.sleep(0.8)
print([member.key[0] for member in family.read(lambda _: 0).living] == [root.pid], (read() - before) / 1e9 < 0.1)
os.kill(stranger, signal.SIGKILL)
os.waitpid(stranger, 0)
root.communicate(b"\\n")
"""
    ran = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    if "unshare" in ran.stderr:
        pytest.skip(f"no space of pids can be made here: {ran.stderr.strip()}")
    assert ran.stdout == "True True\n", ran.stderr


def test_a_rate_is_a_percentage_of_one_core() -> None:
    rate = tree_cpu().rate
    assert rate is not None
    assert rate(1_000, 501_000, 1_000_000) == 50
    assert rate(1_000, 501_000, 0) is None


def test_memory_that_forked_children_share_is_counted_once() -> None:
    text = """
block = bytearray(b"x") * (200 * 2**20)
say("alone"); hear()
for _ in range(4):
    child(time.sleep, 60)
say("forked"); hear()
"""
    with running(text) as script:
        try:
            read = tree_memory(script.pid).read
            assert script.hear() == "alone"
            alone = read()
            assert 200 < alone < 230
            script.tell("fork")
            assert script.hear() == "forked"
            totals: list[float] = []
            deadline = time.monotonic() + 20
            while len(totals) < 3 or (totals[-1] < alone and time.monotonic() < deadline):
                totals.append(read())
                time.sleep(0.05)
            fresh = tree_memory(script.pid).read()
            assert max(totals) < 260
            assert 200 < fresh < 260
        finally:
            end_children(script.pid)


def test_memory_without_proportional_shares_is_an_estimate(tmp_path: Path) -> None:
    assert tree_memory().provenance == "measured"
    assert tree_memory(proc=str(tmp_path)).provenance == "estimated"


def test_memory_follows_growth_between_two_proportional_readings() -> None:
    text = "say('small'); hear(); block = bytearray(b'x') * (50 * 2**20); say('grown'); hear()"
    with running(text) as script:
        read = tree_memory(script.pid).read
        assert script.hear() == "small"
        small = read()
        script.tell("grow")
        assert script.hear() == "grown"
        assert 48 < read() - small < 60


def test_io_counts_children_once_and_keeps_those_that_nobody_waits_for(tmp_path: Path) -> None:
    text = f"""
def write():
    with open({str(tmp_path / "written")!r}, "wb") as file:
        file.write(bytes(8 * 2**20))
    say("written"); stay()
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child(write)
hear()
wait_for_all()
say("waited"); hear()
"""
    for kind in ("waited", "ignored"):
        with running(text, kind) as script:
            read = tree_io(script.pid).read
            before = read()
            assert script.hear() == "written"
            alive = read()
            release_children(script.pid)
            assert script.hear().startswith("used")
            script.tell("wait")
            assert script.hear() == "waited"
            for later in (read(), read()):
                assert all(now >= then for now, then in zip(later.total, alive.total, strict=True))
                assert 8 * MIB <= later.total.wchar - before.total.wchar < 8.1 * MIB, kind


def test_a_root_that_has_ended_is_an_error_and_not_a_zero() -> None:
    with running("say('here'); hear()") as script:
        script.hear()
        reads: list[Callable[[], object]] = [
            tree_cpu(script.pid).read,
            tree_memory(script.pid).read,
            tree_io(script.pid).read,
        ]
        for read in reads:
            read()
    for read in reads:
        for _ in range(2):
            with pytest.raises(ProcessLookupError, match="ended"):
                read()


class Scripted(ProcSource):
    """Processes as a test says, which can change at every look."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.table: dict[int, Status] = {}
        self.listed: dict[int, list[int]] = {}
        self.hidden: set[int] = set()
        self.after_listing: Callable[[int], object] = lambda pid: None

    def status(self, pid: int) -> Status | None:
        if pid in self.hidden:
            raise PermissionError(pid)
        return self.table.get(pid)

    def children(self, pid: int, threads: int) -> Sequence[int]:
        found = [*self.listed.get(pid, ())]
        self.after_listing(pid)
        return found

    def begin(self, pid: int, parent: int, start: int) -> None:
        self.table[pid] = Status(start, parent, 1, 0, 0)
        self.listed.setdefault(parent, []).append(pid)


def pids(family: Family) -> list[int]:
    """Return who belongs to a family, with the children listed anew."""
    family._list_again = 0
    return [member.key[0] for member in family.read(lambda _: 0).living]


def scripted() -> tuple[Scripted, Family]:
    """Return a root with two children."""
    source = Scripted()
    source.begin(10, 1, 1)
    source.begin(11, 10, 2)
    source.begin(12, 10, 2)
    return source, Family(10, source)


def test_a_pid_that_is_used_again_between_list_and_look_brings_in_nobody() -> None:
    source, family = scripted()
    source.after_listing = lambda _: source.table.update({12: Status(9, 1, 1, 0, 0)})
    assert pids(family) == [10, 11]


def test_a_parent_whose_pid_is_used_again_brings_in_nobody() -> None:
    source, family = scripted()
    assert pids(family) == [10, 11, 12]
    source.begin(13, 11, 5)
    source.after_listing = lambda pid: source.table.update({pid: Status(9, 1, 1, 0, 0)}) if pid == 11 else None
    assert 13 not in pids(family)
    assert pids(family) == [10, 12]


def test_a_process_that_is_hidden_for_a_while_is_neither_gone_nor_new() -> None:
    source, family = scripted()
    assert pids(family) == [10, 11, 12]
    source.hidden = {11}
    reading = family.read(lambda _: 0)
    assert [member.key[0] for member in reading.living] == [10, 12]
    assert reading.gone == []
    source.hidden = set()
    assert pids(family) == [10, 11, 12]


def test_an_orphan_is_followed_and_its_end_is_told() -> None:
    source, family = scripted()
    source.begin(13, 11, 3)
    assert pids(family) == [10, 11, 12, 13]
    del source.table[11]
    source.listed[11] = []
    source.table[13] = Status(3, 1, 1, 0, 0)
    reading = family.read(lambda _: 0)
    assert reading.gone == [(11, 2)]
    assert [(member.key, member.parent) for member in reading.living][-1] == ((13, 3), None)


def test_a_process_that_cannot_be_measured_is_still_known() -> None:
    _, family = scripted()

    def measure(pid: int) -> int:
        if pid == 11:
            raise PermissionError(pid)
        return pid

    living = family.read(measure).living
    assert [(member.key[0], member.value) for member in living] == [(10, 10), (11, None), (12, 12)]


def test_the_children_of_every_thread_are_found() -> None:
    text = """
import subprocess, threading
children = []
start = lambda: (children.append(subprocess.Popen(["sleep", "30"])), say("started"), time.sleep(30))
for _ in range(3):
    threading.Thread(target=start, daemon=True).start()
hear()
for one in children:
    one.kill()
    one.wait()
say("over"); hear()
"""
    with running(text) as script:
        for _ in range(3):
            assert script.hear() == "started"
        assert len(pids(Family(script.pid, ProcSource("/proc")))) == 4
        assert len(pids(Family(script.pid, ListingByPsutil("/proc")))) == 4
        script.tell("end")
        assert script.hear() == "over"


def test_psutil_tells_the_same_where_there_is_no_process_file_system() -> None:
    text = "child(time.sleep, 30); burn(0.2); say('here'); hear()"
    with running(text) as script:
        try:
            assert script.hear() == "here"
            ours, fallback = ProcSource("/proc"), PsutilSource()
            assert [*map(len, (pids(Family(script.pid, ours)), pids(Family(script.pid, fallback))))] == [2, 2]
            expected, found = ours.status(script.pid), fallback.status(script.pid)
            assert expected is not None
            assert found is not None
            assert (found.parent, found.own, found.reaped) == (expected.parent, expected.own, expected.reaped)
            assert fallback.status(2**22 + 1) is None
            assert fallback.resident(script.pid) == ours.resident(script.pid)
            assert fallback.io(script.pid) == ours.io(script.pid)
        finally:
            end_children(script.pid)


def test_long_lists_of_children_are_read_to_their_end(tmp_path: Path) -> None:
    listed = random.Random(1).sample(range(10_000, 99_999), 20_000)
    children = tmp_path / "7" / "task" / "7" / "children"
    children.parent.mkdir(parents=True)
    children.write_text("".join(f"{pid} " for pid in listed))
    # Files on disk come in pieces of any length; those of the kernel hold whole pids.
    assert len(ProcSource(str(tmp_path)).children(7, 1)) >= 20_000


def test_a_program_may_be_named_like_a_status(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = "S 3 7 7 0 -1 0 0 0 0 0 5 6 7 8 20 0 4 0 99 0 0"
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z 1 (b) {fields}\n")
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    assert ProcSource(str(tmp_path)).status(7) == Status(99, 3, 4, 11 * tick, 15 * tick, name=b"a) Z 1 (b")


def children_stat(pid: int) -> bytes:
    """Return the status lines of the children of a process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return b"".join(Path(f"/proc/{child}/stat").read_bytes() for child in listed)


def release_children(pid: int) -> None:
    """Let the children of a process that stay go on."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGUSR1)


def end_children(pid: int) -> None:
    """End the children of a process that this test has started."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()
