"""Metrics of the energy that the CPU uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.metrics.edges import share, standing
from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.reductions import described
from umlaut_async.probes.rapl import STEP, Energy, energy, watts
from umlaut_async.probes.unwrap import difference
from umlaut_async.summary import Summary

if TYPE_CHECKING:
    from umlaut_async.metrics.reductions import Outcome, Reduction
    from umlaut_async.probes import Probe
    from umlaut_async.records import CallRecord


class PowerMetric(Metric):
    """Measure the power of the CPU during a call, in Watt.

    A call's value is the energy of all packages between its edges over the time between; samples hold the mean power
    between ticks. Beside it are kept the power of each package, and of their memory where that is counted. It is the
    power of the whole machine: other processes use it too.

    The source are the RAPL counters of the CPU, read through pyRAPL. They move about once in a millisecond, and are
    read a little after the edges. Where that is long for a call, as for one of a few milliseconds, its value is
    estimated from the power between the readings, or absent.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
    """

    measure_type = "power"
    unit = "Watt"
    reduction = "power"

    def probe(self) -> Probe:
        return energy(rate=watts)


class EnergyMetric(Metric):
    """Measure the energy that the CPU uses during a call, in µJ.

    A call's value is the energy of all packages between its edges. Beside it are kept the energy of each package, and
    of their memory where that is counted. It is the energy of the whole machine: other processes use it too.

    The source are the RAPL counters of the CPU, read through pyRAPL. They move about once in a millisecond, and are
    read a little after the edges. Where that is long for a call, as for one of a few milliseconds, its value is
    estimated from the power between the readings, or absent.

    Args:
        description: What is measured, in the words of the user.
    """

    measure_type = "energy"
    unit = "µJ"
    reduction = "energy"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.interval = None

    def probe(self) -> Probe:
        return energy()


def _energy(
    call: CallRecord, entries: object, entered: Energy | None, left: Energy | None, samples: object, elapsed: int
) -> Outcome | None:
    spent = _spent(entered, left, elapsed)
    if spent is None:
        return None
    part = share(call.duration, elapsed)
    if part != 1:
        spent = {name: [round(µJ * part) for µJ in each] for name, each in spent.items()}
    return sum(spent["packages"]), {**spent}


def _power(
    call: object, entries: object, entered: Energy | None, left: Energy | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    spent = _spent(entered, left, elapsed)
    if spent is None:
        return None
    value = sum(spent["packages"]) * 1e3 / elapsed
    readings = samples or Summary(1, value, value, value, value, value)
    return value, described(readings) | {part: [µJ * 1e3 / elapsed for µJ in each] for part, each in spent.items()}


def _spent(entered: Energy | None, left: Energy | None, elapsed: int) -> dict[str, list[int]] | None:
    """Return what each package and each memory used between two readings, in µJ; None where that is not known."""
    if entered is None or left is None or elapsed <= 0:
        return None
    packages = difference(entered.packages, left.packages)
    if packages is None:
        return None
    if not any(packages):
        raise standing(elapsed, STEP)  # No CPU that runs uses nothing.
    dram = difference(entered.dram, left.dram)
    return {"packages": packages, "dram": dram} if dram else {"packages": packages}


REDUCTIONS: dict[str, Reduction] = {"energy": _energy, "power": _power}
"""The reductions by name."""
