"""Measurements as results: what the importer stores for the values that the views show."""

from __future__ import annotations

import json
import math
import re
from array import array
from typing import Any, NamedTuple

from umlaut_async.legacy.data import is_sampled
from umlaut_async.legacy.times import from_text
from umlaut_async.store import values
from umlaut_async.summary import summarise

__all__ = ["Converted", "Samples", "converted", "split_entries"]

# What a text of samples may hold; one with anything else is kept as it is.
_OF_SAMPLES = frozenset({"timestamps", "measurements", "interval", "value", "summary"})
_PEAKS = frozenset({"memory", "gpumemory"})
_ENTRIES = re.compile(r"(?P<description>.*)\n \(#Entries = (?P<entries>None|\d+|\d*\.\d+(?:e[+-]?\d+)?)\)", re.DOTALL)
_SECOND = 1_000_000_000


class Samples(NamedTuple):
    """The samples of one measurement, in the order of time."""

    times: array[int]
    values: array[float]
    interval: int


class Converted(NamedTuple):
    """What a result holds."""

    description: str
    value: float | None
    data: str | None
    """As JSON text."""
    samples: Samples | None


def converted(measurement_type: str, description: str, shown: Any) -> Converted:
    """Return the result of a measurement.

    Args:
        measurement_type: Its type.
        description: Its description, from which the number of entries of a latency is taken.
        shown: Its value, as the views give it.
    """
    if isinstance(shown, str) and (sampled := _sampled(measurement_type, shown)) is not None:
        value, data, samples = sampled
        return Converted(description, value, None if data is None else values.encode(data), samples)
    if measurement_type == "hyperparameters":
        shown = _search(shown)
    if isinstance(shown, int) and not isinstance(shown, bool) and abs(shown) < 1 << 63 and float(shown) == shown:
        # It may have been a float: SQLite stores whole ones as integers in a column of JSON.
        return Converted(*_of_number(measurement_type, description, float(shown)), None)
    number, text = values.split(shown)
    if number is not None:
        return Converted(*_of_number(measurement_type, description, number), None)
    return Converted(description, None, text, None)


def _of_number(measurement_type: str, description: str, number: float) -> tuple[str, float, str | None]:
    entries = None
    if measurement_type == "latency":
        description, entries = split_entries(description)
    return description, number, None if entries is None else values.encode({"entries": entries})


def split_entries(description: str) -> tuple[str, float | None]:
    """Return what UMLAUT was given as the description of a latency, and the number of entries that it has added."""
    found = _ENTRIES.fullmatch(description)
    if found is None:
        return description, None
    entries = found["entries"]
    if entries == "None":
        return found["description"], None
    return found["description"], int(entries) if entries.isdecimal() else float(entries)


def _sampled(measurement_type: str, text: str) -> tuple[float | None, Any, Samples] | None:
    """Return value, data and samples of a text of samples; None for one that would lose something by that."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not is_sampled(content) or not content.keys() <= _OF_SAMPLES:
        return None
    samples = _samples(content)
    if samples is None:
        return None
    summary = summarise(samples.values)
    if summary is None or not math.isfinite(summary.sum):
        return None
    if "value" not in content:
        value: float | None = summary.max if measurement_type in _PEAKS else summary.mean
        data = {"n": summary.n, "min": summary.min, "mean": summary.mean, "max": summary.max}
        return value, {**data, "first": summary.first, "last": summary.last}, samples
    value = content["value"]
    if value is not None and not _is_finite(value):
        return None
    return value, content.get("summary"), samples


def _samples(content: dict[str, Any]) -> Samples | None:
    times = [from_text(time) for time in content["timestamps"]]
    measured = content["measurements"]
    interval = content.get("interval", _typical(times))
    if len(times) != len(measured) or not _is_finite(interval) or not 0 < interval * _SECOND < 1 << 63:
        return None
    # In the order of time, as series are: UMLAUT's clock may have been set back meanwhile.
    if any(time is None for time in times) or sorted(times, key=lambda time: time or 0) != times:
        return None
    if not all(_is_finite(number) for number in measured):
        return None
    return Samples(
        array("q", [time for time in times if time is not None]),
        array("d", measured),
        max(1, round(interval * _SECOND)),
    )


def _typical(times: list[int | None]) -> float:
    """Return the seconds between two samples."""
    if len(times) > 1 and times[0] is not None and times[-1] is not None and times[-1] > times[0]:
        return (times[-1] - times[0]) / (len(times) - 1) / _SECOND
    return 1.0


def _is_finite(number: object) -> bool:
    # Integers of any length are JSON.
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < math.inf and (
        isinstance(number, float) or abs(number) <= 2**53
    )  # fmt: skip


def _search(shown: Any) -> Any:
    """Return a search with one mapping for each measurement; anything else as it is."""
    if not isinstance(shown, dict) or "measurements" in shown or not isinstance(columns := shown.get("df"), dict):
        return shown
    names, target = shown.get("hyperparameters"), shown.get("target")
    if not isinstance(names, list) or not isinstance(target, str) or not {*map(str, names), target} <= columns.keys():
        return shown
    if not all(isinstance(column, list) for column in columns.values()):
        return shown
    if len({len(column) for column in columns.values()}) != 1:
        return shown
    wanted = {*names, target}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    measured = [{name: item for name, item in row.items() if item is not None or name in wanted} for row in rows]
    return {**{name: item for name, item in shown.items() if name != "df"}, "measurements": measured}
