"""Counters of the hardware that begin again at 0: adding up what they count, and knowing where that cannot be known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECOND = 1_000_000_000
_LATE = _SECOND // 10
"""How much later than its time a value may have been read, or the hardware have brought it up to date."""

_epochs = itertools.count(1)


class Count(NamedTuple):
    """What a counter has counted. Two counts can be compared only if they are of the same epoch."""

    epoch: int
    """Of all counters of the process no two have the same."""
    total: int


def difference(earlier: Sequence[Count], later: Sequence[Count]) -> list[int] | None:
    """Return what several counters have counted between two readings; None if there is a gap between these."""
    if [count.epoch for count in earlier] != [count.epoch for count in later]:
        return None
    return [after.total - before.total for before, after in zip(earlier, later, strict=True)]


class WrappingCounter:
    """Adds up a counter that begins again at 0 when it reaches its top.

    A value that is lower than the one before is a wrap only if the counter can have come that far in the time between;
    else it was set back, as it is when a machine resumes. Nor is anything known after a time in which it can have
    counted its whole range. Such a gap begins a new epoch.

    Args:
        top: Where the counter begins again; None where that is not known.
        fastest: The most that it counts in a second.
        least_top: What the top is at least, if it is not known.
    """

    def __init__(self, top: int | None, fastest: int, least_top: int) -> None:
        self.top = top
        self._fastest = fastest
        self._range_time = (least_top if top is None else top) * _SECOND // fastest
        self._last: tuple[int, int] | None = None
        self._count = Count(next(_epochs), 0)

    @property
    def keep_awake(self) -> int:
        """The nanoseconds within which the next value must follow: a quarter of the fastest wrap."""
        return self._range_time // 4

    def add(self, value: int, at: int) -> Count:
        """Take a value and return what was counted.

        Args:
            value: What the counter shows.
            at: When, in nanoseconds of a monotonic clock.
        """
        counted = None if self._last is None else self._counted(*self._last, value, at)
        if counted is None:
            self._count = Count(next(_epochs), 0)
        else:
            self._count = Count(self._count.epoch, self._count.total + counted)
        self._last = value, at
        return self._count

    def lose(self) -> None:
        """Take note that the counter could not be read: the next value is a new beginning."""
        self._last = None

    def _counted(self, last: int, last_at: int, value: int, at: int) -> int | None:
        elapsed = at - last_at
        if elapsed >= self._range_time:
            return None
        if value >= last:
            return value - last
        if self.top is None or last > self.top:
            return None
        wrapped = value + self.top - last
        return wrapped if wrapped * _SECOND <= self._fastest * (elapsed + _LATE) else None
