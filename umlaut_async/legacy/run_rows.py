"""What the rows of our database are for the measurements of a run that UMLAUT recorded."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import dataclass, field
from typing import Any

from umlaut_async.legacy.conversion import Samples, converted
from umlaut_async.legacy.data import decode_shown
from umlaut_async.legacy.times import from_text
from umlaut_async.store import chunks
from umlaut_async.store.models import key
from umlaut_async.store.values import encode

__all__ = ["RunRows", "Stored"]

_SWAPPED = {"latency": "throughput", "throughput": "latency"}
_UNITS = {"latency": "Seconds/entry", "throughput": "Entries/second"}
_SWAPPED_UNTIL = datetime.datetime(2023, 5, 4).isoformat(" ")


@dataclass
class Stored:
    """Rows that are to be stored."""

    results: list[tuple[Any, ...]] = field(default_factory=list)
    series: list[tuple[Any, ...]] = field(default_factory=list)
    chunks: list[tuple[Any, ...]] = field(default_factory=list)
    samples: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)


class RunRows:
    """Makes the rows of one run.

    Args:
        process_id: The key of the process that stands for the one that UMLAUT ran in.
        started: The start of the run, in nanoseconds since the epoch.
        fix_swapped: Whether latencies and throughputs that are stored under each other's names are exchanged.
    """

    def __init__(self, process_id: int, started: int, fix_swapped: bool) -> None:
        self.unreadable = 0
        self.swapped = 0
        self._process_id = process_id
        self._started = started
        self._fix_swapped = fix_swapped
        self._results, self._series, self._events = (itertools.count(1) for _ in range(3))

    def add(
        self,
        stored: Stored,
        number: int,
        time: object,
        description: object,
        measurement_type: object,
        shown: str | None,
        unit: object,
        method: object,
        pickled: object,
    ) -> None:
        """Add the rows of a measurement.

        Args:
            stored: Takes the rows.
            number: Its id, and then its other columns as the views give them.
            time: When it was stored.
            description: Its description.
            measurement_type: Its type.
            shown: Its value.
            unit: Its unit.
            method: The function that was measured.
            pickled: Whether it was stored as a pickle.
        """
        type_, unit, described = _text(measurement_type), _text(unit), _text(description)
        recorded = from_text(time)
        if recorded is None:
            recorded = self._started
            if time is not None:
                self._event(stored, "no-time", f"measurement {number} has the time {str(time)[:40]!r}, which is none")
        if pickled and _is_swapped(type_, unit, time):
            self.swapped += 1
            if self._fix_swapped:
                type_ = _SWAPPED[type_]
                unit = _UNITS[type_]
        value: float | None = None
        data = series_id = samples = None
        if shown is None:
            self.unreadable += 1
            message = f"measurement {number}, the {type_} {described!r}, could not be read from the old database"
            self._event(stored, "unreadable", message, {"id": number, "type": type_, "description": described})
        else:
            content = decode_shown(shown)
            described, value, data, samples = converted(type_, described, content)
            if isinstance(content, dict) and content.get("cut") is True:
                message = f"the matrix {described!r} is a text, in which numpy left out the middle of a large array"
                self._event(stored, "cut", message, {"id": number, "type": type_, "description": described})
        if samples is not None:
            series_id = key(self._process_id, next(self._series))
            _add_series(stored, (series_id, self._process_id, type_, unit, "UMLAUT", "measured"), described, samples)
        head = key(self._process_id, next(self._results)), self._process_id, None, _text(method)
        stored.results.append((*head, type_, described, unit, value, data, series_id, "measured", recorded))

    def finish(self, stored: Stored) -> None:
        """Add what is to be said of all the measurements."""
        if not self.swapped:
            return
        told = "were exchanged" if self._fix_swapped else "were kept; `umlaut import --fix-swapped` exchanges them"
        message = (
            f"UMLAUT stored {self.swapped} latencies and throughputs under each other's names, as it did until "
            f"2023-05-04; they {told}"
        )
        self._event(stored, "swapped", message, {"count": self.swapped, "fixed": self._fix_swapped})

    def _event(self, stored: Stored, kind: str, message: str, data: object = None) -> None:
        head = key(self._process_id, next(self._events)), self._process_id, self._started
        stored.events.append((*head, kind, message, None if data is None else encode(data)))


def _is_swapped(measurement_type: str, unit: str, time: object) -> bool:
    if measurement_type not in _SWAPPED:
        return False
    told = unit.casefold() == _UNITS[_SWAPPED[measurement_type]].casefold()
    return told or (isinstance(time, str) and time < _SWAPPED_UNTIL)


def _add_series(stored: Stored, head: tuple[Any, ...], described: str, samples: Samples) -> None:
    stored.series.append((*head, samples.interval, described))
    series_id, whole = head[0], len(samples.times) // chunks.BLOCK * chunks.BLOCK
    for start in range(0, whole, chunks.BLOCK):
        part = slice(start, start + chunks.BLOCK)
        stored.chunks.append((series_id, *chunks.pack(samples.times[part], samples.values[part])))
    rest = zip(samples.times[whole:], samples.values[whole:], strict=True)
    stored.samples += [(series_id, t, value) for t, value in rest]


def _text(value: object) -> str:
    return "" if value is None else str(value)
