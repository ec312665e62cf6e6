"""The metrics that a supervised stage can have: reusable specifications without a state of their own."""

from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.resources import CPUMetric, IOMetric, MemoryMetric
from umlaut_async.metrics.timing import LatencyMetric, ThroughputMetric, TimeMetric

__all__ = ["CPUMetric", "IOMetric", "LatencyMetric", "MemoryMetric", "Metric", "ThroughputMetric", "TimeMetric"]
