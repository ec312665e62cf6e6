"""The responsiveness of an event loop, probed from outside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.probes.probe import Place, Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

BLOCKED = 0.05
"""The seconds without an answer from which on a loop counts as blocked."""


def loop_lag(key: Hashable, interval: float) -> Probe:
    """Return the probe of how long the event loop of a stage takes to answer, in seconds.

    A question is put to the loop at each tick, and waits for as long as the loop does not run it. What blocks a loop
    began at some time since it last answered: half of the interval is added, so that a block is known within half of
    it. Of a block that is shorter than the interval that would be too much: no more is added than half of what was
    seen.

    Args:
        key: What the samples belong to.
        interval: The seconds between two ticks.
    """

    def ask() -> Callable[[], float]:
        asked = now()
        return lambda: _lag(now() - asked, interval)

    return Probe(
        key,
        ask,
        "event-loop",
        Place.CALLBACK,
        deadline=None,
        overdue=lambda elapsed: _lag(elapsed, interval),
    )


def _lag(elapsed: int, interval: float) -> float:
    lag = elapsed / 1e9
    return lag if lag < BLOCKED else lag + min(interval, lag) / 2
