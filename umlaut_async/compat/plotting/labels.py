"""What each measurement is called in a legend: short, and never the same for two of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.legacy.reading import Measured

__all__ = ["labels"]

_LONGEST = 60
_SHORT_UUID = 8


def labels(measurements: Sequence[Measured]) -> list[str]:
    """Return a label for each measurement of one figure: the stage, where needed more, and the time."""
    of_several_runs = len({measured.uuid for measured in measurements}) > 1
    descriptions: dict[str, set[str]] = {}
    for measured in measurements:
        descriptions.setdefault(_method(measured), set()).add(measured.measurement_description)
    found = [
        _label(measured, described=len(descriptions[_method(measured)]) > 1, of_several_runs=of_several_runs)
        for measured in measurements
    ]
    return _numbered(_with_fine_times(found, measurements))


def _method(measured: Measured) -> str:
    return measured.measured_method_name or measured.measurement_description


def _label(measured: Measured, *, described: bool, of_several_runs: bool) -> str:
    # A legend of matplotlib leaves out what begins with an underscore, as names of functions may; hence the quotes.
    parts = [f'"{safe(_method(measured), _LONGEST)}"']
    if described and measured.measured_method_name:
        parts.append(f"({safe(measured.measurement_description, _LONGEST)})")
    if of_several_runs:
        parts.append(f"in run {safe(measured.uuid, _SHORT_UUID + 1).rstrip('…')[:_SHORT_UUID]}")
    if measured.measurement_datetime is not None:
        parts.append(f"from {measured.measurement_datetime:%Y-%m-%d %H:%M:%S}")
    return " ".join(parts)


def _with_fine_times(found: list[str], measurements: Sequence[Measured]) -> list[str]:
    count = Counter(found)
    return [
        f"{label}.{measured.measurement_datetime:%f}"[:-3]
        if count[label] > 1 and measured.measurement_datetime is not None
        else label
        for label, measured in zip(found, measurements, strict=True)
    ]


def _numbered(found: list[str]) -> list[str]:
    count = Counter(found)
    seen: Counter[str] = Counter()
    numbered = []
    for label in found:
        seen[label] += 1
        numbered.append(f"{label} #{seen[label]}" if count[label] > 1 else label)
    return numbered
