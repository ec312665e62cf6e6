"""The responsiveness of an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.probes.probe import Place, Probe, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Hashable

BLOCKED = 0.05
"""The seconds without an answer from which on a loop counts as blocked."""


def loop_lag(key: Hashable, interval: float) -> Probe:
    """Return the probe of how late the event loop of a stage comes to what is due on it, in seconds.

    Something is due on the loop at each tick. What blocks a loop began at some time since the tick before: half of the
    interval is added, so that a block is known within half of it. Of a block that is shorter than the interval that
    would be too much: no more is added than half of what was seen.

    Args:
        key: What the samples belong to.
        interval: The seconds between two ticks.
    """

    def read() -> None:
        reason = "a stage with it ran on no asyncio event loop"
        raise UnavailableError(reason, "use it on coroutines, and on what they call")

    return Probe(key, read, "event-loop", Place.TIMER, overdue=lambda elapsed: _lag(elapsed, interval))


def _lag(elapsed: int, interval: float) -> float:
    lag = elapsed / 1e9
    return lag if lag < BLOCKED else lag + min(interval, lag) / 2
