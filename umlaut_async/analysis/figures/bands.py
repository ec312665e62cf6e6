"""A series as columns of a figure: for each the lowest, mean and highest value, so that no peak is ever hidden."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from umlaut_async.store.chunks import Header

__all__ = ["Column", "connected", "fewer", "reduce"]


class Column(NamedTuple):
    """What a series was within one column of a figure; columns without samples are left out."""

    first: int
    """When what is known of it begins, in nanoseconds since the epoch."""
    last: int
    """When that ends."""
    weight: float
    """How many samples there are; of a block that touches several columns each has its part."""
    low: float
    mean: float
    high: float


def reduce(
    headers: Iterable[Header],
    times: Sequence[int],
    values: Sequence[float],
    start: int,
    end: int,
    count: int,
    begin: Callable[[int], int] | None = None,
) -> list[Column]:
    """Return the columns of a series in a window.

    A block of which only the header is known lends its extremes to each column that it touches: where within it they
    were is not known, and a peak may be drawn too wide, but is never left out.

    Args:
        headers: The blocks that are known by their header alone; all of them end in the window.
        times: The times of the other samples, in ascending order, all of which count for some of the window.
        values: Their finite values.
        start: The start of the window.
        end: Its end, which belongs to it.
        count: Into how many columns the window is divided.
        begin: Tells of the sample with an index from when on it counts: until its time, at which it begins by default.
    """
    grid = _Grid(start, end, count)
    found: dict[int, Column] = {}
    for index, column in [*_of_samples(times, values, grid, begin or times.__getitem__), *_of_headers(headers, grid)]:
        found[index] = merged(found[index], column) if index in found else column
    return [found[index] for index in sorted(found)]


def merged(a: Column, b: Column) -> Column:
    """Return two columns as one."""
    weight = a.weight + b.weight
    low, high = min(a.low, b.low), max(a.high, b.high)
    # Divided first: the sum of two large values need not be finite.
    mean = a.mean * (a.weight / weight) + b.mean * (b.weight / weight)
    return Column(min(a.first, b.first), max(a.last, b.last), weight, low, min(max(mean, low), high), high)


def fewer(columns: Sequence[Column], most: int) -> list[Column]:
    """Return at most so many columns, neighbours made one."""
    size = -(-len(columns) // most)
    found = []
    for at in range(0, len(columns), max(1, size)):
        column, *others = columns[at : at + size]
        for other in others:
            column = merged(column, other)
        found.append(column)
    return found


def connected(columns: Iterable[Column], longest_gap: int) -> list[list[Column]]:
    """Return the parts of a series between which nothing was sampled for longer than this many nanoseconds."""
    parts: list[list[Column]] = []
    for column in columns:
        if parts and column.first - parts[-1][-1].last <= longest_gap:
            parts[-1].append(column)
        else:
            parts.append([column])
    return parts


class _Grid(NamedTuple):
    """A window divided into columns."""

    start: int
    end: int
    columns: int

    def clipped(self, time: int) -> int:
        """Return a time, or that of the window which is nearest to it."""
        return min(max(time, self.start), self.end)

    def column(self, time: int) -> int:
        """Return the column of a time."""
        return (self.clipped(time) - self.start) * self.columns // (self.end - self.start + 1)

    def begin(self, index: int) -> int:
        """Return the first nanosecond of a column."""
        return self.start - (-index * (self.end - self.start + 1) // self.columns)


def _of_samples(
    times: Sequence[int], values: Sequence[float], grid: _Grid, begin: Callable[[int], int]
) -> Iterator[tuple[int, Column]]:
    at = 0
    while at < len(times):
        index = grid.column(times[at])
        after = bisect_left(times, grid.begin(index + 1), at + 1)
        here = values[at:after]
        low, high = min(here), max(here)
        mean = sum(value / len(here) for value in here) if max(-low, high) > 1e300 else sum(here) / len(here)
        first, last = grid.clipped(begin(at)), grid.clipped(times[after - 1])
        yield index, Column(first, last, after - at, low, min(max(mean, low), high), high)
        at = after


def _of_headers(headers: Iterable[Header], grid: _Grid) -> Iterator[tuple[int, Column]]:
    for t0, t1, summary in headers:
        t0, t1 = grid.clipped(t0), grid.clipped(t1)
        length = t1 - t0 + 1
        for index in range(grid.column(t0), grid.column(t1) + 1):
            first, last = max(t0, grid.begin(index)), min(t1, grid.begin(index + 1) - 1)
            weight = summary.n * (last - first + 1) / length
            yield index, Column(first, last, weight, summary.min, summary.mean, summary.max)
