"""The lock between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import environment
from umlaut_async.errors import StoreBusyError, StoreError
from umlaut_async.store.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys, time
from umlaut_async.store.lockfile import LockFile
lock = LockFile(sys.argv[1])
lock.acquire(10)
print("held", flush=True)
time.sleep(60)
"""

PARENT_OF_ONE_THAT_LIVES_ON = """
import os, sys, time
from umlaut_async.store.lockfile import LockFile
lock = LockFile(sys.argv[1])
lock.acquire(10)
if not os.fork():
    sys.stdin.read()
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db-lock")


@pytest.fixture
def locks(path: str) -> Iterator[tuple[LockFile, LockFile]]:
    """Yield two locks on one file."""
    both = LockFile(path), LockFile(path)
    yield both
    for lock in both:
        lock.close()


def is_free(path: str) -> bool:
    lock = LockFile(path)
    try:
        lock.acquire(0)
    except StoreBusyError:
        return False
    finally:
        lock.close()
    return True


def test_only_one_has_it(path: str, locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    first.acquire(5)
    with pytest.raises(StoreBusyError, match=r"runs\.db-lock was held by another process"):
        second.acquire(0.05)
    first.release()
    second.acquire(5)
    assert (first.held, second.held, is_free(path)) == (False, True, False)
    second.release()
    second.release()
    assert is_free(path)


def test_it_comes_to_who_waits(locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    first.acquire(5)
    threading.Timer(0.1, first.release).start()
    second.acquire(20)
    assert second.held


def test_who_gives_up_waits_no_longer(locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    first.acquire(5)
    began = time.monotonic()
    with pytest.raises(StoreBusyError):
        second.acquire(60, lambda: time.monotonic() > began + 0.1)
    assert time.monotonic() < began + 30


@pytest.mark.parametrize("script", [HOLDER, PARENT_OF_ONE_THAT_LIVES_ON])
def test_the_death_of_its_holder_frees_it(path: str, script: str) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, path], env=environment(), **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"held\n"
        assert not is_free(path)
        holder.send_signal(signal.SIGKILL)
        lock = LockFile(path)
        lock.acquire(20)
        lock.close()
        holder.stdin.close()  # The child that lives on, if there is one, ends by this.


def test_a_forked_child_does_not_free_it(path: str, locks: tuple[LockFile, LockFile]) -> None:
    locks[0].acquire(5)
    child = os.fork()
    if not child:
        locks[0].close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_free(path)


def test_who_waits_for_a_file_that_goes_gets_the_new_one(path: str, locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    second.acquire(5)
    second.release()
    first.acquire(5)
    first.remove()
    # The second has the removed file open, and a third makes a new one: only one of them may have the lock.
    first.release()
    third = LockFile(path)
    third.acquire(5)
    with pytest.raises(StoreBusyError):
        second.acquire(0)
    third.close()
    second.acquire(5)
    assert not is_free(path)


RACE = """
import os, sys
from umlaut_async.store.lockfile import LockFile
lock, counter = LockFile(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
for number in range(200):
    lock.acquire(30)
    with open(counter) as file:
        value = int(file.read())
    with open(counter, "w") as file:
        file.write(str(value + 1))
    if number % 3 == 0:
        lock.remove()
    lock.release()
"""


def test_several_that_make_and_remove_it_never_hold_it_together(path: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", RACE, path, str(counter)]
    racers = [subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE) for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"go\n")
        racer.stdin.close()
    assert [racer.wait(50) for racer in racers] == [0] * 4
    assert counter.read_text() == "800"


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be locked"):
        LockFile(str(tmp_path / "missing" / "runs.db-lock")).acquire(0)


def test_the_file_of_another_user_will_do() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = str(Path(folder, "runs.db-lock"))
        Path(path).touch(0o444)
        child = os.fork()
        if not child:
            if os.getuid() == 0:
                os.setuid(65534)
            os._exit(0 if is_free(path) else 1)
        assert os.waitpid(child, 0)[1] == 0
