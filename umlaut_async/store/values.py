"""User values as JSON text and back: numpy as plain data, non-finite floats by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from umlaut_async.errors import ArgumentTypeError

_BY_NAME = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: Any) -> Any:
    """Return a value as data that JSON can hold, non-finite floats as "NaN", "Infinity" or "-Infinity".

    Args:
        value: Numbers, text, None, mappings and iterables of these, and whatever has `tolist` or `item` (numpy, torch).

    Raises:
        ArgumentTypeError: There is no JSON form of it.
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name(value)
    for convert in ("tolist", "item"):
        if callable(method := getattr(value, convert, None)):
            converted = method()
            if type(converted) is not type(value):
                return plain(converted)
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(item) for item in value]
    raise ArgumentTypeError(
        f"a value of type {type(value).__name__} cannot be stored; pass numbers, text, lists, mappings or numpy arrays"
    )


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def encode(value: Any) -> str:
    """Return the JSON text of a value that `plain` accepts; lone surrogates are escaped, so any database takes it."""
    return json.dumps(plain(value), separators=(",", ":"))


def decode(text: str) -> Any:
    """Return the value of a JSON text written by `encode`; named non-finite floats come back as floats."""
    return _named_as_floats(json.loads(text))


def _named_as_floats(value: Any) -> Any:
    if isinstance(value, str):
        return _BY_NAME.get(value, value)
    if isinstance(value, list):
        return [_named_as_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: _named_as_floats(item) for name, item in value.items()}
    return value
