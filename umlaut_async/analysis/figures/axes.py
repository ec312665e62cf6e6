"""Axes: which values they reach to, and where their ticks are."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

from umlaut_async.text import duration, number

__all__ = ["TIME", "Tick", "index_ticks", "time_ticks", "value_range", "value_ticks"]

TIME = "sec"
"""The unit whose values are shown with the prefix that fits them, such as ms."""

_ROUND = (1, 2, 5, 10)
_MINUTES = (60, 120, 300, 600, 900, 1800)
_HOURS = (3600, 7200, 10800, 21600, 43200, 86400)
# Of an axis that starts at zero, a curve that stays in the upper part would be a flat line.
_FLAT = 0.6
_LARGEST = sys.float_info.max


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    """Where it is, from 0 at the start of the axis to 1 at its end."""
    label: str


def time_ticks(start: float, end: float, most: int = 6) -> list[Tick]:
    """Return the ticks of a time axis in seconds."""
    length = end - start
    if not 0 < length < math.inf:
        return [Tick(0.0, _time(start))]
    step = _time_step(length / most)
    first = math.ceil(start / step - 1e-9)
    count = math.floor((end - first * step) / step + 1e-9) + 1
    times = [index * step for index in range(first, first + count)]
    labels = [_time(time) for time in times]
    if len(set(labels)) < count:
        labels = [f"{number(time, 12)} s" for time in times]  # so short a time that they differ in later digits
    return [Tick(min(1.0, max(0.0, (time - start) / length)), label) for time, label in zip(times, labels, strict=True)]


def index_ticks(count: int, most: int = 6) -> list[Tick]:
    """Return the ticks of an axis of numbered values, of which there are at least two; the first has the number 1."""
    step = max(1, round(_round_step(count / most)))
    return [Tick((at - 1) / (count - 1), f"{at:,}") for at in dict.fromkeys((1, *range(step, count + 1, step)))]


def value_range(low: float, high: float) -> tuple[float, float]:
    """Return what an axis reaches to, on which these are the lowest and the highest value.

    It starts at zero unless the curve would be flat then, and has room above the curve.
    """
    if low < 0 or high <= 0:
        bottom, top = low, max(high, 0.0)
    else:
        bottom, top = (low if low > _FLAT * high else 0.0), high
    room = (top / 20 - bottom / 20) or max(abs(top) / 20, 1e-12)
    return max(-_LARGEST, bottom - room) if bottom else 0.0, min(_LARGEST, top + room) if top else room


def value_ticks(low: float, high: float, unit: str = "", most: int = 4) -> list[Tick]:
    """Return the ticks of an axis of values, those of times with their units."""
    length = high / 2 - low / 2
    if not 0 < length < math.inf:
        return []
    step = _round_step(2 * length / most if length < 1e300 else length)
    if not step < math.inf:
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    prefix, size = _prefix(max(-low, high)) if unit == TIME else ("", 1.0)
    return [
        Tick((index * step / 2 - low / 2) / length, f"{_value(index * step / size)}{prefix if index else ''}")
        for index in range(first, last + 1)
    ]


def _prefix(seconds: float) -> tuple[str, float]:
    found = ((name, size) for name, size in ((" ns", 1e-9), (" µs", 1e-6), (" ms", 1e-3)) if seconds < 1000 * size)
    return next(found, (" s", 1.0))


def _value(value: float) -> str:
    text = number(value, 6)
    return f"{value:g}" if "e" in text else text


def _time_step(least: float) -> float:
    if least <= 30:
        return _round_step(least) if least <= 10 else 10.0 * math.ceil(least / 10)
    return next((float(step) for step in (*_MINUTES, *_HOURS) if step >= least), 86400 * _round_step(least / 86400))


def _round_step(least: float) -> float:
    """Return the smallest of …, 1, 2, 5, 10, … that is not less."""
    size = 10.0 ** math.floor(math.log10(least))
    return next((factor * size for factor in _ROUND if factor * size >= least * (1 - 1e-9)), 10 * size)


def _time(seconds: float) -> str:
    if abs(seconds) < 1e-12:
        return "0"
    return duration(seconds).removesuffix(" 0 s").removesuffix(" 0 min")
