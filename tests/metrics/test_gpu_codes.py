"""Every error code of NVML, as a supervised stage sees it: the stage runs on, and each metric says what is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.probes.fake_nvml import Gpu
from tests.support import calls_of, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probes.fake_nvml import FakeNvml
    from tests.support import RunScript

CODES = [*range(1, 31), 77, 999]
TYPES = {"gpu", "gpumemory", "gpupower", "gpuenergy"}
FIELDS = [
    "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetTotalEnergyConsumption",
]  # fmt: skip
SETTING_UP = ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"]

# Each code in a forked process, in which NVML is new, and which need import nothing any more.
SCRIPT = """
import asyncio, json, logging, os, sys, traceback
import aiosqlite, sqlalchemy.ext.asyncio, umlaut_async.collector.opening
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
from umlaut_async.metrics import gpu

class Kept(logging.Handler):
    def emit(self, record):
        kept.append((record.name, record.levelname, record.getMessage()))

kept = []
logging.getLogger().addHandler(Kept())
logging.getLogger().setLevel(logging.WARNING)

async def run(code):
    bm = Benchmark(f"{code}.db")
    metrics = [
        TimeMetric("time"), gpu.GPUMetric("use", 0.03), gpu.GPUMemoryMetric("memory", 0.03),
        gpu.GPUPowerMetric("power", 0.03), gpu.GPUEnergyMetric("energy", 0.03),
    ]

    @BenchmarkSupervisor(metrics, bm)
    async def train(how):
        await asyncio.sleep(0.05)
        if how == "raises":
            raise failure
        return how

    failure = ValueError("mine")
    async with bm:
        assert await train("well") == "well"
        try:
            await train("raises")
        except ValueError as error:
            assert error is failure
        else:
            raise AssertionError("nothing was raised")
    with open(f"{code}.log", "w") as file:
        json.dump(kept, file)

for code in json.loads(sys.argv[2]):
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            os.environ["FAKE_NVML"] = os.path.abspath(f"{code}.nvml")
            with open(f"{code}.nvml", "w") as file:
                print(sys.argv[1], *(f"error {function} {code}" for function in sys.argv[3:]), sep="\\n", file=file)
            asyncio.run(run(code))
            ended = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(ended)
    assert os.waitpid(child, 0) == (child, 0), code
"""


@pytest.mark.parametrize(
    ("functions", "codes"),
    [(FIELDS, CODES), *(([function], [1, 3, 4, 9, 15, 18, 999]) for function in SETTING_UP)],
    ids=["fields", *SETTING_UP],
)
def test_a_stage_runs_on_and_its_metrics_have_a_gap_with_the_reason(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, functions: list[str], codes: list[int]
) -> None:
    line = f"gpu {' '.join(map(str, Gpu()[:-1]))}"
    done = run_script(SCRIPT, line, json.dumps(codes), *functions, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for code in codes:
        database = tmp_path / f"{code}.db"
        calls = calls_of(database)
        assert [(call["status"], call["results"].keys()) for call in calls] == [("ok", {"time"}), ("error", {"time"})]
        told = read(database, "select * from event where kind in ('unreadable', 'unavailable')")
        assert sorted(event["data"]["type"] for event in told) == sorted(TYPES), code
        assert all(f"NVML error {code}" in event["data"]["reason"] for event in told)
        logged = [tuple(line) for line in json.loads((tmp_path / f"{code}.log").read_text())]
        assert sorted(logged) == sorted(("umlaut_async", "WARNING", event["message"]) for event in told)
        assert read(database, "select * from sample") == []
