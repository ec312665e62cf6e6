"""Metrics of a call's own time and entries; they read nothing but the clock."""

from __future__ import annotations

from umlaut_async.metrics.metric import Metric


class _Timing(Metric):
    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.interval = None


class TimeMetric(_Timing):
    """Measure how long a call takes, in seconds of the monotonic clock.

    Args:
        description: What is timed, in the words of the user.
    """

    measure_type = "time"
    unit = "sec"
    reduction = "time"


class LatencyMetric(_Timing):
    """Measure the seconds that a call takes for one entry.

    Entries are what `track` was given; without it, the items that a generator or an iteration yielded.

    Args:
        description: What is timed, in the words of the user.
    """

    measure_type = "latency"
    unit = "Seconds/entry"
    reduction = "latency"


class ThroughputMetric(_Timing):
    """Measure how many entries a call processes in a second.

    Entries are what `track` was given; without it, the items that a generator or an iteration yielded.

    Args:
        description: What is processed, in the words of the user.
    """

    measure_type = "throughput"
    unit = "Entries/second"
    reduction = "throughput"
