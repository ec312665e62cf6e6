"""What the threads of the package use is known, while they live and afterwards."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from umlaut_async import gc_guard
from umlaut_async.probes import own_threads
from umlaut_async.probes.process import IOCounters, io_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not own_threads.are_known(), reason="this system tells no CPU time of single threads"),
]


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Ours:
    """A thread of the package, that does its work and then waits to be let go."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.done, self._go = threading.Event(), threading.Event()

        def run() -> None:
            work()
            self.done.set()
            self._go.wait()

        gc_guard.expect()
        self._thread = threading.Thread(target=own_threads.run, args=(run,))
        self._thread.start()
        self.done.wait()

    def end(self) -> None:
        """Let it end."""
        self._go.set()
        self._thread.join()


def test_their_cpu_time_is_not_that_of_the_program() -> None:
    whole, own, without = time.process_time_ns(), own_threads.cpu_time(), own_threads.cpu_without()
    thread = Ours(lambda: busy(0.2))
    while_it_lives = own_threads.cpu_time() - own
    thread.end()
    after = own_threads.cpu_time() - own
    assert 0.2e9 <= while_it_lives <= after
    assert own_threads.cpu_without() - without < time.process_time_ns() - whole - 0.2e9 + 0.01e9
    assert own_threads.cpu_time() == after + own


def test_the_cpu_time_of_other_threads_is() -> None:
    without = own_threads.cpu_without()
    thread = threading.Thread(target=busy, args=(0.1,))
    thread.start()
    thread.join()
    assert own_threads.cpu_without() - without >= 0.1e9


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count no I/O of single threads")
def test_their_bytes_are_not_those_of_the_program(tmp_path: Path) -> None:
    def read() -> IOCounters:
        with open("/proc/self/io", "rb") as file:
            return io_from(file.read())

    size = 1 << 20

    def write(name: str) -> None:
        with open(tmp_path / name, "wb") as file:
            file.write(bytes(size))
            os.fsync(file.fileno())

    before = own_threads.io_without(read)
    thread = Ours(lambda: write("ours"))
    assert own_threads.io_without(read).wchar - before.wchar < size / 2
    thread.end()
    assert own_threads.io_without(read).wchar - before.wchar < size / 2
    write("theirs")
    assert own_threads.io_without(read).wchar - before.wchar >= size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_none_of_them() -> None:
    thread = Ours(lambda: busy(0.01))
    if (child := os.fork()) == 0:
        os._exit(int(own_threads.cpu_time() != 0 or own_threads._state != own_threads._State()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.end()


def test_readings_are_right_while_threads_come_and_go() -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            Ours(lambda: None).end()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        readings = [own_threads.cpu_time() for _ in range(2000)]
    finally:
        stop.set()
        churning.join()
    assert readings == sorted(readings)
