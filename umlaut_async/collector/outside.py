"""A series that a collector in another process samples, as the calls of the measured process see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.collector.series import Series
from umlaut_async.collector.signals import ENTER, FIRST_EDGE, LAST_EDGE

if TYPE_CHECKING:
    from umlaut_async.records import Reading

_RENEWAL = 50_000_000
"""The nanoseconds after which the next call that enters is signalled again. The collector learns of the others with
their records, and samples on for some time after the last call that it knows of."""


class OutsideSeries(Series):
    """Signals to the collector what calls need at once; all else comes with their records.

    Where there is no connection any more, it is as any other series.
    """

    _signalled = -_RENEWAL

    def enter(self, number: int, started: int, reading: Reading) -> None:
        """Let a call begin to use the series."""
        notify = self._link.notify
        if notify is None:
            super().enter(number, started, reading)
            return
        if self.unavailable:
            return
        self.calls[number] = started
        if not self._caller_reads:
            notify(FIRST_EDGE, self.number, number, started)
        elif self.samples and started >= self._signalled + _RENEWAL:
            self._signalled = started
            notify(ENTER, self.number, number, started)

    def leave(self, number: int, ended: int, reading: Reading) -> None:
        """Let a call cease to use the series."""
        notify = self._link.notify
        if notify is None:
            super().leave(number, ended, reading)
        elif self.calls.pop(number, None) is not None and not self._caller_reads:
            notify(LAST_EDGE, self.number, number, ended)
