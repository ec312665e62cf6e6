"""The events that say what is missing of a run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.limits import FULL
from umlaut_async.probes import Place
from umlaut_async.records import EventRecord

if TYPE_CHECKING:
    from umlaut_async.collector.series import Series

_REASONS = {
    "defect": "records could not be made ready to be stored, which is a defect of umlaut_async",
    FULL: "records were dropped, since as many waited as may",
}


def missed_ticks(series: Series, *, shares_interpreter: bool) -> EventRecord:
    """Return the event of the ticks that a series missed since the last one.

    Args:
        series: The series.
        shares_interpreter: Whether the collector runs in the process that it samples.
    """
    missed, series.missed = series.missed, 0
    why = "a reading took longer than the interval"
    if series.probe.place is Place.CALLER:
        why = "the collector got no turn in time"
        if shares_interpreter:
            why += ', since code held the interpreter; Benchmark(..., collector="process") samples from outside'
    # Without the number, so that all that are said of a series are one message.
    message = f"samples are missing of {_named(series)}: {why}"
    data = {"series": series.number, "type": series.measure_type, "missed": missed}
    return EventRecord(now(), "missed-ticks", message, data)


def dropped_samples(series: Series) -> EventRecord:
    """Return the event of the samples of a series that were dropped since the last one."""
    count, series.dropped = series.dropped, 0
    message = f"samples of {_named(series)} were dropped, since as many waited as may"
    data = {"reason": FULL, "series": series.number, "type": series.measure_type, "samples": count}
    return EventRecord(now(), "drop", message, data)


def dropped_records(reason: str, count: int, where: str = "") -> EventRecord:
    """Return the event of records that were dropped.

    Args:
        reason: As the account names it.
        count: How many.
        where: In which process, if not in that of the collector.
    """
    message = _REASONS.get(reason, f"records were dropped: {reason}")
    return EventRecord(now(), "drop", message + where, {"reason": reason, "count": count})


def _named(series: Series) -> str:
    return f"{series.measure_type!r} at {series.interval / 1e9:g} s"
