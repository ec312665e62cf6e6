"""What a window on a series comes to: count, extremes, sum, first and last."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Summary(NamedTuple):
    """The summary of at least one reading, in the order of time and in the unit of its series."""

    n: int
    min: float
    max: float
    sum: float
    first: float
    last: float

    @property
    def mean(self) -> float:
        """The arithmetic mean, kept within the extremes against rounding."""
        return min(max(self.sum / self.n, self.min), self.max)


def summarise(values: Sequence[float]) -> Summary | None:
    """Summarise readings in the order of time; none at all give None."""
    if not values:
        return None
    return Summary(len(values), min(values), max(values), sum(values), values[0], values[-1])


def merge(earlier: Summary | None, later: Summary | None) -> Summary | None:
    """Join the summaries of two windows, the second after the first."""
    if earlier is None or later is None:
        return earlier or later
    return Summary(
        earlier.n + later.n,
        min(earlier.min, later.min),
        max(earlier.max, later.max),
        earlier.sum + later.sum,
        earlier.first,
        later.last,
    )
