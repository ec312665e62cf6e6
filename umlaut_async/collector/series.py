"""A series: the samples of one probe at one interval, shared by all calls that want them."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.collector.window import SampleLog
from umlaut_async.probes import Place, Probe
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from umlaut_async.collector.link import Link
    from umlaut_async.collector.window import Window
    from umlaut_async.records import Reading


_AWAKE = 10_000_000_000
"""How often a probe is read, in nanoseconds, of which only the edges of calls are wanted and that has no other wish."""


class EdgeRequest(NamedTuple):
    """The wish for a reading at one edge of a call."""

    call: int
    first: bool


class Taken(NamedTuple):
    """A reading."""

    at: int
    """When it was taken, on the clock of `now()`."""
    reading: Reading
    """None where it failed."""
    asked: int
    """When it was asked for: it tells of no time before that."""


_FAILED = Taken(0, None, 0)


class Edges(NamedTuple):
    """What was read for the two edges of a call, by somebody else than the caller; None where that failed."""

    entered_at: int
    entered: Reading
    left_at: int
    left: Reading
    before: Reading
    """The latest reading from before the call, if that is of use."""


class Series:
    """One series. Calls enter and leave it from any thread; all else is the collector's.

    Args:
        link: What wakes the collector.
        number: The number of the series in its process.
        measure_type: The type of its samples.
        unit: The unit of its samples.
        description: What they are, in the words of the user.
        probe: What is read.
        interval: Nanoseconds between two ticks; None where only the edges of calls are read, and nothing is sampled.
    """

    def __init__(
        self,
        link: Link,
        number: int,
        measure_type: str,
        unit: str,
        description: str,
        probe: Probe,
        interval: int | None,
    ) -> None:
        self.number = number
        self.measure_type = storable(measure_type)
        self.unit = storable(unit)
        self.description = storable(description)
        self.probe = probe
        self.samples = interval is not None
        self.interval = _AWAKE if interval is None else interval
        # A gauge has its readings at the edges before its first tick; whether a rate can be had, the first tick tells.
        known = probe.place is Place.CALLER and self.samples and probe.rate is None
        self.provenance = probe.provenance if known else None
        """How its numbers come about, once that is known: measured, estimated or unavailable."""
        self.unavailable = False
        """Whether the probe said that it can never be read here."""
        # What is read elsewhere tells of some moment between the question and the answer.
        self.log = SampleLog(spans=probe.rate is not None or probe.place is not Place.CALLER)
        self.calls: dict[int, int] = {}
        """The start of each running call that wants samples, by its number."""
        self.windows: dict[int, int] = {}
        """The start of each call whose results are not made yet: what leaves memory must be carried for it."""
        self._ends: dict[int, int] = {}
        """The end of each of these calls that has ended, as far as they are noted."""
        self._notes_ends = False
        """Whether so many samples are in memory that some may be forgotten before the results of a call are made."""
        self.sampled = False
        """Whether a task samples it. A call adds itself to `calls` and then looks here; the task clears this and then
        looks at `calls`. So one of the two always sees the other."""
        self.idle_since: int | None = None
        """When the first call entered it that the task is to sample which does not run yet."""
        self._left_at = 0
        self.edge_requests: deque[EdgeRequest] = deque()
        self.edges: dict[EdgeRequest, Taken] = {}
        """The answers to the edge requests."""
        self.unstored: list[Taken] = []
        """Samples that a collector in another process wants for calls and is not to store, since the last were sent."""
        self.latest: Reading = None
        """The latest reading, if there was one."""
        self._before: dict[int, Reading] = {}
        """The latest reading before each call, where it is to be compared with the one after it."""
        self.loops: dict[int, AbstractEventLoop | None] = {}
        """The event loop of each call whose edges are requested."""
        self.loop: Callable[[], AbstractEventLoop | None] = _no_loop
        """The event loop on which it is read at present, if it is read on one and that still lives."""
        self.visits = 0
        """How often a call came while there was none."""
        self.announced = False
        """Whether a collector in another process knows of it."""
        self.missed = 0
        """Ticks missed since this was last reported."""
        self.dropped = 0
        """Samples dropped since this was last reported."""
        self._link = link
        self._edge_samples: deque[Taken] = deque()
        self._next_edge_sample = 0
        self._caller_reads = probe.place is Place.CALLER

    def enter(self, number: int, started: int, reading: Reading) -> None:
        """Let a call begin to use the series; the collector is woken only if nothing samples it."""
        if self.unavailable:
            return
        if not self._caller_reads:
            # Before `calls`, so that a call that is running has a loop.
            self.loops[number] = asyncio._get_running_loop()
            if self.probe.still is not None:
                self._before[number] = self.latest
        if not self.calls:
            self.visits += 1
        self.calls[number] = self.windows[number] = started
        idle = not self.sampled and (self.samples or not self._caller_reads)
        if idle:
            if self.idle_since is None:
                self.idle_since = started
            self._link.idle.append(self)
        if not self._caller_reads:
            self._request_edge(EdgeRequest(number, True))
        else:
            self.edge_sample(started, reading)
            if idle:
                self._link.wake()

    def leave(self, number: int, ended: int, reading: Reading) -> None:
        """Let a call cease to use the series."""
        if self.calls.pop(number, None) is None:
            return
        self._left_at = ended
        if self._notes_ends:
            self.end_window(number, ended)
        if self._caller_reads:
            self.edge_sample(ended, reading)
        else:
            self._request_edge(EdgeRequest(number, False))

    def _request_edge(self, request: EdgeRequest) -> None:
        if self._link.full:
            # Nobody takes them at present, and the call will hardly be recorded.
            self.answer(request, _FAILED)
            return
        self.edge_requests.append(request)
        self._link.waiting.append(self)
        self._link.wake()

    def edge_sample(self, t: int, reading: Reading) -> None:
        """Keep the reading at an edge of a gauge as a sample, at most one in a tenth of the interval."""
        if self.samples and self.probe.rate is None and reading is not None and t >= self._next_edge_sample:
            self._next_edge_sample = t + self.interval // 10
            self._edge_samples.append(Taken(t, reading, t))

    def awaits_edges(self, call: int) -> bool:
        """Return whether a call that has ended still waits for a reading at one of its edges."""
        if self._caller_reads or call not in self.windows:
            return False
        return EdgeRequest(call, True) not in self.edges or EdgeRequest(call, False) not in self.edges

    def take_edges(self, call: int) -> Edges:
        """Return the readings for the edges of a call that has ended, which are not asked for again."""
        self.loops.pop(call, None)
        entered = self.edges.pop(EdgeRequest(call, True), _FAILED)
        left = self.edges.pop(EdgeRequest(call, False), _FAILED)
        return Edges(entered.at, entered.reading, left.at, left.reading, self._before.pop(call, None))

    def answer(self, request: EdgeRequest, taken: Taken | None) -> None:
        """Answer an edge request, unless the call has done without.

        Args:
            request: The request.
            taken: The reading; None where it failed.
        """
        if request.call in self.windows:
            self.edges.setdefault(request, taken or _FAILED)

    def bind(self, loop: AbstractEventLoop | None) -> None:
        """Let it be read on this loop from now on."""
        self.loop = _no_loop if loop is None else weakref.ref(loop)

    @property
    def is_left(self) -> bool:
        """Whether the loop is no more on which it was read, so that it may be bound to another one."""
        if self.loop is _no_loop or self.calls:
            return False
        loop = self.loop()
        return loop is None or loop.is_closed()

    def window(self, call: int, start: int, end: int) -> Window:
        """Summarise the samples within the window of a call that has ended, which is not asked for again."""
        # First of all: where that makes others be forgotten, those of this call are carried for it.
        self.end_window(call, end)
        self.take_edge_samples()
        self.windows.pop(call, None)
        self._ends.pop(call, None)
        return self.log.window(call, start, end)

    def add(self, taken: Taken, *, store: bool = True) -> None:
        """Keep a sample for the windows of calls, and to be stored.

        Args:
            taken: A number, and since when it tells of the source.
            store: Whether it is to be stored, too.
        """
        self.log.insert(taken.at, taken.reading, taken.asked, store=store)
        if not store and self._link.notify is not None:
            self.unstored.append(taken)
        if len(self.log.times) >= BLOCK:
            self._notes_ends = True
            if len(self.log.times) >= 2 * BLOCK:
                self.log.forget(BLOCK, self._open_windows())

    def begin(self, now: int) -> tuple[int, int]:
        """Return from when ticks are due, and by how much the first is late of calls that ended before this.

        These ticks are counted as missed.
        """
        since, self.idle_since = self.idle_since, None
        earliest = min(self.calls.copy().values(), default=None)
        if earliest is not None:
            return earliest, 0
        if since is None or not self.samples or self._left_at < since + self.interval:
            return now, 0
        self.missed += (self._left_at - since) // self.interval
        return now, now - since - self.interval

    def make_room(self) -> None:
        """Drop the oldest samples that are not stored, if more of these wait than may."""
        most = BLOCK if self._link.pressed else self._link.limits.samples
        unstored = len(self.log.pending_times) - self.log.claimed
        if unstored > most:
            # Some more at once, since each time all that is left is moved.
            count = unstored - most + most // 8
            self.log.drop_pending(self.log.claimed, self.log.claimed + count)
            self.dropped += count

    def end_window(self, call: int, ended: int) -> None:
        """Take note of when a call ended whose results are not made yet."""
        if call in self.windows:
            self._ends[call] = ended

    def _open_windows(self) -> list[tuple[int, int, int | None]]:
        return [(call, started, self._ends.get(call)) for call, started in self.windows.copy().items()]

    def forget_call(self, number: int) -> None:
        """Let go of a call that has ended and of which nothing is recorded."""
        self.windows.pop(number, None)
        self._ends.pop(number, None)
        self.log.forget_window(number)
        self.take_edges(number)

    def take_edge_samples(self) -> None:
        """Move to the log what was read in the threads of the calls."""
        while self._edge_samples:
            taken = self._edge_samples.popleft()
            if math.isfinite(taken.reading):
                self.add(taken)


def _no_loop() -> None:
    """Return what a series has that is read on no loop."""
