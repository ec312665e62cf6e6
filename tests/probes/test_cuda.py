"""Moments on a GPU, on a stand-in for torch whose GPU goes on only when the test says so."""

from __future__ import annotations

import importlib.machinery
import shutil
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.metrics import stand_in_torch
from tests.support import check_message
from umlaut_async.probes.cuda import gpu_moment, is_pending, seconds_between
from umlaut_async.probes.probe import Place, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set and deleted, so that what a test imports is gone after it.
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.delitem(sys.modules, "torch")


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(stand_in_torch.__file__, tmp_path / "torch.py")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def torch(importable: None) -> Any:
    module = import_module("torch")
    module.cuda.init()
    return module


def test_the_time_between_two_moments_is_that_of_the_gpu(torch: Any) -> None:
    record = gpu_moment().read
    entered = record()
    torch.cuda.stream.work(250)
    left = record()
    assert is_pending(left)
    torch.gpu.now = 249.9
    assert is_pending(left)
    with pytest.raises(UnreadableError, match="had not finished"):
        seconds_between(entered, left)
    torch.gpu.now = 250
    assert not is_pending(left)
    assert seconds_between(entered, left) == 0.25
    assert not torch.gpu.waits


def test_work_that_was_queued_before_does_not_count(torch: Any) -> None:
    torch.cuda.stream.work(1000)
    entered = gpu_moment().read()
    torch.cuda.stream.work(20)
    left = gpu_moment().read()
    torch.gpu.now = 2000
    assert seconds_between(entered, left) == 0.02


def test_the_stream_is_the_callers(torch: Any) -> None:
    torch.cuda.stream.work(1000)
    torch.cuda.stream = torch.cuda.Stream()
    entered = gpu_moment().read()
    torch.cuda.stream.work(5)
    left = gpu_moment().read()
    torch.gpu.now = 5
    assert seconds_between(entered, left) == 0.005


def test_the_caller_records_and_nothing_samples() -> None:
    probe = gpu_moment()
    assert (probe.place, probe.source) == (Place.CALLER, "cuda-event")
    assert probe.key == gpu_moment().key


def test_torch_is_never_imported(importable: None) -> None:
    moment = gpu_moment().read()
    with pytest.raises(UnreadableError, match="import it before"):
        seconds_between(moment, gpu_moment().read())
    assert "torch" not in sys.modules


def test_cuda_is_never_initialised(torch: Any) -> None:
    torch.cuda.initialised = False
    moment = gpu_moment().read()
    with pytest.raises(UnreadableError, match=r"torch\.cuda\.init\(\)"):
        seconds_between(moment, gpu_moment().read())
    assert not torch.cuda.initialised


def test_a_call_that_initialises_cuda_has_no_value_and_the_next_has(torch: Any) -> None:
    torch.cuda.initialised = False
    entered = gpu_moment().read()
    torch.cuda.init()
    left = gpu_moment().read()
    with pytest.raises(UnreadableError, match="when the call began"):
        seconds_between(entered, left)
    assert seconds_between(gpu_moment().read(), left) == 0


def test_without_torch_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [importlib.machinery.PathFinder])
    with pytest.raises(UnavailableError) as caught:
        seconds_between(gpu_moment().read(), gpu_moment().read())
    assert (caught.value.reason, caught.value.cure) == ("torch is not installed", "`pip install torch`")


def test_a_torch_without_cuda_is_unavailable(torch: Any) -> None:
    torch.version.cuda = None
    torch.cuda.initialised = False
    with pytest.raises(UnavailableError, match="without CUDA"):
        seconds_between(gpu_moment().read(), gpu_moment().read())


def test_a_graph_that_is_captured_is_left_alone(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[object] = []
    monkeypatch.setattr(torch.Event, "record", recorded.append)
    torch.cuda.capturing = True
    with pytest.raises(UnreadableError, match="graph"):
        seconds_between(gpu_moment().read(), gpu_moment().read())
    assert not recorded


@pytest.mark.parametrize("method", ["record", "query", "elapsed_time"])
def test_an_error_of_cuda_is_a_gap(torch: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.Event, method, fail)
    entered, left = gpu_moment().read(), gpu_moment().read()
    assert not is_pending(left)
    with pytest.raises(UnreadableError, match="illegal memory access") as caught:
        seconds_between(entered, left)
    check_message(caught.value)


def test_a_moment_that_is_missing_is_a_gap(torch: Any) -> None:
    assert not is_pending(None)
    with pytest.raises(UnreadableError, match="no CUDA event was recorded"):
        seconds_between(gpu_moment().read(), None)


def test_a_torch_that_is_still_being_imported_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    with pytest.raises(UnreadableError, match="no CUDA event could be recorded"):
        seconds_between(gpu_moment().read(), gpu_moment().read())
