"""What a run stores of its environment: no secret, and nothing that the stage has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.test_environment import ends
from tests.support import ROOT, read
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.collector.environment import PARTS, gather

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import RunScript

SECRET = "hunter2-not-to-be-stored"
SLOW = 20
"""Seconds that the slow git takes, which no test waits for."""

LOOKING_INTO_THE_FILES = f"""
import asyncio, os, pathlib, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

assert os.environ["DATABASE_PASSWORD"] == {SECRET!r}
bm = Benchmark("runs.db", collector=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time")], bm)
async def stage():
    await asyncio.sleep(0)

def everything():
    return b"".join(path.read_bytes() for path in pathlib.Path(".").glob("runs.db*"))

async def main():
    async with bm:
        await stage()
        for _ in range(200):
            await bm.flush()
            if b'"packages"' in everything():
                break
            await asyncio.sleep(0.05)
        assert os.path.exists("runs.db-wal")
        assert b"launcher-is-stored" in everything()
        assert {SECRET.encode()!r} not in everything()
    assert {SECRET.encode()!r} not in everything()

asyncio.run(main())
"""


def environment_of(database: Path) -> dict[str, Any]:
    """Return what is stored of the environment of the only run."""
    [row] = read(database, "select environment from run")
    found: dict[str, Any] = json.loads(row["environment"])
    return found


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_secret_of_the_environment_is_in_no_file(
    run_script: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: str
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    monkeypatch.setenv("SLURM_TOKEN", SECRET)
    monkeypatch.setenv("SLURM_JOB_NAME", "launcher-is-stored")
    done = run_script(LOOKING_INTO_THE_FILES, collector)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    files = [*tmp_path.glob("runs.db*")]
    assert tmp_path / "runs.db" in files
    for file in files:
        assert SECRET.encode() not in file.read_bytes()
    assert "launcher-is-stored" in json.dumps(environment_of(tmp_path / "runs.db")["launcher"])


@pytest.fixture
def slow_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let a program that answers after a long time be the git of this process; return where it leaves its pids."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path / 'pids'}\nexec sleep {SLOW}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    pids = tmp_path / "pids"
    yield pids
    for pid in map(int, pids.read_text().split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git take longer than a test does, in this process and those that it starts: who waits for it hangs."""
    defaults: Any = gather.__kwdefaults__
    monkeypatch.setitem(defaults, "git_timeout", 3.0 * SLOW)
    text = f"from umlaut_async.collector.environment import gather\ngather.__kwdefaults__['git_timeout'] = {3.0 * SLOW}"
    folder = tmp_path / "patience"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("collector", ["thread", "process"])
async def test_a_slow_git_delays_neither_the_opening_nor_the_stage_nor_the_end(
    database: Path, slow_git: Path, collector: Any
) -> None:
    async def stage() -> str:
        return "done"

    bm = Benchmark(database, collector=collector)
    supervised = BenchmarkSupervisor([TimeMetric("time")], bm)(stage)
    began = time.monotonic()
    await bm.open()
    assert await supervised() == "done"
    await bm.flush()
    assert time.monotonic() - began < SLOW / 2
    while not slow_git.exists():
        await asyncio.sleep(0.01)
    assert await supervised() == "done"
    await bm.close()
    assert time.monotonic() - began < SLOW / 2
    assert len(read(database, "select * from span where status = 'ok'")) == 2


ENDING_WHILE_GIT_IS_ASKED = """
import asyncio, os, sys, time
from umlaut_async import Benchmark

async def main():
    async with Benchmark("runs.db", collector=sys.argv[1]):
        while not os.path.exists("pids"):
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_git_that_hangs_ends_with_the_program_which_leaves_no_file_open(
    run_script: RunScript, slow_git: Path, collector: str
) -> None:
    # The output of the program ends when nobody has it open.
    done = run_script(ENDING_WHILE_GIT_IS_ASKED, collector, timeout=SLOW - 5)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all(ends(pid) for pid in map(int, slow_git.read_text().split()))


async def test_a_run_that_outlasts_the_patience_says_why_git_is_not_in_it(database: Path, slow_git: Path) -> None:
    began = time.monotonic()
    async with Benchmark(database) as bm:
        reasons = set()
        while "git gave no answer in time" not in reasons and time.monotonic() - began < SLOW / 2:
            await asyncio.sleep(0.1)
            await bm.flush()
            reasons.add(environment_of(database).get("absent", {}).get("git"))
    assert "git had not answered when the run ended" in reasons
    found = environment_of(database)
    assert found["absent"]["git"] == "git gave no answer in time"
    assert "git" not in found
    assert {"host", "os", "python", "cpu", "memory", "argv", "directory", "packages"} <= found.keys()
    assert slow_git.exists()


@pytest.mark.parametrize("collector", ["thread", "process"])
async def test_the_distributions_are_those_that_the_program_finds(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Any
) -> None:
    for folder, distribution in (("absolute", "of_the_program-9.9"), ("relative", "beside-1.2")):
        (tmp_path / folder / f"{distribution}.dist-info").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [tmp_path / "absolute", "relative", *sys.path])
    expected = gather(without=PARTS - {"packages"})["packages"]
    async with Benchmark(database, collector=collector) as bm:
        monkeypatch.chdir("/")
        found: dict[str, Any] = {}
        while "packages" not in found:
            await asyncio.sleep(0.02)
            await bm.flush()
            found = environment_of(database)
    assert {"of-the-program==9.9", "beside==1.2"} <= {*found["packages"]["list"]}
    assert found["packages"] == expected
