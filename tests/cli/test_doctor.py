"""`umlaut doctor`: without sensors, on a fake machine with energy counters, and on a library that answers as NVML."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import umlaut_async
from tests import fake_rapl
from tests.metrics import stand_in_torch
from tests.support import TRIES
from umlaut_async import Metric
from umlaut_async.diagnosis import Check, checks, diagnose, versions
from umlaut_async.probes import UnavailableError, UnreadableError, nvml
from umlaut_async.probes.nvml import POWER, Nvml, gpu_probe
from umlaut_async.store.journal import Journal, choose

if TYPE_CHECKING:
    from tests.cli.conftest import Umlaut, UmlautProcess
    from tests.probes.fake_nvml import FakeNvml

ALWAYS = {
    "TimeMetric", "LatencyMetric", "ThroughputMetric", "CPUMetric", "CPUMetric(children=True)", "MemoryMetric",
    "MemoryMetric(children=True)", "IOMetric", "IOMetric(children=True)", "EventLoopLagMetric", "AwaitMetric",
    "WaitMetric",
}  # fmt: skip
ENERGY = {"PowerMetric", "EnergyMetric"}
NVML_IN_ORDER = ["GPUMetric", "GPUMemoryMetric", "GPUPowerMetric", "GPUEnergyMetric"]
NVML = set(NVML_IN_ORDER)
FIELDS = [
    "metric", "type", "unit", "status", "source", "provenance", "resolution", "cost", "reason", "cure",
    "lacks",
]  # fmt: skip

without_sensors = pytest.mark.skipif(
    os.path.exists("/sys/class/powercap/intel-rapl") or os.path.exists("/dev/nvidiactl"),
    reason="this machine has sensors",
)
without_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")


def by_metric(output: str) -> dict[str, dict[str, Any]]:
    """Return what JSON says of each metric, after a look at its form."""
    document = json.loads(output)
    assert list(document) == ["schema", "metrics", "store", "versions"]
    assert document["schema"] == 1
    for found in document["metrics"]:
        assert list(found) == FIELDS
        assert (found["status"] == "works") == (found["reason"] is None) == (found["cost"] is not None)
        assert (found["status"] == "works") == (found["provenance"] == "measured")
        assert (found["status"] == "unavailable") == (found["cure"] is not None)
    return {found["metric"]: found for found in document["metrics"]}


def recorded(metrics: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, found in metrics.items() if found["status"] == "works"}


def lines(output: str) -> dict[str, list[str]]:
    """Return the columns of each row of the table by its metric."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines()]
    return {row[0]: row for row in rows if len(row) == 7}


def test_every_metric_is_looked_at() -> None:
    classes = {name for name in umlaut_async.__all__ if name.endswith("Metric")} - {"Metric"}
    assert {check.label.partition("(")[0] for check in checks()} == classes
    assert all(type(check.metric).__name__ == check.label.partition("(")[0] for check in checks())


@without_sensors
@without_torch
def test_json_without_sensors(umlaut_process: UmlautProcess) -> None:
    done = umlaut_process("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    metrics = by_metric(done.stdout)
    assert set(metrics) == ALWAYS | ENERGY | NVML | {"GPUTimeMetric"}
    assert recorded(metrics) == ALWAYS
    assert {found["status"] for found in metrics.values()} == {"works", "unavailable"}
    assert all("no energy counters" in metrics[name]["reason"] for name in ENERGY)
    assert all(metrics[name]["cure"].endswith("sudo modprobe intel_rapl_msr") for name in ENERGY)
    assert all("libnvidia-ml.so.1" in metrics[name]["reason"] for name in NVML)
    assert all("install the NVIDIA driver" in metrics[name]["cure"] for name in NVML)
    assert "pip install torch" in metrics["GPUTimeMetric"]["cure"]
    assert (metrics["EnergyMetric"]["source"], metrics["EnergyMetric"]["provenance"]) == ("rapl", "unavailable")
    assert (metrics["CPUMetric"]["source"], metrics["MemoryMetric"]["unit"]) == ("process_time", "MiB")
    assert metrics["EventLoopLagMetric"]["resolution"] == {"value": 0.025, "unit": "sec"}
    # Each process of a tree has a clock of its own, where there are such.
    assert metrics["CPUMetric(children=True)"]["resolution"] == metrics["CPUMetric"]["resolution"]
    for name in ALWAYS:
        assert 0 < metrics[name]["cost"] < 1
        assert metrics[name]["resolution"]["value"] > 0
    versions = json.loads(done.stdout)["versions"]
    assert list(versions) == ["umlaut_async", "python", "sqlite", "kernel", "nvidia_driver"]
    assert (versions["umlaut_async"], versions["nvidia_driver"]) == (umlaut_async.__version__, None)
    assert re.match(r"3\.\d+\.\d+", versions["python"])
    assert re.match(r"3\.\d+\.\d+", versions["sqlite"])


@without_sensors
@without_torch
def test_the_table_without_sensors(umlaut: Umlaut) -> None:
    shown = umlaut("doctor")
    assert (shown.exit_code, shown.stderr) == (0, "")
    rows = lines(shown.stdout)
    assert rows.pop("metric")[1:] == ["type", "recorded", "source", "provenance", "resolution", "cost per read"]
    assert {name for name, row in rows.items() if row[2] == "yes"} == ALWAYS
    missing = "–"  # noqa: RUF001
    assert rows["PowerMetric"][1:] == ["power", "unavailable", "rapl", "unavailable", missing, missing]
    assert rows["EventLoopLagMetric"][1:6] == ["looplag", "yes", "event-loop", "measured", "25 ms"]
    # One line for all that lacks the same.
    needs = [line for line in shown.stdout.splitlines() if "To record:" in line]
    assert [line.partition(":")[0] for line in needs] == [
        "PowerMetric, EnergyMetric",
        "GPUMetric, GPUMemoryMetric, GPUPowerMetric, GPUEnergyMetric",
        "GPUTimeMetric",
    ]
    assert re.search(r"Python 3\.\d+\.\d+ · SQLite 3\..* · NVIDIA driver none$", shown.stdout.strip())


@without_sensors
def test_it_loads_no_pandas_and_logs_nothing(run_script: Any, tmp_path: Path) -> None:
    for name in ("pandas", "pymongo"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')\n")
    done = run_script(
        "import logging, sys\n"
        "class Kept(logging.Handler):\n"
        "    def emit(self, record): print('logged', record.getMessage())\n"
        "kept = Kept()\n"
        "logging.getLogger().addHandler(kept)\n"
        "logging.getLogger().setLevel(logging.INFO)\n"
        "from umlaut_async.cli import main\n"
        "try:\n"
        "    main(['doctor'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        "assert logging.getLogger().handlers == [kept]\n"
        "assert not {'pandas', 'pymongo', 'sqlalchemy'} & set(sys.modules)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "logged" not in done.stdout


def on_counters(state: str, *arguments: str) -> tuple[str, str]:
    """Return what the command prints on a machine with energy counters, and how it ends."""
    printed, _, code = fake_rapl.run("-m", "tests.cli.doctor_on_counters", state, *arguments).rpartition("exit ")
    return printed, code.strip()


@pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())
class TestOnCounters:
    """On a fake machine with energy counters."""

    def test_it_says_that_energy_is_recorded(self) -> None:
        for _ in range(TRIES):
            printed, code = on_counters("counting", "--json")
            assert code == "0"
            metrics = by_metric(printed)
            assert recorded(metrics) >= ALWAYS | ENERGY
            # On a busy machine the fake hardware may stand still for as long as a step is looked for.
            if all(metrics[name]["resolution"] for name in ENERGY):
                break
        for name in ENERGY:
            assert (metrics[name]["source"], metrics[name]["resolution"]["unit"]) == ("rapl", "µJ")
            # What both packages count in a step of the fake hardware is 400, and a reading may fall between the two.
            assert metrics[name]["resolution"]["value"] % 50 == 0
            assert 0 < metrics[name]["resolution"]["value"] < 400 * 50

    def test_the_table(self) -> None:
        for _ in range(TRIES):
            printed, code = on_counters("counting")
            assert code == "0"
            assert lines(printed)["PowerMetric"][1:5] == ["power", "yes", "rapl", "measured"]
            if step := re.search(r"\d µJ$", lines(printed)["EnergyMetric"][5]):
                break
        assert step
        assert "PowerMetric, EnergyMetric" not in printed

    def test_counters_that_stand_still_have_no_resolution(self) -> None:
        printed, code = on_counters("still", "--json")
        assert code == "0"
        assert by_metric(printed)["EnergyMetric"]["status"] == "works"
        assert by_metric(printed)["EnergyMetric"]["resolution"] is None

    def test_a_missing_right_is_no_failure_and_the_command_that_gives_it_is_named(self) -> None:
        printed, code = on_counters("forbidden", "--json")
        assert code == "0"
        metrics = by_metric(printed)
        assert {metrics[name]["status"] for name in ENERGY} == {"unavailable"}
        assert "may not read" in metrics["PowerMetric"]["reason"]
        assert metrics["PowerMetric"]["cure"] == "run: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"

    def test_memory_that_is_not_counted_is_named_with_what_would_help(self) -> None:
        assert [by_metric(on_counters("still", "--json")[0])[name]["lacks"] for name in ENERGY] == [[], []]
        for state, part, reason, cure in (
            ("without memory", "the memory (DRAM)", "this machine has no counter of it", None),
            ("forbidden memory", "the memory (DRAM) of package 1", "may not read", "sudo chmod a+r"),
        ):
            printed, code = on_counters(state, "--json")
            assert code == "0"
            for name in ENERGY:
                [lack] = by_metric(printed)[name]["lacks"]
                assert lack["part"] == part
                assert reason in lack["reason"]
                assert lack["cure"] is None if cure is None else cure in lack["cure"]
        printed, code = on_counters("without memory")
        assert code == "0"
        assert "PowerMetric, EnergyMetric: recorded without the memory (DRAM): " in " ".join(printed.split())

    def test_a_counter_that_cannot_be_read_is_a_failure(self) -> None:
        printed, code = on_counters("broken", "--json")
        assert code == "1"
        metrics = by_metric(printed)
        assert {name for name, found in metrics.items() if found["status"] == "fails"} == ENERGY
        assert "energy_uj could not be read" in metrics["EnergyMetric"]["reason"]
        assert recorded(metrics) >= ALWAYS


def test_on_gpus(fake: FakeNvml, umlaut_process: UmlautProcess) -> None:
    done = umlaut_process("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    metrics = by_metric(done.stdout)
    assert recorded(metrics) >= ALWAYS | NVML
    assert {metrics[name]["source"] for name in NVML} == {"nvml", "nvml-counter"}
    assert metrics["GPUEnergyMetric"]["source"] == "nvml-counter"
    assert metrics["GPUPowerMetric"]["resolution"] == {"value": 0.001, "unit": "W"}
    assert json.loads(done.stdout)["versions"]["nvidia_driver"]
    shown = umlaut_process("doctor")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert lines(shown.stdout)["GPUMetric"][1:6] == ["gpu", "yes", "nvml", "measured", "1 %"]
    assert "NVIDIA driver none" not in shown.stdout


@pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())
def test_on_a_machine_with_counters_and_gpus(fake: FakeNvml) -> None:
    """Neither hides the other, in the data and in the table."""
    printed, code = on_counters("counting", "--json")
    assert code == "0"
    metrics = by_metric(printed)
    assert recorded(metrics) - {"GPUTimeMetric"} == ALWAYS | ENERGY | NVML
    assert {name: metrics[name]["source"] for name in ENERGY | NVML} == {
        "PowerMetric": "rapl", "EnergyMetric": "rapl", "GPUMetric": "nvml", "GPUMemoryMetric": "nvml",
        "GPUPowerMetric": "nvml", "GPUEnergyMetric": "nvml-counter",
    }  # fmt: skip
    printed, code = on_counters("counting")
    assert code == "0"
    rows = lines(printed)
    assert {rows[name][2] for name in ALWAYS | ENERGY | NVML} == {"yes"}
    assert not re.search(r"^(Power|Energy|GPU|GPUMemory|GPUPower|GPUEnergy)Metric[,:]", printed, re.MULTILINE)


@pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())
def test_what_the_counters_lack_is_not_said_of_the_gpus(fake: FakeNvml) -> None:
    """Nor the other way round."""
    fake.says(errors={"nvmlDeviceGetTotalEnergyConsumption": 3})
    printed, code = on_counters("broken", "--json")
    assert code == "1"
    metrics = by_metric(printed)
    assert (ALWAYS | ENERGY | NVML) - recorded(metrics) == ENERGY | {"GPUEnergyMetric"}
    assert "energy_uj could not be read" in metrics["EnergyMetric"]["reason"]
    assert "does not report it" in metrics["GPUEnergyMetric"]["reason"]


def test_gpus_that_this_process_does_not_see(fake: FakeNvml, umlaut_process: UmlautProcess) -> None:
    """They are unavailable, which is no failure, whatever NVML would tell of them."""
    done = umlaut_process("doctor", "--json", CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stderr) == (0, "")
    metrics = by_metric(done.stdout)
    assert recorded(metrics) >= ALWAYS
    for name in NVML:
        assert metrics[name]["status"] == "unavailable"
        assert metrics[name]["reason"] == "GPU 0 does not exist: CUDA_VISIBLE_DEVICES='' shows this process 0 GPUs"
        assert metrics[name]["cure"] == "make a GPU visible to this process"
    assert json.loads(done.stdout)["versions"]["nvidia_driver"]
    shown = umlaut_process("doctor", CUDA_VISIBLE_DEVICES="")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert {lines(shown.stdout)[name][2] for name in NVML} == {"unavailable"}
    assert re.search(f"^{', '.join(NVML_IN_ORDER)}: GPU 0 does not exist", shown.stdout, re.MULTILINE)


def test_a_number_that_a_gpu_does_not_have_is_no_failure(fake: FakeNvml, umlaut_process: UmlautProcess) -> None:
    fake.says(errors={"nvmlDeviceGetTotalEnergyConsumption": 3})
    done = umlaut_process("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    metrics = by_metric(done.stdout)
    assert NVML - recorded(metrics) == {"GPUEnergyMetric"}
    assert "does not report it" in metrics["GPUEnergyMetric"]["reason"]


def test_a_lost_gpu_is_a_failure(fake: FakeNvml, umlaut_process: UmlautProcess) -> None:
    fake.says(errors={"nvmlDeviceGetPowerUsage": 15})
    done = umlaut_process("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert lines(done.stdout)["GPUPowerMetric"][2] == "fails"
    assert lines(done.stdout)["GPUMemoryMetric"][2] == "yes"
    assert re.search(r"^GPUPowerMetric: .*fallen off the bus", done.stdout, re.MULTILINE)


AVAILABLE = "cuda.is_available = lambda: True\ncuda.synchronize = lambda: None\n"
NOT_AVAILABLE = "cuda.is_available = lambda: False\n"


@pytest.mark.parametrize(
    ("torch", "status", "reason"),
    [
        (AVAILABLE, "works", ""),
        (NOT_AVAILABLE, "unavailable", "torch finds no GPU"),
        (NOT_AVAILABLE + "version.cuda = None\n", "unavailable", "built without CUDA"),
        (AVAILABLE + "Event.record = None\n", "fails", "no CUDA event could be recorded"),
        ("raise ImportError('a broken installation')\n", "fails", "a broken installation"),
    ],
)
def test_on_torch(torch: str, status: str, reason: str, umlaut_process: UmlautProcess, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(Path(stand_in_torch.__file__).read_text() + torch)
    done = umlaut_process("doctor", "--json")
    assert (done.returncode, done.stderr) == (int(status == "fails"), "")
    found = by_metric(done.stdout)["GPUTimeMetric"]
    assert (found["status"], found["source"]) == (status, "cuda-event")
    assert reason in (found["reason"] or "")


@pytest.mark.parametrize(
    ("journal", "says"),
    [
        (Journal(log=True, lock=True, file_system=None), "can lose data .* take turns by a lock file"),
        (Journal(log=True, lock=False, file_system=None), "a write-ahead log. .* needs no lock"),
        (Journal(log=False, lock=False, file_system="Lustre"), "rollback journal .* on Lustre"),
    ],
)
def test_it_says_how_databases_are_kept(
    journal: Journal, says: str, umlaut: Umlaut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umlaut_async.diagnosis.checks", list)
    monkeypatch.setattr("umlaut_async.store.journal.choose", lambda path: journal)
    assert re.search(f"Databases in this folder are kept .*{says}", " ".join(umlaut("doctor").stdout.split()))
    assert json.loads(umlaut("doctor", "--json").stdout)["store"] == journal._asdict()


def test_it_looks_at_this_version_of_sqlite(umlaut: Umlaut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umlaut_async.diagnosis.checks", list)
    assert json.loads(umlaut("doctor", "--json").stdout)["store"] == choose(os.path.abspath("any.db"))._asdict()


class Faulty(Metric):
    """A metric whose reading ends as a test says."""

    measure_type = "faulty"
    unit = "items"

    def __init__(self, error: BaseException | None, hangs: threading.Event | None = None) -> None:
        super().__init__("faulty")
        self.error = error
        self.hangs = hangs

    def read(self) -> float:
        """Hang, raise, or answer."""
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.error is not None:
            raise self.error
        return 1


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UnavailableError("there is none", "buy one"), "unavailable", "there is none"),
        (PermissionError(13, "Permission denied"), "unavailable", "may not read"),
        (UnreadableError("not this time"), "fails", "not this time"),
        (ZeroDivisionError(), "fails", "ZeroDivisionError"),
        (SystemExit(3), "fails", "SystemExit: 3"),
    ],
)
def test_whatever_a_source_raises_is_a_finding(error: BaseException, status: str, reason: str) -> None:
    found, works = diagnose([Check(Faulty(error), "Faulty"), Check(Faulty(None), "Works")])
    assert (found.status, found.provenance, found.cost) == (status, "unavailable", None)
    assert reason in (found.reason or "")
    assert (found.cure is None) == (status == "fails")
    assert (works.status, works.reason) == ("works", None)


def test_a_source_that_hangs_is_given_up() -> None:
    freed = threading.Event()
    try:
        (found,) = diagnose([Check(Faulty(None, freed), "Faulty", deadline=0.1)])
    finally:
        freed.set()
    assert (found.status, found.reason) == ("fails", "there was no answer within 0.1 s")


def test_a_driver_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    freed, asked = threading.Event(), []

    class Hanging(Nvml):
        def module(self) -> None:
            asked.append(self)
            freed.wait(30)

        def read(self, *_: object) -> float:
            self.module()
            return 1

    monkeypatch.setattr(nvml, "_shared", Hanging())
    hanging: set[str] = set()
    try:
        found = diagnose([check._replace(deadline=0.1) for check in checks() if check.label in NVML], hanging)
        assert versions(hanging)["nvidia_driver"] is None
    finally:
        freed.set()
    assert [(each.status, each.reason) for each in found] == [("fails", "there was no answer within 0.1 s")] * 4
    assert len(asked) == 1


def test_a_driver_has_as_long_for_its_first_answer_in_a_run() -> None:
    (deadline,) = {check.deadline for check in checks() if check.metric.measure_type.startswith("gpup")}
    assert gpu_probe(POWER, 0).first_deadline == deadline
