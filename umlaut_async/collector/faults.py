"""What is said of a series that cannot be read: a line in the log and an event, whatever the number of calls."""

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

_PAUSE = 60_000_000_000
"""Nanoseconds: no more often is it told that the same source has failed again after good readings."""


class Faults:
    """Reports what could not be read, once for each source in the words of a user: it may have several series.

    Args:
        report: Takes the events.
        now: Tells the time.
        logged: The lines that were logged already. What reads for several processes has one for all: each of them has
            the same to say of a machine without a sensor.
    """

    def __init__(
        self, report: Callable[[EventRecord], None], now: Callable[[], int], logged: set[str] | None = None
    ) -> None:
        self._report = report
        self._now = now
        self._logged = set[str]() if logged is None else logged
        self._reported: dict[Hashable, int] = {}
        """What was told, and when."""
        self._said: dict[Hashable, set[str]] = {}
        """The same by source in its words: a call has nothing to add to what its samples have said."""
        self._recovered: set[Hashable] = set()
        """Of what was told, the sources that have had a good reading since."""

    def add(self, series: Series, error: UnavailableError | UnreadableError) -> None:
        """Take note that what a series has read for a call says nothing of it."""
        self._add(series, error, ("call", *_identity(series)))

    def add_failed(self, series: Series, error: UnavailableError | UnreadableError) -> None:
        """Take note that a reading of a series failed."""
        source = _identity(series)
        if source in self._recovered and self._now() > self._reported[*source, False] + _PAUSE:
            self._recovered.discard(source)
            del self._reported[*source, False]
            self._said.pop(source, None)
        self._add(series, error, source)

    def add_good(self, series: Series) -> None:
        """Take note that a reading of a series succeeded."""
        if self._reported and (*(source := _identity(series)), False) in self._reported:
            self._recovered.add(source)

    def _add(self, series: Series, error: UnavailableError | UnreadableError, told: tuple[Hashable, ...]) -> None:
        if series.provenance in (None, "unavailable"):
            series.provenance = "unavailable"
            series.unavailable = isinstance(error, UnavailableError)
        named = _named(series)
        data = {"type": series.measure_type, "description": series.description, "reason": str(error)}
        if series.unavailable and isinstance(error, UnavailableError):
            message = f"{named} is not recorded: {error.reason}. To record it: {error.cure}"
            kind, data = "unavailable", {**data, "reason": error.reason, "cure": error.cure}
        else:
            message = f"{named} could not be read, and is absent where that happens: {error}"
            kind = "unreadable"
        said = self._said.setdefault(_identity(series), set())
        if message in said:
            return
        # What turns out to be final is told, even after a failure that might have passed.
        if not self._was_told((*told, series.unavailable)):
            said.add(message)
            self._tell(kind, message, data)

    def add_lack(self, series: Series, lack: Lack) -> None:
        """Take note that a reading of a series was good, but not all that it might have been."""
        if self._was_told((*_identity(series), lack.part, lack.cure)):
            return
        message = f"{_named(series)} was recorded without {lack.part}: {lack.reason}"
        if lack.cure is not None:
            message += f". To record it: {lack.cure}"
        data = {"type": series.measure_type, "description": series.description} | lack._asdict()
        self._tell("incomplete", message, data)

    def _was_told(self, told: Hashable) -> bool:
        if told in self._reported:
            return True
        self._reported[told] = self._now()
        return False

    def _tell(self, kind: str, message: str, data: dict[str, Any]) -> None:
        if message not in self._logged:
            self._logged.add(message)
            _logger.warning("%s", message)
        self._report(EventRecord(self._now(), kind, message, data))


def _identity(series: Series) -> tuple[Hashable, ...]:
    return series.measure_type, series.description, series.probe.key


def _named(series: Series) -> str:
    return f"{series.measure_type} {series.description!r}"
