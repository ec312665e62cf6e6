"""How much may wait in a buffer, and a count that any thread adds to."""

from __future__ import annotations

import itertools
from typing import NamedTuple

FULL = "buffer full"
"""The reason of what is dropped because a buffer holds as much as it may."""


class Limits(NamedTuple):
    """How much may wait in each of the buffers of a run: before the collector has taken it, and before it is stored."""

    records: int = 1_000_000
    data: int = 1 << 28
    """Bytes of the values that are no numbers, such as lists and texts."""
    samples: int = 1 << 16
    """Samples of each series."""


class Tally:
    """A count to which any thread adds without a lock, also a finalizer and a signal handler, and which is exact."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self._taken = 0

    def add(self) -> None:
        """Count one more."""
        next(self._count)

    @property
    def waiting(self) -> int:
        """How many have been counted since `take`."""
        # Only its text tells where a counter stands without moving it.
        return int(repr(self._count)[len("count(") : -1]) - self._taken

    def take(self) -> int:
        """Return how many have been counted since the last time; only one thread may do so."""
        waiting = self.waiting
        self._taken += waiting
        return waiting
