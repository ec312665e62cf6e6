"""The counters of a process, where the system has no process file system, and over a fork."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil
import pytest

from umlaut_async import BenchmarkSupervisor, IOMetric
from umlaut_async.probes import Probe, UnavailableError, io_counters, resident_memory
from umlaut_async.probes.process import psutil_io

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls, Rows, RunScript
    from umlaut_async import Benchmark


class IOByPsutil(IOMetric):
    """The I/O of a system without a process file system."""

    def probe(self) -> Probe:
        return io_counters("/there/is/none")


@pytest.fixture
def without_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let psutil be as on macOS."""
    monkeypatch.delattr(psutil.Process, "io_counters")


def test_psutil_has_what_there_is_without_a_process_file_system(tmp_path: Path) -> None:
    memory, io = resident_memory(str(tmp_path)), io_counters(str(tmp_path))
    assert (memory.source, io.source) == ("psutil", "psutil")
    assert memory.read() == pytest.approx(resident_memory().read(), rel=0.2)
    before = io.read()
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert io.read().wchar - before.wchar >= 100_000


@pytest.mark.usefixtures("without_counters")
def test_a_system_without_io_counters_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="counts no I/O") as caught:
        psutil_io()
    assert "Linux" in caught.value.cure


@pytest.mark.usefixtures("without_counters")
async def test_a_stage_on_a_system_without_io_counters_says_so_and_what_helps(
    benchmark: Benchmark, rows: Rows, ended_calls: EndedCalls
) -> None:
    @BenchmarkSupervisor([IOByPsutil("disk")], benchmark)
    async def stage() -> str:
        await asyncio.sleep(0.1)
        return "unharmed"

    async with benchmark:
        assert [await stage() for _ in range(3)] == ["unharmed"] * 3
    assert [call["results"] for call in ended_calls()] == [{}] * 3
    (event,) = rows("select kind, data from event")
    assert event["kind"] == "unavailable"
    assert event["data"].keys() == {"type", "description", "reason", "cure"}
    assert rows("select provenance from series") == [{"provenance": "unavailable"}]


FORK = """
import os
from umlaut_async.probes import resident_memory

os.close(0)
read = resident_memory().read
read()
assert os.readlink("/proc/self/fd/0").endswith("/statm"), os.readlink("/proc/self/fd/0")
if not os.fork():
    try:
        os.readlink("/proc/self/fd/0")
        os._exit(3)
    except FileNotFoundError:
        pass
    read()
    os._exit(0 if os.readlink("/proc/self/fd/0") == f"/proc/{os.getpid()}/statm" else 4)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""


@pytest.mark.skipif(resident_memory().source != "statm", reason="needs the process file system of Linux")
def test_a_forked_child_has_no_file_of_its_parent_open_whatever_its_number(run_script: RunScript) -> None:
    done = run_script(FORK)
    assert (done.returncode, done.stderr) == (0, "")
