"""Measure the stages of machine-learning pipelines, asynchronous ones above all."""

import os as _os

# What is imported later is to be found also where a relative entry of `sys.path` no longer leads to it.
__path__ = list(map(_os.path.abspath, __path__))

from umlaut_async.benchmark import Benchmark
from umlaut_async.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClosedError,
    CorruptStoreError,
    NewerSchemaError,
    NoRunningCallError,
    NotAStoreError,
    OldDatabaseError,
    ReadOnlyError,
    StoreBusyError,
    StoreConnectionError,
    StoreDirectoryError,
    StoreError,
    StoreNotFoundError,
    StoreTimeoutError,
    UmlautError,
)
from umlaut_async.metrics import (
    AwaitMetric,
    CPUMetric,
    EnergyMetric,
    EventLoopLagMetric,
    GPUEnergyMetric,
    GPUMemoryMetric,
    GPUMetric,
    GPUPowerMetric,
    GPUTimeMetric,
    IOMetric,
    LatencyMetric,
    MemoryMetric,
    Metric,
    PowerMetric,
    ThroughputMetric,
    TimeMetric,
    WaitMetric,
)
from umlaut_async.supervisor import BenchmarkSupervisor
from umlaut_async.trackers import (
    ConfusionMatrixTracker,
    HyperparameterTracker,
    LossTracker,
    TimedTTATracker,
    TTATracker,
)

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "AwaitMetric",
    "Benchmark",
    "BenchmarkSupervisor",
    "CPUMetric",
    "ClosedError",
    "ConfusionMatrixTracker",
    "CorruptStoreError",
    "EnergyMetric",
    "EventLoopLagMetric",
    "GPUEnergyMetric",
    "GPUMemoryMetric",
    "GPUMetric",
    "GPUPowerMetric",
    "GPUTimeMetric",
    "HyperparameterTracker",
    "IOMetric",
    "LatencyMetric",
    "LossTracker",
    "MemoryMetric",
    "Metric",
    "NewerSchemaError",
    "NoRunningCallError",
    "NotAStoreError",
    "OldDatabaseError",
    "PowerMetric",
    "ReadOnlyError",
    "StoreBusyError",
    "StoreConnectionError",
    "StoreDirectoryError",
    "StoreError",
    "StoreNotFoundError",
    "StoreTimeoutError",
    "TTATracker",
    "ThroughputMetric",
    "TimeMetric",
    "TimedTTATracker",
    "UmlautError",
    "WaitMetric",
]
