"""The memory of a tree whose processes come and go between two readings of their shares."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.probes.test_tree import children_stat, end_children, release_children, running, wait_for
from umlaut_async.probes import UnreadableError, kcmp, tree_memory, tree_sight
from umlaut_async.probes.tree import tree_cpu, tree_io
from umlaut_async.probes.tree import tree_memory as probe_of_memory
from umlaut_async.probes.tree_sources import ProcSource, Share
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/smaps_rollup"), reason="needs the proportional memory of Linux"
)

FORK = "block = bytearray(b'x') * (150 * 2**20)\n"


@pytest.fixture
def shares_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no second reading of all shares, however long the test takes."""
    monkeypatch.setattr(tree_memory, "_PAUSE", 10**9)
    monkeypatch.setattr(tree_memory, "_PAUSE_AFTER_CHANGE", 10**9)


@pytest.fixture
def lone_shares_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no second reading of all shares, but readings of one."""
    read_all = tree_memory.Shares._read_all

    def read_once(self: tree_memory.Shares, resident: dict[tree_memory.Life, int]) -> None:
        read_all(self, resident)
        self._next = time.perf_counter_ns() + 10**12

    monkeypatch.setattr(tree_memory.Shares, "_read_all", read_once)


def until(read: Callable[[], float], enough: Callable[[float], bool]) -> float:
    """Read until it is enough, or for a long time."""
    deadline = time.monotonic() + 10
    while not enough(total := read()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return total


@pytest.mark.parametrize("kernel_tells", [True, False])
def test_a_child_that_still_has_the_memory_of_its_parent_is_not_counted(
    kernel_tells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kcmp, "_NUMBERS", kcmp._NUMBERS if kernel_tells else {})
    kcmp._system_call.cache_clear()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The child of posix_spawn waits for a writer before it executes its program, and its parent with it.
    text = """
block = bytearray(b"x") * (150 * 2**20)
say("small")
os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 5, sys.argv[1], os.O_RDONLY, 0)])
say("spawned"); hear()
"""
    with running(text, fifo) as script:
        writer = None
        try:
            assert script.hear() == "small"
            assert (
                until(lambda: len(Family(script.pid, ProcSource("/proc")).read(os.getpgid).living), lambda n: n == 2)
                == 2
            )
            [child] = ProcSource("/proc").children(script.pid, 1)
            assert kcmp.share_memory(child, script.pid) is (True if kernel_tells else None)
            read = probe_of_memory(script.pid).read
            assert 150 < read() < 200
            if kernel_tells:
                for _ in range(3):
                    assert 150 < read() < 200
            writer = os.open(fifo, os.O_RDWR)
            assert script.hear() == "spawned"
            for _ in range(3):
                assert 150 < until(read, lambda total: total < 200) < 200
        finally:
            if writer is None:
                writer = os.open(fifo, os.O_RDWR)
            os.close(writer)
            end_children(script.pid)
            kcmp._system_call.cache_clear()


def test_an_address_space_is_told_from_another_one() -> None:
    assert kcmp.share_memory(os.getpid(), os.getpid()) in (True, None)
    assert kcmp.share_memory(os.getpid(), os.getppid()) in (False, None)
    assert kcmp.share_memory(os.getpid(), 2**22 + 1) is None


@pytest.mark.usefixtures("shares_are_read_once")
def test_shared_memory_stays_with_the_parent_when_a_forked_child_ends() -> None:
    text = FORK + "child(stay); say('forked'); hear(); wait_for_all(); say('alone'); hear()"
    with running(text) as script:
        assert script.hear() == "forked"
        read = probe_of_memory(script.pid).read
        assert 150 < read() < 180
        release_children(script.pid)
        script.tell("wait")
        assert script.hear().startswith("used")
        assert script.hear() == "alone"
        for _ in range(3):
            assert 150 < read() < 180


@pytest.mark.usefixtures("shares_are_read_once")
def test_shared_memory_goes_with_the_last_that_had_it() -> None:
    text = FORK + "child(stay); child(stay); block = None; say('forked'); hear(); wait_for_all(); say('alone'); hear()"
    with running(text) as script:
        assert script.hear() == "forked"
        read = probe_of_memory(script.pid).read
        assert 150 < read() < 200
        release_children(script.pid)
        script.tell("wait")
        assert [script.hear()[:4] for _ in range(3)] == ["used", "used", "alon"]
        assert read() < 40


@pytest.mark.usefixtures("shares_are_read_once")
def test_shared_memory_stays_with_the_parent_when_a_forked_child_executes_a_program() -> None:
    text = FORK + "child(lambda: (stay(), os.execv('/bin/sleep', ['sleep', '60']))); say('forked'); hear()"
    with running(text) as script:
        try:
            assert script.hear() == "forked"
            read = probe_of_memory(script.pid).read
            assert 150 < read() < 180
            [child] = ProcSource("/proc").children(script.pid, 1)
            release_children(script.pid)
            is_forked = lambda: (status := ProcSource("/proc").status(child)) is not None and status.forked  # noqa: E731
            assert until(is_forked, lambda forked: not forked) is False
            for _ in range(3):
                assert 150 < read() < 180
        finally:
            end_children(script.pid)


@pytest.mark.usefixtures("lone_shares_are_read_too")
def test_a_new_process_counts_before_all_shares_are_read_again() -> None:
    text = """
import subprocess
program = "block = bytearray(b'x') * (150 * 2**20); print(flush=True); input()"
say("small"); hear()
process = subprocess.Popen([sys.executable, "-SEc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
process.stdout.readline()
say("grown"); hear()
process.communicate()
say("ended"); hear()
"""
    with running(text) as script:
        assert script.hear() == "small"
        read = probe_of_memory(script.pid).read
        small = read()
        assert small < 40
        script.tell("start")
        assert script.hear() == "grown"
        assert 140 < until(read, lambda total: total > small + 140) - small < 190
        script.tell("end")
        assert script.hear() == "ended"
        assert read() < small + 20


@pytest.mark.usefixtures("shares_are_read_once")
def test_a_forked_process_counts_with_what_it_grows_until_all_shares_are_read_again() -> None:
    text = (
        FORK
        + """
def grow():
    stay()
    more = bytearray(b"x") * (60 * 2**20)
    say("grown"); stay()
say("small"); hear()
child(grow)
say("forked"); hear()
"""
    )
    with running(text) as script:
        try:
            assert script.hear() == "small"
            read = probe_of_memory(script.pid).read
            small = read()
            script.tell("fork")
            assert script.hear() == "forked"
            time.sleep(0.2)
            assert abs(read() - small) < 20
            release_children(script.pid)
            assert script.hear() == "grown"
            assert 50 < read() - small < 80
        finally:
            end_children(script.pid)


@pytest.mark.usefixtures("shares_are_read_once")
def test_shared_memory_stays_with_the_parent_of_a_zombie() -> None:
    text = (
        FORK
        + """
def keep():
    global block
    block = None
    own = bytearray(b"x") * (60 * 2**20)
    say("kept"); time.sleep(60)
child(keep); hear()
print(child(stay), child(stay), flush=True); hear()
"""
    )
    with running(text) as script:
        try:
            assert script.hear() == "kept"
            script.tell("fork")
            mortal = [int(pid) for pid in script.hear().split()]
            read = probe_of_memory(script.pid).read
            assert 210 < read() < 240
            for pid in mortal:
                os.kill(pid, signal.SIGUSR1)
            wait_for(lambda: children_stat(script.pid).count(b") Z ") == 2)
            for _ in range(3):
                assert 210 < read() < 240
        finally:
            end_children(script.pid)


def test_a_child_that_was_gone_before_it_was_read_does_not_leave_its_parent_halved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = FORK + "child(stay); say('forked'); hear(); wait_for_all(); say('alone'); hear()"
    with running(text) as script:
        assert script.hear() == "forked"
        share = ProcSource.share

        def let_end_after_its_parent(self: ProcSource, pid: int) -> Share | None:
            found = share(self, pid)
            if pid == script.pid and ProcSource("/proc").children(script.pid, 1):
                release_children(script.pid)
                script.tell("wait")
                assert script.hear().startswith("used")
                assert script.hear() == "alone"
            return found

        monkeypatch.setattr(ProcSource, "share", let_end_after_its_parent)
        read = probe_of_memory(script.pid).read
        for _ in range(3):
            assert 150 < read() < 180


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of what the walks over a tree measure, as they come."""
    seen: list[str] = []
    read = Family.read

    def noted(self: Family, measure: Callable[[int], object]) -> object:
        seen.append(measure.__name__)
        return read(self, measure)

    monkeypatch.setattr(Family, "read", noted)
    return seen


def test_a_reading_right_after_another_of_the_same_tree_spares_the_walk(
    walks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_sight, "_AT_ONCE", 10**10)
    with running(FORK + "child(stay); say('forked'); hear(); wait_for_all(); say('alone'); hear()") as script:
        assert script.hear() == "forked"
        try:
            other, cpu, memory = (probe_of(script.pid) for probe_of in (probe_of_memory, tree_cpu, probe_of_memory))
            expected = other.read()
            assert expected > 150
            cpu.read()
            assert memory.read() == pytest.approx(expected, rel=0.05)
            assert walks == ["resident", "exactly_reaped"]
            monkeypatch.setattr(tree_sight, "_AT_ONCE", 0)
            assert memory.read() == pytest.approx(expected, rel=0.05)
            assert walks == ["resident", "exactly_reaped", "resident"]
        finally:
            end_children(script.pid)


LEFT = """
def hold():
    block = bytearray(b"x") * (150 * 2**20)
    say("held"); stay()

def leave():
    child(hold); stay()

child(leave); hear(); wait_for_all(); say("orphaned"); hear()
"""


@pytest.mark.parametrize("found_by", ["cpu", "io", "memory"])
def test_an_orphan_that_one_of_the_readings_has_found_stays_known_to_the_memory(
    found_by: str, walks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another reading came too late to find it."""
    with running(LEFT) as script:
        assert script.hear() == "held"
        source = ProcSource("/proc")
        [parent] = source.children(script.pid, 1)
        [orphan] = source.children(parent, 1)
        try:
            monkeypatch.setattr(tree_sight, "_AT_ONCE", 10**10)
            probes = {"cpu": tree_cpu(script.pid), "io": tree_io(script.pid), "memory": probe_of_memory(script.pid)}
            memory = probes["memory"]
            probes[found_by].read()
            assert memory.read() > 150
            assert len(walks) == (2 if found_by == "memory" else 1)
            release_children(script.pid)
            assert script.hear().startswith("used")
            script.tell("wait")
            assert script.hear() == "orphaned"
            if found_by == "memory":
                probes["cpu"].read()
            else:
                monkeypatch.setattr(tree_sight, "_AT_ONCE", 0)
            for _ in range(2):
                assert memory.read() > 150
        finally:
            os.kill(orphan, signal.SIGUSR1)


def test_processes_that_another_reading_could_not_see_for_a_moment_stay_known_to_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_sight, "_AT_ONCE", 10**10)
    with running(FORK + "child(stay); say('forked'); hear()") as script:
        try:
            assert script.hear() == "forked"
            cpu, memory = tree_cpu(script.pid), probe_of_memory(script.pid)
            cpu.read()
            expected = memory.read()
            with monkeypatch.context() as patched:
                patched.setattr(ProcSource, "status", lambda *_: open("/nowhere"))  # noqa: SIM115
                cpu.read()
            assert memory.read() == pytest.approx(expected, rel=0.05)
        finally:
            end_children(script.pid)


def test_while_a_reading_hangs_there_is_no_other_of_the_same_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, released = threading.Event(), threading.Event()
    resident = ProcSource.resident

    def hang(self: ProcSource, pid: int) -> int | None:
        begun.set()
        released.wait(10)
        return resident(self, pid)

    memory = probe_of_memory()
    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as elsewhere:
        patched.setattr(ProcSource, "resident", hang)
        reading = elsewhere.submit(memory.read)
        assert begun.wait(10)
        with pytest.raises(UnreadableError, match="an earlier reading"):
            memory.read()
        released.set()
        assert reading.result(10) > 0
    assert memory.read() > 0


def test_a_root_that_has_ended_since_another_reading_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_sight, "_AT_ONCE", 10**10)
    with running("say('here'); hear()") as script:
        script.hear()
        cpu, memory = tree_cpu(script.pid), probe_of_memory(script.pid)
        cpu.read()
        assert memory.read() > 0
    with pytest.raises(ProcessLookupError, match="ended"):
        memory.read()
