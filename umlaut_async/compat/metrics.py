"""The supervisor, the metrics and the trackers, under the name that their module has in UMLAUT."""

from __future__ import annotations

from umlaut_async.compat.supervised import (
    BenchmarkSupervisor,
    CPUMetric,
    EnergyMetric,
    GPUMemoryMetric,
    GPUMetric,
    GPUPowerMetric,
    GPUTimeMetric,
    LatencyMetric,
    MemoryMetric,
    PowerMetric,
    ThroughputMetric,
    TimeMetric,
)
from umlaut_async.compat.tracked import (
    ConfusionMatrixTracker,
    HyperparameterTracker,
    LossTracker,
    TimedTTATracker,
    TTATracker,
)

__all__ = [
    "BenchmarkSupervisor",
    "CPUMetric",
    "ConfusionMatrixTracker",
    "EnergyMetric",
    "GPUMemoryMetric",
    "GPUMetric",
    "GPUPowerMetric",
    "GPUTimeMetric",
    "HyperparameterTracker",
    "LatencyMetric",
    "LossTracker",
    "MemoryMetric",
    "PowerMetric",
    "TTATracker",
    "ThroughputMetric",
    "TimeMetric",
    "TimedTTATracker",
]
