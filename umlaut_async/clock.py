"""One monotonic clock, and the moment since the epoch at which it was anchored."""

from __future__ import annotations

import time
from time import perf_counter_ns as now
from typing import Protocol

__all__ = ["Clock", "SystemClock", "now", "since_epoch"]

# Taken once per process: a wall clock that is stepped later changes neither an order nor a duration.
_EPOCH_OFFSET = time.time_ns() - now()


def since_epoch(moment: int) -> int:
    """Return a moment of the monotonic clock as integer nanoseconds since the epoch.

    Args:
        moment: A reading of `now()`, in nanoseconds.
    """
    return _EPOCH_OFFSET + moment


class Clock(Protocol):
    """What the sampler needs of time, so that its tests bring a clock of their own."""

    def now(self) -> int:
        """Return the monotonic time in nanoseconds."""
        ...

    async def sleep_until(self, moment: int) -> None:
        """Return at, or as soon as possible after, a moment of this clock in nanoseconds."""
        ...


class SystemClock:
    """The machine's clock and the running loop's timers."""

    now = staticmethod(now)

    async def sleep_until(self, moment: int) -> None:
        """Return at, or as soon as possible after, a moment of this clock in nanoseconds."""
        import asyncio

        await asyncio.sleep(max(0, moment - now()) / 1e9)
