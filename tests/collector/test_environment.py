"""The environment of a run: what is taken, what never is, and that nothing can keep it waiting."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.probes.fake_nvml import TWO_GPUS
from umlaut_async import Benchmark
from umlaut_async.collector.environment import gather

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probes.fake_nvml import FakeNvml
    from tests.support import RunScript

SECRET = "hunter2-not-to-be-stored"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "train.py")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it prints."""
    named = ["-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()


def fake_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be the git of this process."""
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_what_is_known_of_machine_and_process() -> None:
    found = gather(directory="/")
    assert found["host"] == platform.node()
    assert found["python"]["version"] == platform.python_version()
    assert found["os"]["kernel"] == platform.release()
    assert found["cpu"]["count"] == os.cpu_count()
    assert found["memory"]["bytes"] > 2**20
    assert found["argv"] == sys.argv
    assert found["directory"] == "/"
    assert json.loads(json.dumps(found)) == found


def test_every_part_is_there_or_says_why_not() -> None:
    found = gather()
    parts = {
        "host",
        "os",
        "python",
        "cpu",
        "memory",
        "limits",
        "gpus",
        "argv",
        "directory",
        "git",
        "packages",
        "launcher",
    }
    assert (found.keys() - {"absent"}) | found["absent"].keys() == parts
    assert not found.keys() & found["absent"].keys()
    assert all(found["absent"].values())


def test_only_the_variables_of_launchers_are_taken() -> None:
    placed = {
        "SLURM_JOB_ID": "17",
        "SLURM_PROCID": "3",
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "MASTER_ADDR": "node1",
        "OMPI_COMM_WORLD_RANK": "3",
        "PMI_SIZE": "8",
    }
    hidden = ["AWS_SECRET_ACCESS_KEY", "HOME", "SLURM_JWT", "SLURM_JOB_COMMENT", "RANK_TOKEN", "rank", "PMI_SECRET"]
    found = gather(environ=placed | dict.fromkeys(hidden, SECRET))
    assert found["launcher"] == placed
    assert SECRET not in json.dumps(found)


def test_a_secret_in_the_real_environment_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    monkeypatch.setenv("SLURM_JWT", SECRET)
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    found = gather()
    assert found["launcher"]["SLURM_JOB_ID"] == "18"
    assert SECRET not in json.dumps(found)


@needs_git
def test_the_commit_and_whether_anything_was_changed(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert gather(directory=str(repository))["git"] == {"commit": commit, "dirty": False}
    (repository / "new.txt").write_text("not of the repository")
    assert gather(directory=str(repository))["git"]["dirty"] is False
    (repository / "train.py").write_text("print(2)\n")
    assert gather(directory=str(repository))["git"] == {"commit": commit, "dirty": True}


@needs_git
def test_git_is_asked_without_locks_prompts_and_programs_of_the_repository(repository: Path) -> None:
    planted = repository / "planted.sh"
    planted.write_text(f"#!/bin/sh\ntouch {repository}/ran\n")
    planted.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(planted))
    index = repository / ".git" / "index"
    os.utime(repository / "train.py", (1, 1))
    before = index.read_bytes()
    assert "git" in gather(directory=str(repository))
    assert not (repository / "ran").exists()
    assert index.read_bytes() == before


@needs_git
def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not a git repository" in gather(directory=str(tmp_path))["absent"]["git"]


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in gather()["absent"]["git"]


def test_a_git_that_hangs_is_given_up_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    fake_git(tmp_path, monkeypatch, f"sleep 300 &\necho $$ $! > {pids}\nsleep 300")
    began = time.monotonic()
    found = gather(git_timeout=0.5)
    assert time.monotonic() - began < 20
    assert found["absent"]["git"] == "git gave no answer in time"
    assert "packages" in found
    for pid in pids.read_text().split():
        assert ends(int(pid))


def test_a_git_that_leaves_a_program_behind_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    fake_git(tmp_path, monkeypatch, f"sleep 300 &\necho $! > {pid}")
    assert gather(git_timeout=0.5)["absent"]["git"] == "git gave no answer in time"
    assert ends(int(pid.read_text()))


def test_a_git_that_says_nonsense_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, monkeypatch, "echo nonsense")
    assert gather()["absent"]["git"] == "git names no commit here"
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    assert gather()["absent"]["git"] == "broken"


def test_the_installed_distributions_are_those_that_python_knows() -> None:
    packages = gather()["packages"]
    known = {
        f"{re.sub(r'[-_.]+', '-', found.metadata['Name']).lower()}=={found.version}"
        for found in importlib.metadata.distributions()
    }
    assert "psutil" in {line.partition("==")[0] for line in packages["list"]}
    assert {line for line in packages["list"] if "unknown" not in line} <= known
    assert {line.partition("==")[0] for line in packages["list"]} == {line.partition("==")[0] for line in known}
    assert packages["sha256"] == hashlib.sha256("\n".join(packages["list"]).encode()).hexdigest()


def test_other_distributions_have_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = gather()["packages"]
    (tmp_path / "Some_Thing-1.5.dist-info").mkdir()
    (tmp_path / "old-2.0-py3.11.egg-info").mkdir()
    (tmp_path / "psutil-0.0.0.dist-info").mkdir()
    (tmp_path / "plain.egg-info").mkdir()
    (tmp_path / "plain.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 3.1\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    after = gather()["packages"]
    assert {*after["list"]} - {*before["list"]} == {"some-thing==1.5", "old==2.0", "plain==3.1"}
    assert after["sha256"] != before["sha256"]


def test_a_part_that_fails_costs_only_itself() -> None:
    def gpus() -> object:
        raise RuntimeError("the driver is gone")

    found = gather(gpus=gpus)
    assert found["absent"]["gpus"] == "RuntimeError: the driver is gone"
    assert "host" in found
    assert gather(gpus=lambda: {"driver": "1", "devices": []})["gpus"] == {"driver": "1", "devices": []}


def test_arguments_that_are_no_text_can_be_stored() -> None:
    found = gather(argv=["train.py", os.fsdecode(b"caf\xe9"), "naïve"], directory=os.fsdecode(b"/\xff"))
    assert found["argv"] == ["train.py", "caf\\xe9", "naïve"]
    json.dumps(found, ensure_ascii=False).encode()


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = gather()
    assert "FileNotFoundError" in found["absent"]["directory"]
    assert "git" in found["absent"]
    assert "host" in found


def test_a_machine_without_the_files_of_linux(tmp_path: Path) -> None:
    found = gather(proc=str(tmp_path), sys_cgroup=str(tmp_path))
    assert found["memory"]["bytes"] > 2**20
    assert found["absent"]["limits"] == "there are no control groups"
    assert found["cpu"]["allowed"] is None


def test_the_model_of_the_cpu_and_the_limits_come_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 2 GHz\nflags\t: x\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\n")
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (tmp_path / "memory.max").write_text("2048\n")
    found = gather(proc=str(tmp_path), sys_cgroup=str(tmp_path))
    assert found["cpu"]["model"] == "Fast CPU @ 2 GHz"
    assert found["memory"] == {"bytes": 1_024_000}
    assert found["limits"]["cgroup"] == "v2"
    assert found["limits"]["memory_bytes"] == found["limits"]["usable_memory_bytes"] == 2048


def test_a_cpu_without_a_name_is_asked_for_by_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of ARM are; `platform.processor` would run `uname`, a child that the measured program sees."""
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    assert gather(proc=str(tmp_path), without=["git"])["cpu"]["model"] == platform.machine()


def ends(pid: int) -> bool:
    """Return whether a process ends within a few seconds."""
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


GATHERING = """
import json, sys
from umlaut_async import GPUPowerMetric
from tests.probes.fake_nvml import TWO_GPUS
from umlaut_async import Benchmark
from umlaut_async.collector.environment import gather

metric = GPUPowerMetric("power") if "metric" in sys.argv else None
if "reading" in sys.argv:
    metric.probe().read()
found = [gather(proc=sys.argv[1], without=["git", "packages"]) for _ in range(2)][-1]
print(json.dumps(found.get("gpus") or found["absent"]["gpus"]))
"""


def gpus_of(run_script: RunScript, *arguments: object) -> Any:
    done = run_script(GATHERING, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_run_that_asks_for_no_gpu_starts_no_driver(fake: FakeNvml, tmp_path: Path, run_script: RunScript) -> None:
    assert gpus_of(run_script, tmp_path) == "the NVIDIA driver is not loaded, and no metric asks for a GPU"
    assert not fake.calls()


def test_the_gpus_are_stored_where_the_driver_is_loaded_or_a_metric_asks_for_one(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript
) -> None:
    with_a_driver = tmp_path / "proc"
    (with_a_driver / "driver" / "nvidia").mkdir(parents=True)
    for arguments in ([with_a_driver], [tmp_path, "metric"], [tmp_path, "metric", "reading"]):
        fake.forget_calls()
        gpus = gpus_of(run_script, *arguments)
        assert gpus["driver"]
        assert [(gpu["uuid"], gpu["memory_bytes"]) for gpu in gpus["devices"]] == [
            (gpu.uuid, gpu.total) for gpu in TWO_GPUS
        ]
        # What the metrics have open is used, and stays open for them.
        assert (fake.calls()["nvmlInitWithFlags"], fake.calls()["nvmlShutdown"]) == (1, 0)


def test_a_driver_that_fails_is_named(fake: FakeNvml, tmp_path: Path, run_script: RunScript) -> None:
    fake.says(errors={"nvmlInitWithFlags": 9})
    assert "driver is not loaded (NVML error 9)" in gpus_of(run_script, tmp_path, "metric")


def test_a_gpu_that_is_lost_costs_neither_the_others_nor_the_driver(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript
) -> None:
    fake.says(also="error nvmlDeviceGetHandleByIndex_v2 15 0")
    gpus = gpus_of(run_script, tmp_path, "metric")
    assert gpus["driver"]
    lost, other = gpus["devices"]
    assert lost.keys() == {"index", "absent"}
    assert (lost["index"], other["uuid"]) == (0, TWO_GPUS[1].uuid)
    assert "GPU 0 could not be read: NVML error 15" in lost["absent"]


async def test_a_run_does_not_wait_at_its_end_for_metrics_of_gpus_that_never_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So long that a wait for it is a hang.
    monkeypatch.setattr("umlaut_async.collector.collector._ENVIRONMENT_PATIENCE", 1000)
    benchmark = Benchmark(tmp_path / "runs.db")
    await benchmark.open()
    await benchmark.flush()
    await asyncio.wait_for(benchmark.close(), 30)
