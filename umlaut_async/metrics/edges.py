"""How far the readings for the edges of a call may lie from these, and what a counter counted in the call itself.

A reading that is not taken by the caller comes late: by a fraction of a millisecond as a rule, and by many where
the stage holds the interpreter.
"""

from __future__ import annotations

from umlaut_async.probes import UnreadableError

NEAR = 0.05
"""Up to this share of a call its edge readings may lie off, both together: beyond it what they say is estimated."""
FAR = 1.0
"""From this share on, a counter says nothing of the call."""

NEEDS_EDGES = frozenset({"cpu", "tree cpu", "io", "tree io", "power", "energy", "gpuenergy"})
"""The reductions whose value is absent where the readings lie that far off."""
USES_EDGES = NEEDS_EDGES | {"difference", "command cpu", "command memory", "command io"}
"""The reductions that are made of the readings at both edges. All others are of readings within the call alone, and
have the edges only where the caller itself reads these."""
NEEDS_PEAK = frozenset({"own memory"})
"""The reductions that also have the highest value that the kernel knows of, at both edges."""


_STEPS = 10
"""In so many of its steps a counter moves, if it moves at all."""


class TooShortError(Exception):
    """A call was over before its counter moved."""


def standing(elapsed: int, step: int) -> TooShortError | UnreadableError:
    """Return why a counter that never stands says nothing of a call at whose edges it stood the same.

    Args:
        elapsed: The nanoseconds between the readings for the edges.
        step: The nanoseconds between two moves of the counter.
    """
    if elapsed < _STEPS * step:
        return TooShortError()
    return UnreadableError(f"its counter did not move for {elapsed / 1e9:.3g} s")


def distance(started: int, duration: int, entered_at: int, left_at: int, step: int) -> float:
    """Return how far the two edge readings of a call lie from its edges, as a share of its duration.

    Args:
        started: When the call started.
        duration: How long it took.
        entered_at: When the reading for its start was taken.
        left_at: When the one for its end was.
        step: The nanoseconds between two moves of the counter.
    """
    return (abs(entered_at - started) + abs(left_at - started - duration) + step) / max(1, duration)


def share(duration: int, elapsed: int) -> float:
    """Return the part that falls to a call of what was counted between its edge readings: 1 where these are near.

    Args:
        duration: The nanoseconds that the call took.
        elapsed: The nanoseconds between the readings.
    """
    return 1 if elapsed <= 0 or abs(elapsed - duration) <= NEAR * duration else duration / elapsed
