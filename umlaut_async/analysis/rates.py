"""Series that are rates: each sample stands for the time since the one before, not for the moment of its reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umlaut_async.store.run_queries import SeriesRow

__all__ = ["begin", "reach"]

_RATES = frozenset({("cpu", "%"), ("io", "MiB/s"), ("power", "Watt")})
_OWN = "user"
"""The source of users' own metrics, whose readings are stored as they are, whatever they are called."""
# Ticks may be missed; where more are missing, sampling had stopped, and began anew one interval before.
_STOPPED = 3.5


def reach(series: SeriesRow) -> int:
    """Return how many nanoseconds before its time a sample of a series begins to count; 0 for what is no rate."""
    is_rate = (series.type, series.unit) in _RATES and series.source != _OWN
    return max(0, series.interval) if is_rate else 0


def begin(time: int, before: int | None, reach: int) -> int:
    """Return from when on a sample counts.

    Args:
        time: Its time.
        before: The time of the sample before it, if there is one.
        reach: What `reach` says of its series.
    """
    if not reach:
        return time
    # That moment itself belongs to the sample before.
    return 1 + (time - reach if before is None or time - before > _STOPPED * reach else min(before, time - 1))
