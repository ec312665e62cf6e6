"""What the data of one measurement are: samples, numbers by step, a number, a matrix, a search, or a text."""

from __future__ import annotations

import json
import math
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Content", "Matrix", "Number", "Numbers", "Samples", "Search", "Text", "content_of"]


class Samples(NamedTuple):
    """Values with their times, of one call."""

    timestamps: list[str]
    elapsed: list[float] | None
    """The seconds since the first sample; None where the times cannot be told."""
    values: list[float]


class Numbers(NamedTuple):
    """One number for each step, such as an epoch."""

    values: list[float]


class Number(NamedTuple):
    """One number; None where there is none, and then the note says why."""

    value: float | None
    note: str = ""


class Matrix(NamedTuple):
    """Rows of numbers; of a confusion matrix rows are predicted and columns actual."""

    rows: list[list[float]]
    labels: list[str] | None
    """The classes, of rows and columns alike; None where this is no confusion matrix."""


class Search(NamedTuple):
    """The runs of a hyperparameter search."""

    columns: dict[str, list[Any]]
    """The values of each hyperparameter, and at last of the target, in the order of the runs."""
    target: str
    low_means_good: bool


class Text(NamedTuple):
    """Whatever else a measurement holds."""

    text: str


Content: TypeAlias = Samples | Numbers | Number | Matrix | Search | Text

_SEARCH = {"hyperparameters", "target"}


def content_of(measure_type: str, data: Any) -> Content:
    """Return what the data of a measurement are; data of an unexpected form become a text, never an error.

    Args:
        measure_type: The type of the measurement.
        data: What was stored: a number, a list, a mapping, or a text, which may be JSON.
    """
    match data:
        case str():
            return _of_text(measure_type, data)
        case {"timestamps": [*timestamps], "measurements": [*values]} if len(timestamps) == len(values) and all(
            map(_is_number, values)
        ):
            return Samples([*map(_timestamp, timestamps)], _elapsed(timestamps), [*map(float, values)])
        case {"matrix": [[*_], *_] as rows} if _is_rectangle(rows):
            return Matrix(_floats(rows), _classes(data.get("labels"), rows))
        case {"target": target, "reached": False, **others} if measure_type == "timed tta":
            best = others.get("best")
            reached = f", best was {_short(best)}" if _is_number(best) else ""
            return Number(None, f"{_short(target)} not reached{reached}")
        case dict() if data.keys() >= _SEARCH and (search := _search(data)):
            return search
        case [] | [[], *_]:
            return Text(str(data))
        case [*values] if all(map(_is_number, values)):
            return Numbers([*map(float, values)])
        case [[*_], *_] if _is_rectangle(data):
            return Matrix(_floats(data), None)
    if data is None:
        return Number(None, "no value")
    return Number(float(data)) if _is_number(data) else Text(_as_text(data))


def _of_text(measure_type: str, text: str) -> Content:
    # UMLAUT put JSON texts into its column, which is JSON itself; a text that the user stored is to stay a text.
    if text.lstrip()[:1] in ("{", "[") or measure_type == "energy":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return Text(text)
        if not isinstance(data, str):
            found = content_of(measure_type, data)
            return Text(text) if isinstance(found, Text) else found
    return Text(text)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_rectangle(rows: list[Any]) -> bool:
    return all(isinstance(row, list) and len(row) == len(rows[0]) > 0 and all(map(_is_number, row)) for row in rows)


def _floats(rows: list[list[Any]]) -> list[list[float]]:
    return [[*map(float, row)] for row in rows]


def _classes(labels: Any, rows: list[Any]) -> list[str] | None:
    size = len(rows)
    if any(len(row) != size for row in rows):
        return None
    known = isinstance(labels, (list, tuple)) and len(labels) == size
    return [*map(str, labels)] if known else [*map(str, range(size))]


def _search(data: dict[str, Any]) -> Search | None:
    names, target = data["hyperparameters"], data["target"]
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in [*names, target]):
        return None
    columns = [*dict.fromkeys([*(name for name in names if name != target), target])]
    good = bool(data.get("low_means_good", True))
    match data:
        case {"measurements": [*runs]} if all(isinstance(run, dict) for run in runs):
            return Search({name: [run.get(name) for run in runs] for name in columns}, target, good)
        case {"df": dict() as table}:  # UMLAUT's own form, the columns of a data frame
            found = {name: _column(table.get(name, [])) for name in columns}
            length = max(map(len, found.values()))
            return Search(
                {name: values + [None] * (length - len(values)) for name, values in found.items()}, target, good
            )
    return None


def _column(values: Any) -> list[Any]:
    if isinstance(values, dict):
        return [*values.values()]
    return [*values] if isinstance(values, (list, tuple)) else [values]


def _timestamp(moment: Any) -> str:
    return moment.isoformat(sep=" ") if isinstance(moment, datetime) else str(moment)


def _elapsed(timestamps: list[Any]) -> list[float] | None:
    try:
        moments = [_moment(timestamp) for timestamp in timestamps]
        elapsed = [_difference(moment, moments[0]) for moment in moments]
    except (TypeError, ValueError, OverflowError):
        return None
    # A clock that was set back would draw a curve that runs backwards.
    return elapsed if all(before <= after for before, after in pairwise(elapsed)) else None


def _moment(timestamp: Any) -> datetime | float:
    if isinstance(timestamp, datetime):
        return timestamp
    if isinstance(timestamp, str):
        return datetime.fromisoformat(timestamp)
    if _is_number(timestamp) and math.isfinite(timestamp):
        return float(timestamp)
    raise TypeError("neither a text nor a number")


def _difference(moment: Any, first: Any) -> float:
    difference = moment - first
    return difference if isinstance(difference, float) else float(difference.total_seconds())


def _short(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else str(value)


def _as_text(data: Any) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return str(data)
