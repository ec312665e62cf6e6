"""The data of measurements as UMLAUT gave it last, whichever way it is stored."""

from __future__ import annotations

import json
import re
from typing import Any

from umlaut_async.legacy import unpickling
from umlaut_async.store import values

__all__ = ["decode_shown", "encode_shown", "is_sampled", "old_value"]

# UMLAUT stored whole numbers of these as integers, since its column of JSON makes them such.
_NUMBERS = frozenset({"time", "latency", "throughput", "energy", "gputime", "timed tta"})
_TOKEN = re.compile(r"[\[\]]|[^\s\[\],]+")


def decode_shown(text: str | None) -> Any:
    """Return the Python value of a `measurement_data` of the views: for sampled types the text of a JSON object.

    Raises:
        CorruptStoreError: It is not from there.
    """
    return None if text is None else values.decode(text)


def encode_shown(value: Any) -> str:
    """Return a value as the views give it."""
    return values.encode(value)


def is_sampled(value: Any) -> bool:
    """Tell whether a value has the shape that UMLAUT gave to samples."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("timestamps"), list)
        and isinstance(value.get("measurements"), list)
    )


def old_value(measurement_type: str, stored: bytes | str | float | None) -> Any:
    """Return the value of a measurement that UMLAUT stored, in any of its forms.

    Raises:
        ValueError: It is damaged.
        RefusedError: It is a pickle of something else than plain data.
    """
    if isinstance(stored, bytes):
        value = unpickling.load(stored)
    elif isinstance(stored, str):
        value = json.loads(stored)
    else:
        # A column whose type is JSON turns texts that are numbers into numbers.
        value = stored
    if measurement_type == "confusion-matrix":
        return _confusion(_inner(value))
    if measurement_type == "energy":
        value = _inner(value)
    if measurement_type in _NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 1 << 63 and float(value) == value else value
    if measurement_type == "tta" and isinstance(value, dict) and value.keys() == {"accuracies"}:
        return value["accuracies"]
    return json.dumps(value, indent=4) if is_sampled(value) else value


def _inner(value: Any) -> Any:
    """Return what a text of JSON inside of JSON holds; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _confusion(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(text := value.get("matrix"), str):
        return value
    rows = _rows(text)
    if rows is not None:
        return {**value, "matrix": rows}
    # numpy leaves out the middle of large arrays when it writes them as text.
    return {**value, "cut": True} if "..." in text else value


def _rows(text: str) -> Any:
    """Return the numbers of an array that was written as text, None if it is not whole."""
    levels: list[list[Any]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "[":
            levels.append([])
        elif token == "]":
            if len(levels) < 2:
                return None
            ended = levels.pop()
            levels[-1].append(ended)
        else:
            try:
                levels[-1].append(int(token) if token.lstrip("+-").isdigit() else float(token))
            except ValueError:
                return None
    whole = len(levels) == 1 and len(levels[0]) == 1 and isinstance(levels[0][0], list)
    return levels[0][0] if whole else None
