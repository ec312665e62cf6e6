"""Processes of this package's own: in no process tree, neither while they live nor after they were waited for."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from umlaut_async.probes import helpers, io_counters
from umlaut_async.probes.tree import tree_cpu, tree_io, tree_memory
from umlaut_async.probes.tree_sources import source_for
from umlaut_async.probes.tree_walk import Family

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the process file system of Linux")

BUSY = """
import subprocess, sys, time
block = bytearray(b"x") * (100 * 2**20)
while time.process_time() < 0.3:
    pass
with open("/dev/null", "wb", 0) as file:
    file.write(bytes(4 * 2**20))
child = subprocess.Popen(["sleep", "60"]) if "parent" in sys.argv else None
print(flush=True)
sys.stdin.readline()
if child:
    child.kill()
    child.wait()
"""


def busy(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that uses memory, CPU time and I/O, and lives until it hears a line."""
    return subprocess.Popen(
        [sys.executable, "-SE", "-c", BUSY, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )


def hear(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"


def end(process: subprocess.Popen[bytes], wait: Callable[[int], int | None]) -> None:
    """Let a process end and wait for it in one way or another."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    deadline = time.monotonic() + 20
    while (status := wait(process.pid)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()


def members(family: Family) -> list[int]:
    family._list_again = 0
    return [member.key[0] for member in family.read(lambda _: 0).living]


def test_a_helper_and_its_children_are_in_no_tree_and_what_they_used_is_not_counted() -> None:
    family, cpu, memory, io = Family(os.getpid(), source_for("/proc")), tree_cpu(), tree_memory(), tree_io()
    before, own = (cpu.read(), memory.read(), io.read()), time.process_time_ns()
    pid = ctypes.c_int(0)
    with helpers.beginning(pid):
        helper = busy("parent")
        pid.value = helper.pid
        hear(helper)
        assert members(family) == [os.getpid()]
        living = cpu.read(), memory.read(), io.read()
        end(helper, helpers.reap)
    assert not helpers.is_excluded(helper.pid)
    after, own = (cpu.read(), memory.read(), io.read()), time.process_time_ns() - own
    for reading in (living, after):
        assert reading[0] - before[0] < own + 0.05e9
        assert reading[1] - before[1] < 50
        assert reading[2].total.wchar - before[2].total.wchar < 2 * 2**20
    # What the user's children use counts as before.
    child = busy()
    hear(child)
    assert members(family) == [os.getpid(), child.pid]
    end(child, lambda pid: os.waitpid(pid, 0)[1])
    assert cpu.read() - after[0] >= 0.3e9
    assert io.read().total.wchar - after[2].total.wchar >= 4 * 2**20


def test_what_is_read_in_the_middle_of_waiting_for_a_helper_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a finalizer, which runs in any thread and may end a call that has an `IOMetric`."""
    read: list[object] = []
    wait4 = os.wait4

    def wait_and_finalize(pid: int, options: int) -> tuple[int, int, resource.struct_rusage]:
        waited = wait4(pid, options)
        read.append(io_counters().read())
        return waited

    monkeypatch.setattr(os, "wait4", wait_and_finalize)
    end(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0), helpers.reap)
    assert read


def test_a_helper_that_is_being_started_is_not_counted_before_its_pid_is_known() -> None:
    family = Family(os.getpid(), source_for("/proc"))
    with helpers.beginning(ctypes.c_int(0)):
        child = busy()
        assert members(family) == [os.getpid()]
    assert members(family) == [os.getpid(), child.pid]
    hear(child)
    end(child, lambda pid: os.waitpid(pid, 0)[1])


def test_a_helper_that_somebody_else_waited_for_is_not_waited_for() -> None:
    helper = busy()
    hear(helper)
    end(helper, lambda pid: os.waitpid(pid, 0)[1])
    with pytest.raises(ChildProcessError):
        helpers.reap(helper.pid)


def test_a_forked_child_knows_nothing_of_the_helpers_of_its_parent() -> None:
    with helpers.beginning(ctypes.c_int(7)), helpers.beginning(ctypes.c_int(0)):
        assert helpers.is_excluded(7)
        assert helpers.is_starting()
        child = os.fork()
        if not child:
            os._exit(helpers.is_excluded(7) or helpers.is_starting())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("how", ["in its command line", "in its name"])
def test_a_helper_of_another_process_is_known_by_its_name(how: str) -> None:
    """The first process of a container is given the orphans of all others."""
    naming = f"open('/proc/self/comm', 'w').write('{helpers.NAME}')" if how == "in its name" else helpers.NAME
    text = f"import sys\nif sys.argv[1] != '{helpers.NAME}': exec(sys.argv[1])\n{BUSY}"
    family = Family(os.getpid(), source_for("/proc"))
    helper = subprocess.Popen(
        [sys.executable, "-SE", "-c", text, naming], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    hear(helper)
    assert members(family) == [os.getpid()]
    end(helper, lambda pid: os.waitpid(pid, 0)[1])
