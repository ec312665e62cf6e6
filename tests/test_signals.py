"""Signals for all processes of a job, as of `scancel` and `systemctl stop`, which reach the collector too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests import support

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the collector runs in a thread there")

ASKING = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""The signals that ask a program to do something, or to end."""

SCRIPT = """
import asyncio, signal, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector="process", flush_interval=0.1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
async def stage():
    await asyncio.sleep(float(sys.argv[2]))

async def main():
    asked = asyncio.Event()
    for name in sys.argv[3:]:
        asyncio.get_running_loop().add_signal_handler(getattr(signal, name), asked.set)
    async with benchmark:
        print("ready", flush=True)
        if sys.argv[1] == "handled":
            await asked.wait()
            input()
        await stage()

asyncio.run(main())
"""


@contextlib.contextmanager
def started(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the script, and kill it in the end, if it lives."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=folder, env=support.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def of_the_collector(folder: Path) -> list[psutil.Process]:
    """Return the processes of collectors that are at work in a folder, with the shells that start them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            ours = "umlaut_async.collector.host" in " ".join(process.info["cmdline"] or [])
            if ours and os.path.realpath(process.cwd()) == os.path.realpath(folder):
                found.append(process)
    return found


def tell_all(process: subprocess.Popen[str], collectors: list[psutil.Process], name: str) -> None:
    """Send a signal to a measured process and to its collector."""
    number = getattr(signal, name)
    for collector in collectors:
        with contextlib.suppress(psutil.NoSuchProcess):
            collector.send_signal(number)
    process.send_signal(number)


def test_what_a_program_does_after_a_signal_that_it_handles_is_stored(tmp_path: Path, rows: Rows) -> None:
    with started(tmp_path, "handled", 0, *ASKING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        collectors = of_the_collector(tmp_path)
        assert collectors
        for name in ASKING:
            tell_all(process, collectors, name)
        time.sleep(0.2)
        process.communicate("\n", timeout=30)
        assert process.returncode == 0
    assert rows("select status from run") == [{"status": "ok"}]
    assert rows("select ending from process") == [{"ending": "closed"}]
    assert rows("select name, status from span") == [{"name": "stage", "status": "ok"}]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_dies_of_a_signal_for_all_is_said_to(tmp_path: Path, rows: Rows, name: str) -> None:
    with started(tmp_path, "not handled", 60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        support.until(lambda: rows("select * from span where status = 'running'"))
        tell_all(process, of_the_collector(tmp_path), name)
        support.until(lambda: not rows("select * from run where status = 'running'"))
        process.wait(10)
    assert rows("select status from run") == [{"status": "lost"}]
    assert rows("select ending from process") == [{"ending": f"killed by {name}"}]
    support.until(lambda: not of_the_collector(tmp_path))


def test_a_collector_that_is_starting_is_not_ended_by_a_signal(tmp_path: Path, rows: Rows) -> None:
    with started(tmp_path, "handled", 0, "SIGTERM") as process:
        assert process.stdout is not None
        told = 0
        deadline = time.monotonic() + 20
        while not (tmp_path / "runs.db").exists() and time.monotonic() < deadline:
            for collector in of_the_collector(tmp_path):
                with contextlib.suppress(psutil.NoSuchProcess):
                    collector.send_signal(signal.SIGTERM)
                    told += 1
        assert told > 1
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate("\n", timeout=30)
        assert process.returncode == 0
    assert '"process"' in rows("select collector from run")[0]["collector"]
    assert rows("select status from run") == [{"status": "ok"}]
