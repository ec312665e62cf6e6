"""One monotonic clock, and where the wall clock stands beside it."""

from __future__ import annotations

import time
from time import perf_counter_ns as now
from typing import Protocol

__all__ = ["Clock", "SystemClock", "epoch", "now"]

_TRIES = 5


def epoch() -> int:
    """Return when the monotonic clock stood at 0, in nanoseconds since the epoch, as the wall clock has it now.

    Asked for once a run: a wall clock that is stepped during a run changes neither an order nor a duration, and a later
    run is dated by the wall clock of its own beginning.
    """
    readings = []
    for _ in range(_TRIES):
        before, wall, behind = now(), time.time_ns(), now()
        readings.append((behind - before, wall - (before + behind) // 2))
    # The shortest: between the clocks another thread may have had the processor.
    return min(readings)[1]


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
