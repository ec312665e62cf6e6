"""What is read on event loops: a series for each loop, so that no call gets the samples of another loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.series import Series
    from umlaut_async.probes import Probe
    from umlaut_async.records import Reading


class LoopSeries:
    """The series of one source that is read on the event loops of its calls, and one for calls that have no loop.

    A loop runs in one thread at a time, so no other thread looks for the series of the same loop. Programs may make
    one loop after the other without end: the series of a loop that was closed goes on with the next one.

    Args:
        number: What it is called in the records of stages.
        probe: What is read.
        new: Makes a series.
    """

    def __init__(self, number: int, probe: Probe, new: Callable[[], Series]) -> None:
        self.number = number
        self.probe = probe
        self._new = new
        self._bound: dict[int, Series] = {}
        """By the identity of the loop: a loop must not live longer because it is measured."""
        self._of_call: dict[int, Series] = {}

    def enter(self, number: int, started: int, reading: Reading) -> None:
        """Let a call begin to use the series of its loop."""
        loop = asyncio._get_running_loop()
        series = self._bound.get(id(loop))
        if series is None or (loop is not None and series.loop() is not loop):
            series = self._bind(loop)
        self._of_call[number] = series
        series.enter(number, started, reading)

    def leave(self, number: int, ended: int, reading: Reading) -> None:
        """Let a call cease to use its series."""
        series = self._of_call.get(number)
        if series is not None:
            series.leave(number, ended, reading)

    def awaits_edges(self, call: int) -> bool:
        """Return whether a call that has ended still waits for a reading at one of its edges."""
        series = self._of_call.get(call)
        return series is not None and series.awaits_edges(call)

    def of(self, call: int) -> Series | None:
        """Return the series of a call."""
        return self._of_call.get(call)

    def assign(self, call: int, series: Series) -> None:
        """Take note of the series of a call that runs in another process."""
        self._of_call[call] = series

    def forget(self, call: int) -> None:
        """Let go of a call whose results are made."""
        self._of_call.pop(call, None)

    def _bind(self, loop: asyncio.AbstractEventLoop | None) -> Series:
        series = (None if loop is None else self._left(id(loop))) or self._new()
        series.bind(loop)
        self._bound[id(loop)] = series
        return series

    def _left(self, first: int) -> Series | None:
        """Take a series whose loop is no more, if there is one, and that of this identity before all others."""
        for identity in (first, *self._bound.copy()):
            series = self._bound.get(identity)
            # Of several threads that find it, one takes it.
            if series is not None and series.is_left and self._bound.pop(identity, None) is series:
                return series
        return None
