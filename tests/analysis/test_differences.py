"""In what runs differ besides their numbers."""

from __future__ import annotations

from typing import Any

import pytest

from umlaut_async.analysis.differences import Difference, Setting, differences
from umlaut_async.collector.environment import gather

ENVIRONMENT: dict[str, Any] = {
    "host": "a",
    "os": {"system": "Linux", "kernel": "6.1", "machine": "x86_64", "distribution": "Debian"},
    "python": {"version": "3.11.7", "implementation": "CPython"},
    "cpu": {"model": "a fast one", "count": 8, "allowed": 8},
    "memory": {"bytes": 2**34},
    "argv": ["train.py", "--workers", "4"],
    "git": {"commit": "4be1f02", "dirty": False},
    "packages": {"sha256": "x", "list": ["numpy==2.4.6", "torch==2.9.0"]},
    "launcher": {"SLURM_JOB_ID": "1", "WORLD_SIZE": "2"},
}


def test_equal_environments_of_this_machine_do_not_differ() -> None:
    found = differences([Setting(gather())] * 2, [Setting(gather())])
    assert found == ("same", ())


SLOW_CPU = {"model": "a slow one", "count": 8, "allowed": 8}
TWO_WORKERS = ["train.py", "--workers", "2"]
LOST_GPU = {"index": 1, "absent": "NVML error 15, GPU is lost"}


@pytest.mark.parametrize(
    ("change", "what", "base", "new", "machine"),
    [
        ({"host": "b"}, "host", "a", "b", True),
        ({"cpu": SLOW_CPU}, "CPU", "a fast one", "a slow one", True),
        ({"limits": {"usable_cpus": 2}}, "CPUs by the limits of the container", "unknown", "2", True),
        ({"gpus": {"devices": [{"name": "H100"}] * 2}}, "GPUs", "unknown", "H100, H100", True),
        ({"gpus": {"devices": [{"name": "H100"}, LOST_GPU]}}, "GPUs", "unknown", "H100, unknown", True),
        ({"argv": TWO_WORKERS}, "arguments", "train.py --workers 4", "train.py --workers 2", False),
        ({"git": {"commit": "4be1f02", "dirty": True}}, "changed since the commit", "no", "yes", False),
        ({"packages": {"list": ["numpy==2.4.6", "torch==2.9.1"]}}, "package torch", "2.9.0", "2.9.1", False),
        ({"packages": {"list": ["torch==2.9.0"]}}, "package numpy", "2.4.6", "unknown", False),
        ({"launcher": {"SLURM_JOB_ID": "2", "WORLD_SIZE": "4"}}, "WORLD_SIZE", "2", "4", False),
    ],
)
def test_what_differs_is_said(change: dict[str, Any], what: str, base: str, new: str, machine: bool) -> None:
    found = differences([Setting(ENVIRONMENT)] * 2, [Setting(ENVIRONMENT | change)])
    assert found.found == (Difference(what, (base,), (new,), machine),)
    assert found.machine == ("different" if machine else "same")


def search(*measurements: dict[str, Any]) -> dict[str, Any]:
    names = ["lr", "layers", "bias"]
    return {"hyperparameters": names, "target": "loss", "low_means_good": True, "measurements": [*measurements]}


def test_other_hyperparameters_are_a_difference_and_other_results_of_them_are_none() -> None:
    base = [search({"lr": lr, "layers": [64, 64], "bias": True, "loss": lr}) for lr in (0.1, 0.1, 0.2)]
    new = [search({"lr": lr, "layers": [64, 64], "bias": False, "loss": 7}) for lr in (0.13, 0.1)]
    assert differences([Setting(ENVIRONMENT, base)], [Setting(ENVIRONMENT, new[1:])]).found == (
        Difference("hyperparameter lr", ("0.1, 0.2",), ("0.1",), False),
        Difference("hyperparameter bias", ("yes",), ("no",), False),
    )
    assert differences([Setting(ENVIRONMENT, base[:1])], [Setting(ENVIRONMENT, base[1:2])]).found == ()
    assert differences([Setting(ENVIRONMENT)], [Setting(ENVIRONMENT, base[:1])]).found[0] == Difference(
        "hyperparameter lr", ("unknown",), ("0.1",), False
    )


DAMAGED: list[Any] = [None, [], "text", {}, {"cpu": 3, "packages": {"list": 3}, "gpus": {"devices": [1]}}]


def test_a_group_that_ran_on_two_machines_is_not_on_the_same_machine() -> None:
    mixed = [Setting(ENVIRONMENT), Setting(ENVIRONMENT | {"host": "b"})]
    found = differences(mixed, mixed)
    assert found == ("different", (Difference("host", ("a", "b"), ("a", "b"), True),))


@pytest.mark.parametrize("damaged", DAMAGED)
def test_environments_may_be_anything(damaged: Any) -> None:
    assert differences([Setting(damaged, [damaged])], [Setting(damaged)]).machine == "unknown"
    assert differences([Setting(ENVIRONMENT)], [Setting(damaged)]).machine == "different"
