"""A pipeline that was written from the documentation alone runs with `compat` in the place of `umlaut`."""

from __future__ import annotations

import json
import pickle
import re
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT, check_message, environment, read
from umlaut_async import ArgumentError, ArgumentTypeError, compat

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support import RunScript

STAND_IN = """
import runpy
import sys
from umlaut_async import compat

sys.modules["umlaut"] = compat
runpy.run_path("pipeline.py", run_name="__main__")
"""

PIPELINE = """
import time

import numpy as np

import umlaut
from umlaut import Benchmark, BenchmarkSupervisor

bm = Benchmark("runs.db", description="written from the documentation", mode="w")

throughput = umlaut.ThroughputMetric("train throughput")
latency = umlaut.LatencyMetric("train latency")
metrics = {
    "cpu": umlaut.CPUMetric("train cpu", interval=0.02),
    "throughput": throughput,
    "latency": latency,
    "power": umlaut.PowerMetric("train power", interval=0.02),
    "energy": umlaut.EnergyMetric("train energy"),
    "memory": umlaut.MemoryMetric("train memory", interval=0.02),
    "time": umlaut.TimeMetric("train time"),
}


@BenchmarkSupervisor(metrics.values(), bm)
def train(features):
    throughput.track(len(features))
    latency.track(num_entries=len(features))
    time.sleep(0.1)
    return features.sum()


@BenchmarkSupervisor([umlaut.TimeMetric(description="test time")], benchmark=bm)
def test():
    return [0, 1, 1]


assert train(np.ones((20, 3))) == 60
assert train(np.ones((30, 3))) == 90
assert test() == [0, 1, 1]

losses = umlaut.LossTracker(bm)
losses.track(np.array([0.9, 0.5]), "as an array")
losses.track([3, 2, 1], description="as a list")
assert isinstance(losses.serialize([3, 2]), bytes)

accuracies = umlaut.TTATracker(bm)
accuracies.track(accuracies=np.array([0.5, 0.75]), description="as an array")
accuracies.track([1, 2], "as a list")
assert isinstance(accuracies.serialize(np.array([0.5])), bytes)

search = umlaut.HyperparameterTracker(bm, "a search", ["alpha", "depth"], "loss", low_means_good=True)
search.track({"alpha": 0.1, "depth": np.int64(3), "loss": np.float64(0.5)})
search.track(["0.2", "4", "0.25"])
assert isinstance(search.serialize(), bytes)

confusion = umlaut.ConfusionMatrixTracker(bm)
confusion.track(np.array([[5, 1], [0, 7]]), ["cat", "dog"], "as an array")
confusion.track([[5, 1], [0, 7]], np.array(["cat", "dog"]), description="as lists")
assert isinstance(confusion.serialize([[1]], ["one"]), bytes)

bm.close()

from umlaut.datamodel import BenchmarkMetadata, Measurement
from umlaut.benchmark import Benchmark as TheSame
from umlaut.metrics import TimeMetric

assert TheSame is Benchmark and TimeMetric is umlaut.TimeMetric and Measurement is umlaut.datamodel.Measurement

reading = Benchmark("runs.db", mode="r")
(run,) = reading.query(BenchmarkMetadata).all()
assert run.meta_description == bm.description and run.uuid == bm.uuid
timed = reading.query(Measurement).filter_by(measured_method_name="train", measurement_type="time")
print(*(type(measurement.measurement_data).__name__ for measurement in timed.all()))
reading.session.close()
reading.close()
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "pipeline.py").write_text(PIPELINE)
    return (
        subprocess.run(
            [sys.executable, "-W", "error", "-c", STAND_IN],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ),
        folder,
    )


def test_it_runs_unchanged(ended: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    process, folder = ended
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == "float float\n"
    assert {path.name for path in folder.iterdir()} <= {"pipeline.py", "runs.db", "runs.db-wal", "runs.db-shm"}


def test_it_stores_what_was_measured(ended: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    database = ended[1] / "runs.db"
    found = read(database, "select type, value, data, unit, description from result where method = 'train' order by id")
    assert {row["type"] for row in found} >= {"cpu", "throughput", "latency", "memory", "time"}
    times = [row["value"] for row in found if row["type"] == "time"]
    assert len(times) == 2
    for time, rate, each in zip(
        times,
        [row["value"] for row in found if row["type"] == "throughput"],
        [row["value"] for row in found if row["type"] == "latency"],
        strict=True,
    ):
        assert time >= 0.1
        assert rate * each == pytest.approx(1)
    rates = [
        row["value"] * time for row, time in zip([r for r in found if r["type"] == "throughput"], times, strict=True)
    ]
    assert rates == [pytest.approx(20), pytest.approx(30)]
    tracked = {
        (row["type"], row["description"]): row["data"]
        for row in read(database, "select * from result where span is null")
    }
    assert tracked["loss", "as an array"] == [0.9, 0.5]
    assert tracked["loss", "as a list"] == [3, 2, 1]
    assert tracked["tta", "as an array"] == [0.5, 0.75]
    assert tracked["confusion-matrix", "as an array"] == tracked["confusion-matrix", "as lists"]
    assert tracked["confusion-matrix", "as lists"] == {"matrix": [[5, 1], [0, 7]], "labels": ["cat", "dog"]}
    assert tracked["hyperparameters", "a search"]["measurements"] == [
        {"alpha": 0.1, "depth": 3, "loss": 0.5},
        {"alpha": "0.2", "depth": "4", "loss": "0.25"},
    ]
    assert len(tracked) == 7


@pytest.mark.parametrize("module", ["benchmark", "datamodel", "metrics"])
def test_its_modules_are_there_without_an_import_of_their_own(run_script: RunScript, module: str) -> None:
    script = f"{STAND_IN.partition('runpy.run')[0]}import umlaut; print(umlaut.{module}.__all__ != [])"
    ended = run_script(script)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_a_metric_need_not_be_in_a_list_and_a_coroutine_is_measured_too(database: Path) -> None:
    import asyncio

    bm = compat.Benchmark(str(database))

    @compat.BenchmarkSupervisor({"time": compat.TimeMetric("time")}.values(), bm)
    async def stage() -> None:
        await asyncio.sleep(0.02)

    asyncio.run(stage())
    bm.close()
    (result,) = read(database, "select value from result")
    assert result["value"] >= 0.02


def test_what_the_target_accuracy_tracker_serialises(database: Path) -> None:
    import pickle

    with compat.Benchmark(str(database)) as bm:
        tracker = compat.TimedTTATracker(bm, 0.9)
        assert pickle.loads(tracker.serialize([0.5, 0.9])) == [0.5, 0.9]
        tracker.track(0.95, "time to 0.9")
    (result,) = read(database, "select type, value from result")
    assert result["type"] == "timed tta"
    assert result["value"] >= 0


@pytest.mark.parametrize(
    ("matrix", "labels", "error"),
    [
        ([[1, 2], [3]], ["a", "b"], ArgumentError),
        ([[1, 2], [3, 4]], ["a"], ArgumentError),
        ([["1", "x"], [3, 4]], ["a", "b"], ArgumentTypeError),
        (5, ["a", "b"], ArgumentTypeError),
    ],
)
def test_a_matrix_that_is_none_is_refused(
    database: Path, matrix: object, labels: object, error: type[Exception]
) -> None:
    with compat.Benchmark(str(database)) as bm:
        with pytest.raises(error) as caught:
            compat.ConfusionMatrixTracker(bm).track(matrix, labels, "mine")
        check_message(caught.value)
    assert read(database, "select * from result") == []


@pytest.mark.parametrize("numbers", [["a", "b"], 5, [None], [[1]], "12"])
def test_what_are_no_numbers_is_refused(database: Path, numbers: object) -> None:
    with compat.Benchmark(str(database)) as bm:
        for tracker in (compat.LossTracker(bm), compat.TTATracker(bm)):
            with pytest.raises(ArgumentTypeError) as caught:
                tracker.track(numbers, "mine")
            check_message(caught.value)
    assert read(database, "select * from result") == []


@pytest.mark.parametrize("measurement", [[0.1], [1, 2, 3], {"alpha": 1}])
def test_a_measurement_that_lacks_a_value_is_refused(database: Path, measurement: list[float]) -> None:
    with compat.Benchmark(str(database)) as bm:
        tracker = compat.HyperparameterTracker(bm, "a search", ["alpha"], "loss")
        with pytest.raises(ArgumentError) as caught:
            tracker.track(measurement)
        check_message(caught.value)


def test_a_measurement_may_be_an_array_or_a_series(database: Path) -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    with (
        compat.Benchmark(str(database)) as bm,
        compat.HyperparameterTracker(bm, "a search", ["alpha", "depth"], "loss") as tracker,
    ):
        tracker.track(numpy.array([0.5, 2.0, 0.25]))
        tracker.track(pandas.Series({"loss": 0.125, "alpha": 0.5, "depth": 3.0}))
        for wrong, error in ((numpy.array([0.5]), ArgumentError), (numpy.array(5), ArgumentTypeError)):
            with pytest.raises(error) as caught:
                tracker.track(wrong)
            check_message(caught.value)
    (result,) = read(database, "select data from result")
    assert result["data"]["measurements"] == [
        {"alpha": 0.5, "depth": 2.0, "loss": 0.25},
        {"alpha": 0.5, "depth": 3.0, "loss": 0.125},
    ]


def test_what_is_no_benchmark_is_refused(database: Path) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        compat.LossTracker("runs.db")  # type: ignore[arg-type]
    check_message(caught.value)
    with pytest.raises(ArgumentTypeError):
        compat.BenchmarkSupervisor([compat.TimeMetric("time")], None)  # type: ignore[arg-type]


def test_what_the_page_on_migrating_shows(run_script: RunScript) -> None:
    page = (ROOT / "docs" / "migrating.md").read_text()
    shown, standing_in = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for text in (shown, standing_in + shown.replace("from umlaut_async import compat as umlaut", "import umlaut")):
        ended = run_script(text)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert {*ended.stdout.splitlines()} == {"train sec"}


def test_the_example(run_script: RunScript, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the example needs the extra 'examples'")
    example = (ROOT / "examples" / "sync_pipeline.py").read_text()
    ended = run_script(example, "breast_cancer.db", timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "accuracy" in ended.stdout
    found = read(tmp_path / "breast_cancer.db", "select distinct type from result")
    assert {row["type"] for row in found} == {
        "time", "throughput", "latency", "cpu", "memory", "loss", "tta", "hyperparameters", "confusion-matrix"
    }  # fmt: skip
    (run,) = read(tmp_path / "breast_cancer.db", "select status, collector from run")
    account = json.loads(run["collector"])
    assert (run["status"], account["dropped"]) == ("ok", {})
    assert account["recorded"] == account["stored"]


def test_a_benchmark_is_pickled_without_what_became_of_it(database: Path) -> None:
    bm = compat.Benchmark(str(database), name="mine")
    before = pickle.dumps(bm)
    with bm:
        compat.BenchmarkSupervisor([compat.TimeMetric("time")], bm)(len)([])
        assert bm.session is not None
        copy = pickle.loads(pickle.dumps(bm))
        assert copy.core is bm.core
        assert copy.session is not bm.session
    assert pickle.dumps(bm) == before
