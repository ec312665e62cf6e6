"""The synchronous API of UMLAUT, as it is documented: a thin face over `umlaut_async`.

    from umlaut_async import compat as umlaut

Pipelines that were written for UMLAUT run unchanged with this import. Nothing is measured or stored here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.compat.facade import Benchmark
from umlaut_async.compat.frames import VisualizationBenchmark
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

if TYPE_CHECKING:
    from umlaut_async.compat import benchmark, datamodel, metrics

__all__ = [
    "Benchmark",
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
    "VisualizationBenchmark",
    "benchmark",
    "datamodel",
    "metrics",
]


def __getattr__(name: str) -> Any:
    """Import a module of the package when it is asked for: the ORM classes need SQLAlchemy, which takes its time."""
    if name not in ("benchmark", "datamodel", "metrics"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return importlib.import_module(f"umlaut_async.compat.{name}")
