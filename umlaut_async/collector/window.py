"""The latest samples of a series: those that calls may still need, and those that are still to be stored."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.summary import Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable


class Window(NamedTuple):
    """The samples of one call."""

    summary: Summary | None
    """None where there are none."""
    whole: bool = True
    """Whether all samples of the call are in it, and no other ones."""


class _Part(NamedTuple):
    """A summary of some samples of a window, and between which times these lie."""

    summary: Summary
    first_at: int
    last_at: int


class SampleLog:
    """The samples of one series that are in memory, on the clock of `now()`.

    They are kept twice. What windows are made of is in the order of time: a sample may come late, and then belongs
    between others. What is to be stored is in the order of arrival: what is stored already can have no sample put in
    before it.

    What windows no longer find here is carried, as a summary, by every window that is still open. So the cost of a
    sample does not grow with the number of windows, and a window of days costs no more memory than one of seconds.

    Args:
        spans: Whether each sample covers the time since a moment, and is not the reading of one moment.

    Attributes:
        times: The times of the samples for windows, ascending.
        values: Their values.
        pending_times: The times of the samples that are not in a packed block yet, in the order of arrival.
        pending_values: Their values.
        claimed: How many of the pending samples, from the oldest, are rows of the database, or are being written.
    """

    def __init__(self, spans: bool = False) -> None:
        self.times = array("q")
        self.values = array("d")
        self.pending_times = array("q")
        self.pending_values = array("d")
        self.claimed = 0
        self._since = array("q") if spans else None
        self._pending_since = array("q")
        self._carried: dict[int, _Part | None] = {}
        """By the number of each call whose window was open when samples were forgotten."""
        self._unknown: set[int] = set()
        """Those of them whose window was not known yet when earlier samples were."""
        self._forgotten: int | None = None
        """The latest moment at which a forgotten sample was taken, or of a rate from which on it counts."""

    def insert(self, t: int, value: float, since: int = 0, *, store: bool = True) -> None:
        """Add a sample.

        Args:
            t: When it was taken, in nanoseconds.
            value: The sample, in the unit of the series.
            since: The beginning of the time that the sample covers, if it covers any.
            store: Whether it is to be stored too.
        """
        times = self.times
        index = len(times) if not times or t >= times[-1] else bisect_right(times, t)
        times.insert(index, t)
        self.values.insert(index, value)
        if self._since is not None:
            self._since.insert(index, since)
        if store:
            self.pending_times.append(t)
            self.pending_values.append(value)
            if self._since is not None:
                self._pending_since.append(since)

    def take_all(self) -> tuple[array[int], array[float], array[int]]:
        """Return all samples, and forget them: their times, their values, and where those of rates begin."""
        taken = self.pending_times[:], self.pending_values[:], self._pending_since[:]
        self.drop_pending(0, len(self.pending_times))
        del self.times[:], self.values[:]
        if self._since is not None:
            del self._since[:]
        return taken

    def drop_pending(self, first: int, last: int) -> None:
        """Let go of pending samples, which are packed, sent or given up.

        Args:
            first: The index of the first of them.
            last: The index after the last.
        """
        del self.pending_times[first:last], self.pending_values[first:last]
        if self._since is not None:
            del self._pending_since[first:last]

    def window(self, call: int, start: int, end: int) -> Window:
        """Summarise the samples within the window of a call, and forget what was carried for it.

        A reading of a moment is within the window if it was taken strictly between its edges, which have readings of
        their own; what covers some time is, if all of that is.

        Args:
            call: The number of the call.
            start: When it began, in nanoseconds.
            end: When it ended.
        """
        whole = not self._has_forgotten(call, start)
        carried = self._carried.pop(call, None)
        self._unknown.discard(call)
        if carried is not None:
            # While the end was not known, samples from after it may have been carried.
            whole = whole and carried.last_at < end + (self._since is not None)
        both = _merged(carried, self._within(start, end, len(self.times)))
        return Window(None if both is None else both.summary, whole)

    def forget_window(self, call: int) -> None:
        """Forget what was carried for the window of a call."""
        self._carried.pop(call, None)
        self._unknown.discard(call)

    def forget(self, count: int, windows: Iterable[tuple[int, int, int | None]]) -> None:
        """Drop the oldest samples for windows; those windows that still want them carry their summary.

        Args:
            count: How many.
            windows: The number, the start and the end of each; the end is None where it is not known yet.
        """
        until = self.times[count - 1]
        for call, start, end in windows:
            if self._has_forgotten(call, start):
                self._unknown.add(call)
            part = self._within(start, until + 1 if end is None else end, count)
            self._carried[call] = _merged(self._carried.get(call), part)
        latest = until if self._since is None else max(self._since[:count])
        self._forgotten = latest if self._forgotten is None else max(self._forgotten, latest)
        del self.times[:count], self.values[:count]
        if self._since is not None:
            del self._since[:count]

    def _has_forgotten(self, call: int, start: int) -> bool:
        """Return whether samples were forgotten, before anybody knew of a window, that may have been in it."""
        if call in self._carried:
            return call in self._unknown
        return self._forgotten is not None and self._forgotten >= start + (self._since is None)

    def _within(self, start: int, end: int, limit: int) -> _Part | None:
        """Summarise those of the oldest samples, up to a limit, that lie within a window."""
        if self._since is None:
            first, last = bisect_right(self.times, start), min(bisect_left(self.times, end), limit)
        else:
            first, last = bisect_left(self.times, start), min(bisect_right(self.times, end), limit)
            # Rates follow one another, so that at most the first of them reaches back to before the start.
            while first < last and self._since[first] < start:
                first += 1
        summary = summarise(self.values[first:last]) if first < last else None
        return None if summary is None else _Part(summary, self.times[first], self.times[last - 1])


def _merged(one: _Part | None, other: _Part | None) -> _Part | None:
    """Join two parts of a window, of which either may hold the earlier samples, and times may alternate."""
    if one is None or other is None:
        return one or other
    a, b = one.summary, other.summary
    summary = Summary(
        a.n + b.n,
        min(a.min, b.min),
        max(a.max, b.max),
        a.sum + b.sum,
        a.first if one.first_at <= other.first_at else b.first,
        b.last if one.last_at <= other.last_at else a.last,
    )
    return _Part(summary, min(one.first_at, other.first_at), max(one.last_at, other.last_at))
