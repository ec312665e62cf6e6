"""Measure the stages of machine-learning pipelines, asynchronous ones above all."""

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
    StoreDirectoryError,
    StoreError,
    StoreNotFoundError,
    StoreTimeoutError,
    UmlautError,
)
from umlaut_async.metrics import (
    AwaitMetric,
    CPUMetric,
    EventLoopLagMetric,
    IOMetric,
    LatencyMetric,
    MemoryMetric,
    Metric,
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
    "EventLoopLagMetric",
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
    "ReadOnlyError",
    "StoreBusyError",
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
