"""The metrics of GPUs: their arguments, their values, and whole runs on a library that answers as NVML."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.metrics import stand_in_torch
from tests.probes.fake_nvml import TWO_GPUS, Gpu
from tests.support import calls_of, check_message, read
from umlaut_async.errors import ArgumentError, ArgumentTypeError
from umlaut_async.metrics.edges import TooShortError
from umlaut_async.metrics.gpu import (
    REDUCTIONS,
    GPUEnergyMetric,
    GPUMemoryMetric,
    GPUMetric,
    GPUPowerMetric,
    GPUTimeMetric,
)
from umlaut_async.probes import UnavailableError, UnreadableError
from umlaut_async.summary import Summary, summarise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probes.fake_nvml import FakeNvml
    from tests.support import RunScript
    from umlaut_async.metrics import Metric

pytestmark = pytest.mark.alone

OF_NVML = (GPUMetric, GPUMemoryMetric, GPUPowerMetric, GPUEnergyMetric)
CALL: Any = SimpleNamespace(duration=10**9)


def test_types_and_units_are_those_of_the_field() -> None:
    metrics: list[Metric] = [metric("g") for metric in OF_NVML]
    assert [(metric.measure_type, metric.unit) for metric in [*metrics, GPUTimeMetric("g")]] == [
        ("gpu", "%"),
        ("gpumemory", "MiB"),
        ("gpupower", "W"),
        ("gpuenergy", "µJ"),
        ("gputime", "sec"),
    ]


@pytest.mark.parametrize("metric", OF_NVML)
@pytest.mark.parametrize("wrong", [True, False, 0.0, 1.5, "0", None, [0], np.float64(1), np.True_])
def test_an_id_of_the_wrong_type_is_refused(metric: Any, wrong: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="id must be the index of a GPU") as caught:
        metric("g", 1, wrong)
    check_message(caught.value)


@pytest.mark.parametrize("metric", OF_NVML)
def test_a_negative_id_is_refused(metric: Any) -> None:
    with pytest.raises(ArgumentError, match="at least 0, not -1"):
        metric("g", id=-1)


@pytest.mark.parametrize("metric", OF_NVML)
def test_any_whole_number_is_an_id(metric: Any) -> None:
    assert [metric("g", 0.5, index).id for index in (0, 3, np.int64(2))] == [0, 3, 2]
    assert metric("g").id == 0
    assert metric("g", id=3).probe().key == ("nvml", metric.field.name, 3, None)
    assert metric("g").interval == 1


def test_the_other_arguments_are_checked_as_in_every_metric() -> None:
    with pytest.raises(ArgumentError, match="interval"):
        GPUMetric("g", 0)
    with pytest.raises(ArgumentTypeError, match="description"):
        GPUTimeMetric(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        GPUTimeMetric("g", 1)  # type: ignore[call-arg]
    assert GPUTimeMetric("g").interval is None


@pytest.mark.parametrize(
    ("entered", "left", "between", "value"),
    [
        (1000, 5000, None, 4000),
        (1000, 5000, (2000, 4000), 4000),
        (5000, 1000, None, None),
        # The counter began anew in between, and has come further than it was at the start.
        (1000, 5000, (9000, 2000), None),
        (None, 5000, (2000,), None),
        (1000, None, (2000,), None),
    ],
)
def test_energy_is_the_difference_of_a_counter_that_may_begin_anew(
    entered: float | None, left: float | None, between: tuple[float, ...] | None, value: float | None
) -> None:
    samples: Summary | None = None if between is None else summarise(between)
    outcome = REDUCTIONS["gpuenergy"](CALL, None, entered, left, samples, 10**9)
    assert (None if outcome is None else outcome[0]) == value


@pytest.mark.parametrize(("milliseconds", "error"), [(200, TooShortError), (2000, UnreadableError)])
def test_a_counter_of_energy_that_stands_gives_no_0(milliseconds: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        REDUCTIONS["gpuenergy"](CALL, None, 1000, 1000, None, milliseconds * 10**6)


def test_gpu_time_says_why_a_moment_was_not_taken() -> None:
    with pytest.raises((UnavailableError, UnreadableError)):
        REDUCTIONS["gputime"](CALL, None, UnreadableError("no"), UnreadableError("no"), None, 10**9)


MEASURED = """
import asyncio, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor
from umlaut_async.metrics import gpu

metrics = [
    gpu.GPUMetric("use", 0.1), gpu.GPUMemoryMetric("memory", 0.1), gpu.GPUPowerMetric("power", 0.1),
    gpu.GPUEnergyMetric("energy", 0.1),
]
script = os.environ["FAKE_NVML"]

def says(text):
    with open(script + ".new", "w") as file:
        file.write(text)
    os.replace(script + ".new", script)

bm = Benchmark("runs.db", collector=sys.argv.pop(1))

@BenchmarkSupervisor(metrics, bm)
async def train():
    await asyncio.sleep(0.5)
    for text in sys.argv[1:]:
        says(text)
        await asyncio.sleep(0.5)
    return "trained"

async def main():
    async with bm:
        assert await train() == "trained"

asyncio.run(main())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_four_metrics_of_one_gpu_make_one_call_for_each_field_and_tick(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, collector: str
) -> None:
    quiet = Gpu(utilisation=20, used=2**30, milliwatts=100_000, millijoules=1_000)
    busy = Gpu(utilisation=80, used=2**31, milliwatts=300_000, millijoules=151_000)
    fake.says(quiet)
    done = run_script(MEASURED, collector, f"gpu {' '.join(map(str, busy[:-1]))}\n")
    assert (done.returncode, done.stderr) == (0, "")
    [call] = calls_of(tmp_path / "runs.db")
    results = call["results"]
    assert results["gpumemory"]["value"] == 2048
    assert results["gpumemory"]["unit"] == "MiB"
    assert results["gpuenergy"]["value"] == 150_000_000
    assert 20 < results["gpu"]["value"] < 80
    assert 100 < results["gpupower"]["value"] < 300
    # The counter of energy moves ten times in that second.
    for type_, result in results.items():
        assert result["provenance"] == ("estimated" if type_ == "gpuenergy" else "measured")
    sources = {row["type"]: row["source"] for row in read(tmp_path / "runs.db", "select type, source from series")}
    assert sources == {"gpu": "nvml", "gpumemory": "nvml", "gpupower": "nvml", "gpuenergy": "nvml-counter"}
    [run] = read(tmp_path / "runs.db", "select environment from run")
    assert [gpu["uuid"] for gpu in json.loads(run["environment"])["gpus"]["devices"]] == [quiet.uuid]
    # Nine or ten ticks in a second, two that linger, and the two edges.
    # What the environment of the run asks, it asks once; so do the metrics for their session and their device.
    calls = fake.calls()
    ticks = [count for count in calls.values() if count > 2]
    assert len(ticks) == 4, calls
    assert all(6 <= count <= 14 for count in ticks), calls


@pytest.mark.parametrize("code", [9, 15, 18, 999])
def test_a_gpu_that_goes_in_the_middle_costs_readings_and_leaves_the_stage_alone(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, code: int
) -> None:
    gpu = Gpu(millijoules=1_000)
    fake.says(gpu)
    line = f"gpu {' '.join(map(str, gpu[:-1]))}\n"
    functions = ("UtilizationRates", "MemoryInfo_v2", "PowerUsage", "TotalEnergyConsumption")
    gone = "".join(f"error nvmlDeviceGet{function} {code}\n" for function in functions)
    done = run_script(MEASURED, "thread", line + gone)
    assert done.returncode == 0
    # One line for each metric, on no logger but ours.
    assert done.stderr.count("\n") == done.stderr.count(f"NVML error {code}") == 4
    [call] = calls_of(tmp_path / "runs.db")
    assert call["results"]["gpupower"]["value"] == 71.5
    assert "gpuenergy" not in call["results"]
    events = read(tmp_path / "runs.db", "select * from event where kind = 'unreadable'")
    assert {event["data"]["type"] for event in events} == {"gpu", "gpumemory", "gpupower", "gpuenergy"}


def test_a_gpu_that_does_not_exist_is_named_once_for_each_metric(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run_script(MEASURED, "thread")
    assert done.returncode == 0
    assert done.stderr.count("\n") == done.stderr.count("GPU 0 does not exist") == 4
    [call] = calls_of(tmp_path / "runs.db")
    assert not call["results"]
    events = read(tmp_path / "runs.db", "select * from event where kind = 'unavailable'")
    assert [event["data"]["cure"] for event in events] == ["make a GPU visible to this process"] * 4
    provenances = read(tmp_path / "runs.db", "select distinct provenance from series")
    assert [row["provenance"] for row in provenances] == ["unavailable"]


SHORT = """
import asyncio, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, GPUEnergyMetric

bm = Benchmark("runs.db", collector=sys.argv[1])

def says(*millijoules):
    with open(os.environ["FAKE_NVML"] + ".new", "w") as file:
        file.writelines(f"gpu GPU-{number} 0 0 0 1 200000 {each}\\n" for number, each in enumerate(millijoules))
    os.replace(file.name, os.environ["FAKE_NVML"])

async def work(seconds, *, hides=False):
    await asyncio.sleep(seconds)
    if hides:
        os.environ["CUDA_VISIBLE_DEVICES"] = "1"
    says(40_000, 9_000_000)
    await asyncio.sleep(seconds)

async def main():
    says(1_000, 5_000_000)
    async with bm:
        stage = {name: BenchmarkSupervisor([GPUEnergyMetric("energy", 9)], bm, name=name)(work) for name in "abc"}
        await stage["a"](0.4, hides=True)
        for _ in range(3):
            await stage["b"](0.02)
        says(1_000, 5_000_000)
        await stage["c"](0.3)

asyncio.run(main())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_energy_is_that_of_one_gpu_and_absent_where_its_counter_had_no_time_to_move(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, collector: str
) -> None:
    """A stage may hide GPUs while it runs: the calls of that stage go on with theirs, and new stages see the others."""
    done = run_script(SHORT, collector)
    assert (done.returncode, done.stderr) == (0, "")
    found = [(call["name"], call["results"].get("gpuenergy")) for call in calls_of(tmp_path / "runs.db")]
    assert [(name, result and (result["value"], result["provenance"])) for name, result in found] == [
        ("a", (39_000_000, "estimated")), *[("b", None)] * 3, ("c", (4_000_000_000, "estimated")),
    ]  # fmt: skip
    events = read(tmp_path / "runs.db", "select * from event where kind = 'too-short'")
    assert [event["data"]["stage"] for event in events] == ["b"]


LATE = """
import asyncio, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, GPUPowerMetric, TimeMetric

bm = Benchmark("runs.db", collector=sys.argv[1])

async def main():
    async with bm:
        BenchmarkSupervisor([TimeMetric("time")], bm)(len)([])
        await bm.flush()
        BenchmarkSupervisor([GPUPowerMetric("power", 0.1)], bm)(time.sleep)(2)

asyncio.run(main())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_metric_that_is_made_after_the_opening_adds_the_gpus_to_what_the_run_ran_on(
    fake: FakeNvml, tmp_path: Path, run_script: RunScript, collector: str
) -> None:
    done = run_script(LATE, collector)
    assert (done.returncode, done.stderr) == (0, "")
    [run] = read(tmp_path / "runs.db", "select environment from run")
    environment = json.loads(run["environment"])
    assert [gpu["uuid"] for gpu in environment["gpus"]["devices"]] == [gpu.uuid for gpu in TWO_GPUS]
    assert "gpus" not in environment["absent"]
    assert "host" in environment


TIMED = """
import sys, threading
from umlaut_async import Benchmark, BenchmarkSupervisor
from umlaut_async.metrics import gpu
import asyncio

bm = Benchmark("runs.db", collector=sys.argv[2])

@BenchmarkSupervisor([gpu.GPUTimeMetric("kernels")], bm)
def train():
    import torch
    torch.cuda.stream.work(125)
    torch.gpu.now += 125 * (sys.argv[1] == "at once")

async def main():
    async with bm:
        train()
        torch = sys.modules["torch"]
        assert not torch.cuda.initialised
        torch.cuda.init()
        train()
        threading.Timer(0.5, setattr, (torch.gpu, "now", 1000)).start()
        await bm.flush()
        assert not torch.gpu.waits

asyncio.run(main())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("finishes", ["at once", "later"])
def test_gpu_time_is_that_of_the_events(tmp_path: Path, run_script: RunScript, finishes: str, collector: str) -> None:
    shutil.copy(stand_in_torch.__file__, tmp_path / "torch.py")
    done = run_script(TIMED, finishes, collector)
    assert done.returncode == 0, done.stderr
    # Of the first call it is said why it has none, once.
    assert done.stderr.count("\n") == done.stderr.count("torch was not imported when the call began") == 1
    first, second = calls_of(tmp_path / "runs.db")
    assert "gputime" not in first["results"]
    assert second["results"]["gputime"]["value"] == 0.125
    assert second["results"]["gputime"]["unit"] == "sec"
    assert second["results"]["gputime"]["provenance"] == "measured"
