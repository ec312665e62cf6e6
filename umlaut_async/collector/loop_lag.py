"""The lag of an event loop, as a timer on that loop finds it: no other thread has a part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.series import EdgeRequest, Series, Taken

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from umlaut_async.records import Reading

_ROUNDING = 2_000_000
"""Nanoseconds by which an idle loop may be late: loops round the time of a timer up to their resolution."""
_LINGER = 2
"""How many ticks without a call the timer goes on for."""


class LoopLagSeries(Series):
    """The answers of one event loop at a time.

    A timer is due on the loop at multiples of the interval, as long as calls are open. What it comes late is the lag,
    so nobody has to ask in time: code that holds the interpreter, or a stopped process, keeps no question from being
    asked. The timer sets itself anew, since its next time must be known to the loop before the loop is blocked again.

    A loop that is on time within the resolution of its timers is asked once more, by a callback that is due at once.
    """

    _due: int | None = None
    """When the timer is due that has not come yet; None while there is none."""
    _origin = 0
    """From when on ticks are due."""
    _began = 0
    """When the first of the calls began that have kept this open since."""
    _idle = 0
    """How many ticks there has been no call."""

    def enter(self, number: int, started: int, reading: Reading) -> None:
        """Let a call begin to use the series; it runs on the loop, where the timer is set."""
        loop = self.loop()
        if loop is None:
            # A call without a loop: to ask for a reading finds out that there can be none.
            super().enter(number, started, reading)
            return
        if not self.calls:
            self._began = started
        self.calls[number] = self.windows[number] = started
        try:
            loop.call_soon(self._answer_first, number, started)
            if self._due is None:
                self._origin = started
                self._set_timer(loop, started)
        except RuntimeError:
            pass  # The loop is closed, or its debug mode refuses the thread: then there are no answers.

    def leave(self, number: int, ended: int, reading: Reading) -> None:
        """Let a call cease to use the series: what is not answered yet counts up to here, for this call."""
        if self.loop() is None:
            super().leave(number, ended, reading)
            return
        started = self.calls.pop(number, None)
        if started is None:
            return
        if self._notes_ends:
            self.end_window(number, ended)
        first, last = EdgeRequest(number, True), EdgeRequest(number, False)
        late = None
        if first not in self.edges:
            # The loop has run nothing else since the call began.
            self.edges[first] = Taken(started, None, started)
            late = self._lag(ended - started)
        elif self._due is not None and started <= self._due < ended - _ROUNDING:
            late = self._lag(ended - self._due)
        self.edges[last] = Taken(ended, late, ended)

    def bind(self, loop: AbstractEventLoop | None) -> None:
        """Let it be read on this loop from now on."""
        self._due = None
        super().bind(loop)

    def _answer_first(self, number: int, started: int) -> None:
        if number in self.calls:
            at = now()
            self.edges.setdefault(EdgeRequest(number, True), Taken(at, self._lag(at - started), started))

    def _set_timer(self, loop: AbstractEventLoop, moment: int) -> None:
        self._due = self._origin + ((moment - self._origin) // self.interval + 1) * self.interval
        loop.call_later((self._due - moment) / 1e9, self._come, loop)

    def _come(self, loop: AbstractEventLoop) -> None:
        if loop is not self.loop() or self._due is None:
            return  # It is another loop's by now.
        at = now()
        if at - self._due <= _ROUNDING:
            loop.call_soon(self._answer, loop, at)
        else:
            self._answer(loop, self._due)

    def _answer(self, loop: AbstractEventLoop, due: int) -> None:
        """Note the lag of a tick, and set the timer for the next one."""
        if loop is not self.loop():
            return
        at = now()
        # A loop may stand while there is no call on it.
        if self.calls and self._began <= due:
            if self.provenance != self.probe.provenance:
                self.provenance = self.probe.provenance
            self._edge_samples.append(Taken(at, self._lag(at - due), due))
        self._idle = 0 if self.calls else self._idle + 1
        if self._idle > _LINGER:
            self._due, self._idle = None, 0
        else:
            self._set_timer(loop, at)

    def _lag(self, elapsed: int) -> float:
        assert self.probe.overdue is not None
        return float(self.probe.overdue(elapsed))
