"""What is said of a series that cannot be read: one line in the log and one event, whatever the number of calls."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from umlaut_async.probes import UnavailableError
from umlaut_async.records import EventRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from umlaut_async.collector.series import Series
    from umlaut_async.probes import Lack, UnreadableError

_logger = logging.getLogger("umlaut_async")


class Faults:
    """Reports what could not be read, once for each source in the words of a user: it may have several series.

    Args:
        report: Takes the events.
        now: Tells the time.
    """

    def __init__(self, report: Callable[[EventRecord], None], now: Callable[[], int]) -> None:
        self._report = report
        self._now = now
        self._reported: set[Hashable] = set()

    def add(self, series: Series, error: UnavailableError | UnreadableError) -> None:
        """Take note that a reading of a series failed."""
        if series.provenance in (None, "unavailable"):
            series.provenance = "unavailable"
            series.unavailable = isinstance(error, UnavailableError)
        # What turns out to be final is told, even after a failure that might have passed.
        told = (series.measure_type, series.description, series.probe.key, series.unavailable)
        if told in self._reported:
            return
        self._reported.add(told)
        named = _named(series)
        data = {"type": series.measure_type, "description": series.description, "reason": str(error)}
        if series.unavailable and isinstance(error, UnavailableError):
            message = f"{named} is not recorded: {error.reason}. To record it: {error.cure}"
            kind, data = "unavailable", {**data, "reason": error.reason, "cure": error.cure}
        else:
            message = f"{named} could not be read, and is absent where that happens: {error}"
            kind = "unreadable"
        self._tell(kind, message, data)

    def add_lack(self, series: Series, lack: Lack) -> None:
        """Take note that a reading of a series was good, but not all that it might have been."""
        told = (series.measure_type, series.description, series.probe.key, lack.part, lack.cure)
        if told in self._reported:
            return
        self._reported.add(told)
        message = f"{_named(series)} was recorded without {lack.part}: {lack.reason}"
        if lack.cure is not None:
            message += f". To record it: {lack.cure}"
        data = {"type": series.measure_type, "description": series.description} | lack._asdict()
        self._tell("incomplete", message, data)

    def _tell(self, kind: str, message: str, data: dict[str, Any]) -> None:
        _logger.warning("%s", message)
        self._report(EventRecord(self._now(), kind, message, data))


def _named(series: Series) -> str:
    return f"{series.measure_type} {series.description!r}"
