"""What is measured of a command: what was asked for, or all that can be read on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.diagnosis import Check, Resolution, diagnose
from umlaut_async.metrics import EnergyMetric, GPUMemoryMetric, GPUMetric, GPUPowerMetric, PowerMetric, TimeMetric
from umlaut_async.metrics.command import CommandCPUMetric, CommandIOMetric, CommandMemoryMetric

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from umlaut_async.metrics import Metric
    from umlaut_async.probes.command import WatchedCommand

_MOST_GPUS = 64
_GPU = {
    "gpu": (GPUMetric, "GPU"),
    "gpumemory": (GPUMemoryMetric, "GPU memory"),
    "gpupower": (GPUPowerMetric, "GPU power"),
}


class Wanted(NamedTuple):
    """What was asked for."""

    types: Collection[str] = ()
    """The types of metrics; none for all that can be read."""
    interval: float = 1


def metrics_for(wanted: Wanted, command: WatchedCommand) -> list[Metric]:
    """Return the metrics of a command.

    What was asked for by its type is among them also where it cannot be read: then the run says so.

    Args:
        wanted: What was asked for.
        command: The command.

    Raises:
        ArgumentError: The interval cannot be.
    """
    interval = wanted.interval
    always: list[Metric] = [
        TimeMetric("time"),
        CommandCPUMetric("CPU", interval, command),
        CommandMemoryMetric("memory", interval, command),
        CommandIOMetric("I/O", interval, command),
    ]
    sensors: list[Metric] = [EnergyMetric("energy"), PowerMetric("power", interval)]
    if not wanted.types:
        gpus = [metric for type_ in _GPU for metric in _gpus(type_, interval)]
        return [*always, *_readable(sensors), *gpus]
    chosen = [metric for metric in (*always, *sensors) if metric.measure_type in wanted.types]
    for type_ in _GPU:
        if type_ in wanted.types:
            make, description = _GPU[type_]
            chosen += [*_gpus(type_, interval)] or [make(description, interval)]
    return chosen


def _gpus(type_: str, interval: float) -> Iterator[Metric]:
    """Yield a metric for each GPU of which it can be read."""
    make, description = _GPU[type_]
    for number in range(_MOST_GPUS):
        metric = make(description if number == 0 else f"{description} {number}", interval, number)
        if not _readable([metric]):
            return
        yield metric


def _readable(metrics: list[Metric]) -> list[Metric]:
    known = Resolution(1, "")
    found = diagnose(Check(metric, metric.description, known) for metric in metrics)
    return [metric for metric, finding in zip(metrics, found, strict=True) if finding.status == "works"]
