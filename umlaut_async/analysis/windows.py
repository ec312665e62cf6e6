"""Windows of time: those in which a stage ran, and the samples that fall into them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from umlaut_async.store.queries import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Window", "cut", "merged"]

Window = tuple[int, int]
"""Start and end in nanoseconds, both of which belong to it."""


def merged(windows: Iterable[Window]) -> list[Window]:
    """Return windows that cover the same time, in its order, none of which touches another."""
    found: list[Window] = []
    for start, end in sorted(windows):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def cut(samples: Samples, windows: Sequence[Window]) -> Samples:
    """Return the samples within merged windows."""
    times, values = array("q"), array("d")
    for start, end in windows:
        inside = slice(bisect_left(samples.times, start), bisect_right(samples.times, end))
        times += samples.times[inside]
        values += samples.values[inside]
    return Samples(times, values)
