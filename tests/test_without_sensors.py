"""A machine without sensors: stages run as ever, each metric says once what is missing, and no number is made up."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import environment, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls, Rows, RunScript

pytestmark = pytest.mark.skipif(
    os.path.exists("/sys/class/powercap/intel-rapl")
    or os.path.exists("/dev/nvidiactl")
    or importlib.util.find_spec("torch") is not None,
    reason="this machine has sensors",
)

CAUSES = {
    "power": ("there are no energy counters", "sudo modprobe intel_rapl_msr"),
    "energy": ("there are no energy counters", "sudo modprobe intel_rapl_msr"),
    "gpu": ("libnvidia-ml.so.1, was not found", "install the NVIDIA driver"),
    "gpumemory": ("libnvidia-ml.so.1, was not found", "install the NVIDIA driver"),
    "gpupower": ("libnvidia-ml.so.1, was not found", "install the NVIDIA driver"),
    "gpuenergy": ("libnvidia-ml.so.1, was not found", "install the NVIDIA driver"),
    "gputime": ("torch is not installed", "pip install torch"),
}

SCRIPT = """
import asyncio, json, logging, os, sys

class Kept(logging.Handler):
    def emit(self, record):
        if record.levelno > logging.INFO:
            print(json.dumps([record.name, record.levelname, record.getMessage()]))

kept = Kept()
logging.getLogger().addHandler(kept)
logging.getLogger().setLevel(logging.INFO)
before = {logger: list(logging.getLogger(logger).handlers) for logger in (None, "umlaut_async")}

import umlaut_async as u

metrics = [
    u.TimeMetric("my time"), u.PowerMetric("my power", 0.02), u.EnergyMetric("my energy"), u.GPUMetric("my gpu", 0.02),
    u.GPUMemoryMetric("my gpumemory", 0.02), u.GPUPowerMetric("my gpupower", 0.02),
    u.GPUEnergyMetric("my gpuenergy", 0.02), u.GPUTimeMetric("my gputime"),
]
benchmark = u.Benchmark("runs.db", collector=sys.argv[1])
failure = ValueError("mine")

@u.BenchmarkSupervisor(metrics, benchmark)
async def stage(number):
    await asyncio.sleep(0.1)
    return number

@u.BenchmarkSupervisor(metrics, benchmark)
def plain(number):
    return number

@u.BenchmarkSupervisor(metrics, benchmark)
async def produce():
    yield 1
    yield 2

@u.BenchmarkSupervisor(metrics, benchmark)
async def fail():
    raise failure

async def main():
    async with benchmark:
        assert await asyncio.gather(*(stage(number) for number in range(5))) == [0, 1, 2, 3, 4]
        assert [plain(number) for number in range(5)] == [0, 1, 2, 3, 4]
        assert [item async for item in produce()] == [1, 2]
        try:
            await fail()
        except ValueError as error:
            assert error is failure
        else:
            raise AssertionError("nothing was raised")
        await benchmark.flush()
        assert await stage(6) == 6

asyncio.run(main())
assert logging.getLogger().handlers == [kept]
assert before == {logger: list(logging.getLogger(logger).handlers) for logger in (None, "umlaut_async")}
assert not {"pandas", "pymongo"} & set(sys.modules)
"""


@pytest.fixture
def collector() -> str:
    """Return where the collector runs."""
    return "thread"


@pytest.fixture
def ran(tmp_path: Path, run_script: RunScript, collector: str) -> subprocess.CompletedProcess[str]:
    """Return how a script ended that measures all this, where pandas is installed and tells of its import."""
    for name in ("pandas", "pymongo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\n")
    return run_script(SCRIPT, collector)


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_stages_are_left_alone_and_each_metric_says_once_what_is_missing(
    ran: subprocess.CompletedProcess[str], tmp_path: Path, ended_calls: EndedCalls, rows: Rows
) -> None:
    assert (ran.returncode, ran.stderr) == (0, "")
    messages: dict[str, str] = {}
    for line in ran.stdout.splitlines():
        logger, level, message = json.loads(line)
        assert (logger, level) == ("umlaut_async", "WARNING")
        type_ = message.split()[0]
        assert type_ not in messages, "it was said twice"
        assert f"'my {type_}' is not recorded" in message
        messages[type_] = message
    assert messages.keys() == CAUSES.keys()
    for type_, (cause, cure) in CAUSES.items():
        assert cause in messages[type_]
        assert cure in messages[type_]
    assert not (tmp_path / "imported").exists()
    calls = ended_calls()
    assert [call["name"] for call in calls].count("stage") == 6
    assert {(call["name"], call["status"]) for call in calls} == {
        ("stage", "ok"), ("plain", "ok"), ("produce", "ok"), ("fail", "error"),
    }  # fmt: skip
    assert all(set(call["results"]) == {"time"} for call in calls)
    lacking = rows("select type, value, series_id from result where provenance = 'unavailable'")
    assert len(lacking) == 4 * len(CAUSES), "one result for each stage and metric tells of it"
    assert all(row["value"] is None and row["series_id"] is not None for row in lacking)
    assert rows("select * from sample") == []
    assert {row["provenance"] for row in rows("select provenance from series")} == {"unavailable"}
    # Nor is it said of them that samples are missing, however late their first readings come.
    events = rows("select * from event")
    assert sorted((event["kind"], event["data"]["type"]) for event in events) == sorted(
        ("unavailable", type_) for type_ in CAUSES
    )


def umlaut(folder: Path, *arguments: object) -> str:
    """Return what a command prints; it must end well."""
    ended = subprocess.run(
        [sys.executable, "-m", "umlaut_async", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_they_appear_in_show_and_doctor(ran: subprocess.CompletedProcess[str], tmp_path: Path, database: Path) -> None:
    assert ran.returncode == 0
    shown, doctor = umlaut(tmp_path, "show", database), umlaut(tmp_path, "doctor")
    found = json.loads(umlaut(tmp_path, "doctor", "--json"))["metrics"]
    by_type = {metric["type"]: metric for metric in found}
    for event in read(database, "select * from event"):
        data = event["data"]
        (line,) = [line for line in shown.splitlines() if line.startswith(data["description"] + " ")]
        assert data["reason"] in line
        assert data["cure"] in line
        # A run and the doctor say the same.
        metric = by_type[data["type"]]
        assert (metric["status"], metric["provenance"]) == ("unavailable", "unavailable")
        assert (metric["reason"], metric["cure"]) == (data["reason"], data["cure"])
        assert data["reason"] in doctor
    assert not (tmp_path / "imported").exists()
    document = json.loads(umlaut(tmp_path, "show", "--json", database))
    told = {(event["kind"], event["data"]["type"]) for event in document["events"]}
    assert told == {("unavailable", type_) for type_ in CAUSES}
    for stage in document["stages"]:
        found = {type_: (metric["n"] > 0, metric["provenance"]) for type_, metric in stage["metrics"].items()}
        assert found == {"time": (True, "measured")} | dict.fromkeys(CAUSES, (False, "unavailable"))


def test_the_stand_in_for_pandas_would_tell(tmp_path: Path, ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0
    subprocess.run([sys.executable, "-c", "import pandas"], cwd=tmp_path, env=environment(), check=True, timeout=30)
    assert (tmp_path / "imported").read_text() == "pandas"
