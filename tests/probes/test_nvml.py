"""Real `pynvml` on a library that the tests compile: every number right, every error a gap or unavailable."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.probes.fake_nvml import MIB, TWO_GPUS, FakeNvml, Gpu, compiled, pynvml_on
from tests.support import check_message
from umlaut_async.probes.nvml import ENERGY, MEMORY, POWER, UTILISATION, Field, Nvml, gpu_probe, shared
from umlaut_async.probes.probe import Place, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import RunScript

FIELDS = {
    "nvmlDeviceGetUtilizationRates": UTILISATION,
    "nvmlDeviceGetMemoryInfo_v2": MEMORY,
    "nvmlDeviceGetPowerUsage": POWER,
    "nvmlDeviceGetTotalEnergyConsumption": ENERGY,
}
SETTING_UP = ("nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2")
BY_UUID = ("nvmlDeviceGetHandleByUUID", "nvmlDeviceGetUUID")
CODES = [*range(1, 31), 77, 999]
FINAL = {3, 4, 9, 12, 13, 25, 26}
WORKS = {UTILISATION: 37, MEMORY: 1536, POWER: 71.5, ENERGY: 5e9}


@pytest.fixture(scope="session")
def pynvml(library: Path) -> Any:
    return pynvml_on(library)


@pytest.fixture
def nvml(fake: FakeNvml, pynvml: Any, now: list[float]) -> Nvml:
    pynvml.nvmlLib.fake_nvml_reset()
    return Nvml(lambda: pynvml, lambda: now[0])


@pytest.fixture
def now() -> list[float]:
    """Return the time of the test, in seconds."""
    return [1000.0]


@pytest.mark.parametrize("gpu", [0, 1])
def test_the_numbers_of_each_gpu_are_right(nvml: Nvml, gpu: int) -> None:
    said = TWO_GPUS[gpu]
    assert nvml.read(UTILISATION, gpu) == said.utilisation
    assert nvml.read(MEMORY, gpu) == said.used / MIB
    assert nvml.read(POWER, gpu) == said.milliwatts / 1000
    assert nvml.read(ENERGY, gpu) == said.millijoules * 1000


def test_a_reading_is_one_call_once_the_gpu_is_found(nvml: Nvml, fake: FakeNvml) -> None:
    for field in FIELDS.values():
        nvml.read(field, 0)
    assert fake.calls() == dict.fromkeys([*SETTING_UP, *FIELDS], 1)
    for _ in range(5):
        for field in FIELDS.values():
            nvml.read(field, 0)
    assert fake.calls() == dict.fromkeys(SETTING_UP, 1) | dict.fromkeys(FIELDS, 6)


def test_threads_that_begin_together_initialise_once(nvml: Nvml, fake: FakeNvml) -> None:
    fake.says(also="delay nvmlInitWithFlags 50")
    values: dict[Field, float] = {}

    def read(field: Field) -> None:
        values[field] = nvml.read(field, 0)

    threads = [threading.Thread(target=read, args=(field,)) for field in WORKS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert values == WORKS
    assert fake.calls()["nvmlInitWithFlags"] == 1


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("function", FIELDS)
def test_an_error_of_one_field_leaves_the_others(nvml: Nvml, fake: FakeNvml, function: str, code: int) -> None:
    errors = {function: code}
    if FIELDS[function] is MEMORY:
        errors["nvmlDeviceGetMemoryInfo"] = code
    fake.says(errors=errors)
    _expect_failure(nvml, FIELDS[function], code)
    fake.says()
    assert {field: nvml.read(field, 0) for field in WORKS} == WORKS


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("function", SETTING_UP)
def test_an_error_on_the_way_to_a_gpu_is_a_gap_or_final(nvml: Nvml, fake: FakeNvml, function: str, code: int) -> None:
    fake.says(errors={function: code})
    _expect_failure(nvml, POWER, code)
    fake.says()
    assert nvml.read(POWER, 0) == WORKS[POWER]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("function", BY_UUID)
def test_an_error_in_the_search_for_a_uuid_is_a_gap_or_final(
    nvml: Nvml, fake: FakeNvml, function: str, code: int
) -> None:
    visible = TWO_GPUS[1].uuid if function == BY_UUID[0] else "GPU-2"
    fake.says(errors={function: code})
    try:
        value = nvml.read(POWER, 0, visible)
    except (UnavailableError, UnreadableError) as error:
        check_message(error)
    else:
        # The UUID was looked for among all of them.
        assert (function, value) == (BY_UUID[0], 250)
        assert code in (2, 6, 28)
    fake.says()
    assert nvml.read(POWER, 0, visible) == 250


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("function", [*FIELDS, *SETTING_UP, "nvmlShutdown"])
def test_a_reading_comes_back_after_any_error_in_the_middle(
    nvml: Nvml, fake: FakeNvml, now: list[float], function: str, code: int
) -> None:
    field = FIELDS.get(function, POWER)
    assert nvml.read(field, 0) == WORKS[field]
    # A version mismatch makes every function of the way back run.
    mismatch = {} if function in FIELDS else {"nvmlDeviceGetPowerUsage": 18}
    fake.says(errors={function: code, "nvmlDeviceGetMemoryInfo": code} | mismatch)
    for _ in range(4):
        with pytest.raises((UnavailableError, UnreadableError)):
            nvml.read(field, 0)
        now[0] += 100
    fake.says()
    assert nvml.read(field, 0) == WORKS[field]


def _expect_failure(nvml: Nvml, field: Field, code: int) -> None:
    expected = UnavailableError if code in FINAL else UnreadableError
    with pytest.raises(expected, match=f"NVML error {code}\\b") as caught:
        nvml.read(field, 0)
    check_message(caught.value)
    if isinstance(caught.value, UnavailableError):
        assert caught.value.cure


def test_a_reading_that_was_on_its_way_when_another_lost_the_session_tells_why_that_was(
    nvml: Nvml, fake: FakeNvml
) -> None:
    fake.says(errors={"nvmlDeviceGetPowerUsage": 9})

    def meanwhile(module: Any, device: Any) -> float:
        _expect_failure(nvml, POWER, 9)
        return float(module.nvmlDeviceGetUtilizationRates(device).gpu)

    _expect_failure(nvml, Field("utilisation", meanwhile), 9)


def test_a_driver_that_goes_after_it_worked_is_a_gap_and_not_final(
    nvml: Nvml, fake: FakeNvml, now: list[float]
) -> None:
    nvml.read(POWER, 0)
    fake.says(errors={"nvmlDeviceGetPowerUsage": 9, "nvmlInitWithFlags": 9})
    for _ in range(3):
        with pytest.raises(UnreadableError, match="NVML error 9"):
            nvml.read(POWER, 0)
        now[0] += 100
    fake.says()
    assert nvml.read(POWER, 0) == WORKS[POWER]


def test_a_version_mismatch_is_followed_by_a_new_start_at_growing_distances(
    nvml: Nvml, fake: FakeNvml, pynvml: Any, now: list[float]
) -> None:
    nvml.read(POWER, 0)
    fake.says(errors={"nvmlDeviceGetPowerUsage": 18, "nvmlInitWithFlags": 18})
    fake.forget_calls()
    starts: list[int] = []
    for second in range(200):
        with pytest.raises(UnreadableError, match=r"NVML error 18.*restart the process"):
            nvml.read(POWER, 0)
        starts += [second] * (fake.calls()["nvmlInitWithFlags"] - len(starts))
        now[0] += 1
    assert starts == [1, 2, 4, 8, 16, 32, 64, 124, 184]
    assert fake.calls()["nvmlShutdown"] == 1
    now[0] += 100
    fake.says()
    assert nvml.read(POWER, 0) == WORKS[POWER]
    assert pynvml.nvmlLib.fake_nvml_initialised() == 1
    # A handle of the old session is of no use in the new one.
    assert fake.calls()["nvmlDeviceGetHandleByIndex_v2"] == 1
    # The next loss is followed by a new start at once again.
    fake.says(errors={"nvmlDeviceGetPowerUsage": 18})
    with pytest.raises(UnreadableError):
        nvml.read(POWER, 0)
    fake.says()
    assert nvml.read(POWER, 0) == WORKS[POWER]


def test_a_call_that_outlasts_its_session_does_not_end_the_next(nvml: Nvml, fake: FakeNvml) -> None:
    nvml.read(POWER, 0)
    errors = {"nvmlDeviceGetPowerUsage": 18, "nvmlDeviceGetUtilizationRates": 18}
    fake.says(errors=errors, also="delay nvmlDeviceGetPowerUsage 300")
    fake.forget_calls()
    faults: list[Exception] = []

    def read_slowly() -> None:
        try:
            nvml.read(POWER, 0)
        except UnreadableError as error:
            faults.append(error)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    while not fake.calls()["nvmlDeviceGetPowerUsage"]:
        time.sleep(0.005)
    with pytest.raises(UnreadableError):
        nvml.read(UTILISATION, 0)
    fake.says()
    assert nvml.read(UTILISATION, 0) == WORKS[UTILISATION]
    thread.join(10)
    assert len(faults) == 1
    assert nvml.read(POWER, 0) == WORKS[POWER]
    assert fake.calls()["nvmlInitWithFlags"] == fake.calls()["nvmlShutdown"] == 1


def test_another_user_who_shuts_nvml_down_costs_one_reading(nvml: Nvml, fake: FakeNvml, pynvml: Any) -> None:
    nvml.read(POWER, 0)
    pynvml.nvmlShutdown()
    with pytest.raises(UnreadableError, match="NVML error 1"):
        nvml.read(POWER, 0)
    assert nvml.read(POWER, 0) == WORKS[POWER]
    # What is not ours any more is not ours to shut down.
    assert fake.calls()["nvmlShutdown"] == 1


def test_a_lost_gpu_does_not_blind_the_other(nvml: Nvml, fake: FakeNvml) -> None:
    nvml.read(POWER, 0)
    nvml.read(POWER, 1)
    fake.says(also="error nvmlDeviceGetPowerUsage 15 0\nerror nvmlDeviceGetHandleByIndex_v2 15 0")
    fake.forget_calls()
    for _ in range(3):
        with pytest.raises(UnreadableError, match=r"NVML error 15.*Xid"):
            nvml.read(POWER, 0)
        assert nvml.read(POWER, 1) == 250
    assert not fake.calls()["nvmlInitWithFlags"]
    # It may come back under another handle.
    assert fake.calls()["nvmlDeviceGetHandleByIndex_v2"] == 2
    fake.says()
    assert nvml.read(POWER, 0) == WORKS[POWER]


def test_an_old_driver_has_the_numbers_that_it_has(
    fake: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pynvml_on(compiled(tmp_path, "-DOLD_DRIVER"))
    nvml = Nvml(lambda: old)
    assert nvml.read(UTILISATION, 0) == 37
    assert nvml.read(POWER, 0) == 71.5
    # It counts what it reserves for itself as used.
    assert nvml.read(MEMORY, 0) == 1936
    with pytest.raises(UnavailableError, match=r"energy of GPU 0.*NVML error 13.*update"):
        nvml.read(ENERGY, 0)


@pytest.mark.parametrize("code", [13, 25])
def test_memory_is_asked_for_in_the_way_that_the_driver_knows(nvml: Nvml, fake: FakeNvml, code: int) -> None:
    fake.says(errors={"nvmlDeviceGetMemoryInfo_v2": code})
    assert nvml.read(MEMORY, 0) == 1936


@pytest.mark.parametrize(
    ("field", "gpu"),
    [
        (POWER, Gpu(milliwatts=2**32 - 1)),
        (UTILISATION, Gpu(utilisation=2**32 - 1)),
        (MEMORY, Gpu(used=2**64 - 1)),
        (ENERGY, Gpu(millijoules=2**64 - 1)),
        (ENERGY, Gpu(millijoules=0)),
    ],
)
def test_a_filler_is_no_number(nvml: Nvml, fake: FakeNvml, field: Field, gpu: Gpu) -> None:
    fake.says(gpu)
    with pytest.raises(UnreadableError, match="gave no value"):
        nvml.read(field, 0)


def test_a_gpu_without_load_reads_zero(nvml: Nvml, fake: FakeNvml) -> None:
    fake.says(Gpu(utilisation=0, used=0))
    assert nvml.read(UTILISATION, 0) == 0
    assert nvml.read(MEMORY, 0) == 0


@pytest.mark.parametrize(
    ("visible", "index", "watts"),
    [
        ("0", 0, 71.5),
        ("1", 0, 250),
        ("1,0", 1, 71.5),
        ("1,0,7", 1, 71.5),
        ("GPU-22222222-aaaa-bbbb-cccc-000000000000", 0, 250),
        ("GPU-22", 0, 250),
        ("GPU-22,GPU-1", 1, 71.5),
    ],
)
def test_id_is_an_index_among_the_visible_gpus(nvml: Nvml, visible: str, index: int, watts: float) -> None:
    assert nvml.read(POWER, index, visible) == watts


@pytest.mark.parametrize(
    ("visible", "index", "message"),
    [
        (None, 2, "GPU 2 does not exist: this machine has 2 GPUs; use an id below 2"),
        ("1", 1, "GPU 1 does not exist: CUDA_VISIBLE_DEVICES='1' shows this process 1 GPU; use an id below 1"),
        ("", 0, "CUDA_VISIBLE_DEVICES='' shows this process 0 GPUs; make a GPU visible"),
        ("void", 0, "shows this process 0 GPUs"),
        ("-1", 0, "shows this process 0 GPUs"),
        ("1,1", 0, "shows this process 0 GPUs"),
        ("0,5,1", 1, "shows this process 1 GPU;"),
        ("5,0", 0, "shows this process 0 GPUs"),
        ("GPU-", 0, "shows this process 0 GPUs"),
        ("GPU-33", 0, "shows this process 0 GPUs"),
        ("GPU-11,GPU-33,GPU-22", 1, "shows this process 1 GPU;"),
        ("MIG-unknown", 0, "shows this process 0 GPUs"),
    ],
)
def test_a_gpu_that_is_not_visible_is_unavailable(nvml: Nvml, visible: str | None, index: int, message: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        nvml.read(POWER, index, visible)
    check_message(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("uuid", ["MIG-4d8a1d2e-0001", "MIG-GPU-11111111-aaaa-bbbb-cccc-000000000000/1/0"])
def test_a_mig_device_has_memory_and_nothing_of_its_gpu(nvml: Nvml, fake: FakeNvml, uuid: str) -> None:
    fake.says(*TWO_GPUS, Gpu(uuid, used=77 * MIB, kind="mig"))
    assert nvml.read(MEMORY, 0, uuid) == 77
    for field in (UTILISATION, POWER, ENERGY):
        with pytest.raises(UnavailableError, match=r"NVML error 3.*MIG"):
            nvml.read(field, 0, uuid)


@pytest.mark.parametrize(
    ("code", "expected"), [(4, UnavailableError), (15, UnreadableError), (18, UnreadableError), (999, UnreadableError)]
)
@pytest.mark.parametrize("silent", [0, 1])
def test_a_gpu_that_cannot_be_asked_hides_no_other_from_a_search(
    nvml: Nvml, fake: FakeNvml, code: int, expected: type[Exception], silent: int
) -> None:
    fake.says(also=f"error nvmlDeviceGetHandleByIndex_v2 {code} {silent}")
    if silent == 0 and code != 18:
        assert nvml.read(POWER, 0, "GPU-22") == 250
        return
    with pytest.raises(expected, match=f"NVML error {code}\\b"):
        nvml.read(POWER, 0, "GPU-22")


@pytest.mark.parametrize(
    ("error", "named"), [(ImportError("no module named pynvml"), "no module"), (RuntimeError("broken"), "broken")]
)
def test_a_module_that_cannot_be_imported_is_unavailable(
    error: Exception, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pynvml.py").write_text(f"raise {error!r}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    with pytest.raises(UnavailableError, match=rf"{named}.*pip install nvidia-ml-py"):
        Nvml().read(POWER, 0)


def test_a_module_that_is_too_old_is_unavailable(nvml: Nvml, pynvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption")
    with pytest.raises(UnavailableError, match="too old"):
        nvml.read(ENERGY, 0)


def test_the_probes_of_one_field_of_one_gpu_are_one_source(nvml: Nvml, fake: FakeNvml) -> None:
    fake.forget_calls()
    probe = gpu_probe(POWER, 1, lambda: nvml)
    assert probe.key == gpu_probe(POWER, 1).key
    assert len({gpu_probe(field, gpu).key for field in WORKS for gpu in (0, 1)}) == 8
    assert probe.place is Place.THREAD
    assert not fake.calls()
    assert probe.read() == 250
    assert (probe.source, gpu_probe(ENERGY, 0).source) == ("nvml:1", "nvml-counter")


IN_A_PROCESS = """
import json, logging, os, sys, warnings
warnings.simplefilter("error")
root = logging.getLogger()
from umlaut_async.probes.nvml import POWER, gpu_probe
assert "pynvml" not in sys.modules
try:
    print(json.dumps(gpu_probe(POWER, 1).read()), flush=True)
except Exception as error:
    print(json.dumps([type(error).__name__, error.reason, error.cure]))
    sys.exit()
child = os.fork()
if not child:
    print(json.dumps(gpu_probe(POWER, 0).read()), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps(gpu_probe(POWER, 0).read()))
assert not root.handlers
"""


def test_the_module_finds_the_library_itself_and_a_forked_child_begins_anew(
    fake: FakeNvml, run_script: RunScript
) -> None:
    done = run_script(IN_A_PROCESS)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [250, 71.5, 71.5]
    assert not done.stderr
    assert sorted(fake.processes("nvmlInitWithFlags").values()) == [1, 1]
    # The child must not take from its parent what both inherited.
    assert not fake.processes("nvmlShutdown")


def test_without_a_driver_it_is_unavailable_and_silent(run_script: RunScript, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("needs a machine without an NVIDIA driver")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    done = run_script(IN_A_PROCESS)
    kind, reason, cure = json.loads(done.stdout)
    assert kind == "UnavailableError"
    assert "libnvidia-ml.so.1" in reason
    assert "install the NVIDIA driver" in cure
    assert not done.stderr


def test_a_lock_that_was_held_at_a_fork_does_not_bind_the_child(fake: FakeNvml) -> None:
    parents = shared()
    with parents._lock:
        child = os.fork()
        if not child:
            os._exit(0 if shared() is not parents and not shared()._lock.locked() else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert shared() is parents


def test_nothing_is_logged(nvml: Nvml, fake: FakeNvml, caplog: pytest.LogCaptureFixture) -> None:
    fake.says(errors={"nvmlDeviceGetPowerUsage": 15})
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableError):
            nvml.read(POWER, 0)
    assert not caplog.records


@pytest.mark.alone
def test_a_reading_is_of_the_moment_at_which_the_driver_was_asked(fake: FakeNvml, nvml: Nvml) -> None:
    """Not of that at which it had answered, nor of that at which it began to be loaded."""
    fake.says(also="delay nvmlDeviceGetPowerUsage 300\ndelay nvmlInitWithFlags 300")
    probe = gpu_probe(POWER, 0, lambda: nvml)
    for initialising in (0.3, 0):
        began = time.perf_counter()
        reading = probe.read()
        assert probe.stamp is not None
        assert probe.check is not None
        assert initialising <= probe.stamp(reading) / 1e9 - began < initialising + 0.25
        assert time.perf_counter() - began >= initialising + 0.3
        assert type(probe.check(reading)) is float
