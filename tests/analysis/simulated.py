"""Observations of runs made by hand, and of simulated pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.analysis.observations import Observed, Quantity

if TYPE_CHECKING:
    import random

Run = dict[Quantity, Observed]

TIME = Quantity("train", "time")


def group(*values: float, quantity: Quantity = TIME, unit: str = "sec") -> list[Run]:
    """Return runs that have one value each."""
    return [{quantity: Observed(value, unit)} for value in values]


def times_to_accuracy(*values: float) -> list[Run]:
    """Return runs that took so long to reach an accuracy, or did not reach it in so long where that is negative."""
    quantity = Quantity("", "timed tta", "time to 0.9")
    return [{quantity: Observed(abs(value), "sec", reached=value > 0)} for value in values]


def simulated(source: random.Random, runs: int, times: float = 1.0, metrics: int = 1, noise: float = 0.05) -> list[Run]:
    """Return runs of a pipeline whose times vary from run to run."""
    return [
        {
            Quantity(f"stage {number}", "time"): Observed(times * source.lognormvariate(0, noise), "sec")
            for number in range(metrics)
        }
        for _ in range(runs)
    ]
