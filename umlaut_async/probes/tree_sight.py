"""What one reading of a tree of processes has seen, for another one that follows at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.probes.tree_walk import Member

_AT_ONCE = 1_000_000
"""Nanoseconds after a walk in which another one is spared. What begins or ends in them is seen by the next reading."""


class Sight:
    """The processes that were found alive by the latest walk over a tree."""

    def __init__(self) -> None:
        self._seen: tuple[int, Sequence[Member[Any]]] = (-_AT_ONCE, ())

    def note(self, living: Sequence[Member[Any]]) -> None:
        """Take note of what a walk has found that ends now."""
        self._seen = time.perf_counter_ns(), living

    def recent(self) -> Sequence[Member[Any]] | None:
        """Return what was found if that was just now."""
        at, living = self._seen
        return living if time.perf_counter_ns() - at < _AT_ONCE else None


_sights: WeakValueDictionary[tuple[int, str], Sight] = WeakValueDictionary()


def sight_of(root: int, proc: str) -> Sight:
    """Return what all readings of a tree have together.

    Args:
        root: The pid of its root.
        proc: Where the process file system is mounted.
    """
    # No lock, which a fork might find taken: if two threads make one each, the walk is merely not spared.
    return _sights.setdefault((root, proc), Sight())
