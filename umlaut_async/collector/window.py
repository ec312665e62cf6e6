"""The latest samples of a series, and what the windows of calls on them come to."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from umlaut_async.summary import Summary, merge, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable


class SampleLog:
    """The samples of one series that are still in memory, in the order of time.

    What leaves memory is carried, as a summary, by every window that is still open. So the cost of a sample does not
    grow with the number of windows, and a window of days costs no more memory than one of seconds.

    Args:
        spans: Whether each sample covers the time since a moment, and is not the reading of one moment.
    """

    def __init__(self, spans: bool = False) -> None:
        self.times = array("q")
        self.values = array("d")
        self.settled = 0
        """How many samples, from the oldest, are being written or are: nothing may come between these any more."""
        self._since = array("q") if spans else None
        self._carried: dict[int, tuple[Summary, int]] = {}
        """What is carried for a window, and until when that is."""

    def insert(self, t: int, value: float, since: int = 0) -> None:
        """Add a sample in its place.

        Args:
            t: Nanoseconds since the epoch.
            value: The sample, in the unit of the series.
            since: The beginning of the time that the sample covers, if it covers any.
        """
        times = self.times
        index = len(times) if not times or t >= times[-1] else max(self.settled, bisect_right(times, t))
        times.insert(index, t)
        self.values.insert(index, value)
        if self._since is not None:
            self._since.insert(index, since)

    def take_all(self) -> tuple[array[int], array[float], array[int]]:
        """Return all samples, and forget them: their times, their values, and where those of rates begin."""
        taken = self.times[:], self.values[:], array("q") if self._since is None else self._since[:]
        del self.times[:], self.values[:]
        if self._since is not None:
            del self._since[:]
        return taken

    def summary(self, call: int, start: int, end: int) -> Summary | None:
        """Summarise the samples within a window, and forget what was carried for it.

        A reading of a moment is within the window if it was taken strictly between its edges, which have readings of
        their own; what covers some time is, if all of that is.

        Args:
            call: The number of the call whose window it is.
            start: Nanoseconds since the epoch.
            end: Likewise.
        """
        carried, start = self._carried.pop(call, (None, start))
        return merge(carried, self._within(start, end))

    def forget_window(self, call: int) -> None:
        """Forget what was carried for the window of a call."""
        self._carried.pop(call, None)

    def forget(self, first: int, last: int, windows: Iterable[tuple[int, int]]) -> None:
        """Drop samples; windows that may still be open carry what they need of these and of all before them.

        Args:
            first: The index of the first of them.
            last: The index after the last.
            windows: The number and the start of each.
        """
        until, end = self.times[last - 1], self.times[-1] + 1
        for call, start in windows:
            carried, start = self._carried.get(call, (None, start))
            if start <= until and (part := merge(carried, self._within(start, end, last))):
                # What comes late may still lie between those that are dropped and those that stay.
                self._carried[call] = part, until if first else start
        del self.times[first:last]
        del self.values[first:last]
        if self._since is not None:
            del self._since[first:last]
        if first < self.settled:
            self.settled -= last - first

    def _within(self, start: int, end: int, limit: int | None = None) -> Summary | None:
        if self._since is None:
            first, last = bisect_right(self.times, start), bisect_left(self.times, end)
        else:
            first, last = bisect_left(self._since, start), bisect_right(self.times, end)
        return summarise(self.values[first : last if limit is None else min(last, limit)])
