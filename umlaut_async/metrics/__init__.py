"""The metrics that a supervised stage can have: reusable specifications without a state of their own."""

from umlaut_async.metrics.energy import EnergyMetric, PowerMetric
from umlaut_async.metrics.families import REDUCTIONS
from umlaut_async.metrics.gpu import GPUEnergyMetric, GPUMemoryMetric, GPUMetric, GPUPowerMetric, GPUTimeMetric
from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.resources import CPUMetric, IOMetric, MemoryMetric
from umlaut_async.metrics.timing import LatencyMetric, ThroughputMetric, TimeMetric
from umlaut_async.metrics.waiting import AwaitMetric, EventLoopLagMetric, WaitMetric

__all__ = [
    "REDUCTIONS",
    "AwaitMetric",
    "CPUMetric",
    "EnergyMetric",
    "EventLoopLagMetric",
    "GPUEnergyMetric",
    "GPUMemoryMetric",
    "GPUMetric",
    "GPUPowerMetric",
    "GPUTimeMetric",
    "IOMetric",
    "LatencyMetric",
    "MemoryMetric",
    "Metric",
    "PowerMetric",
    "ThroughputMetric",
    "TimeMetric",
    "WaitMetric",
]
