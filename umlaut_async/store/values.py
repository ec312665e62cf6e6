"""User values as JSON text and back: numpy as plain data, non-finite floats by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from umlaut_async.errors import ArgumentError, ArgumentTypeError, CorruptStoreError
from umlaut_async.scalars import underived

__all__ = ["decode", "encode", "plain", "split", "storable"]

_BY_NAME = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: Any) -> Any:
    """Return a value as data that JSON can hold, non-finite floats as "NaN", "Infinity" or "-Infinity".

    Args:
        value: Numbers, text, None, mappings and iterables of these, and whatever has `tolist` or `item` (numpy, torch).

    Raises:
        ArgumentError: A number is too large.
        ArgumentTypeError: There is no JSON form of it.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise ArgumentTypeError(
            f"a value of type {type(value).__name__} cannot be stored: it contains itself, or is nested too deeply"
        ) from None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    # Subclasses (of enumerations, of numpy) become the plain types.
    if isinstance(value, (str, int)):
        return underived(value)
    if isinstance(value, float):
        return underived(value) if math.isfinite(value) else _name(value)
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(item) for item in value]
    for convert in ("tolist", "item"):
        if callable(method := getattr(value, convert, None)):
            converted = method()
            if type(converted) is not type(value):
                return _plain(converted)
    if hasattr(value, "__float__"):
        try:
            number = float(value)
        except OverflowError:
            kind = type(value).__name__
            raise ArgumentError(f"a value of type {kind} cannot be stored: it is too large for a float") from None
        return _plain(number)
    raise ArgumentTypeError(
        f"a value of type {type(value).__name__} cannot be stored; pass numbers, text, lists, mappings or numpy arrays"
    )


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def encode(value: Any) -> str:
    """Return the JSON text of a value that `plain` accepts; lone surrogates are escaped, so any database takes it.

    Raises:
        ArgumentError: A number is too long.
        ArgumentTypeError: There is no JSON form of it.
    """
    import json

    try:
        return json.dumps(plain(value), separators=(",", ":"))
    except ValueError as error:
        # Python writes integers of more than some thousand digits only where it is told to.
        raise ArgumentError(f"a value of type {type(value).__name__} cannot be stored: {error}") from error


def split(value: Any) -> tuple[float | None, str | None]:
    """Return a value as the number and the JSON text that a result holds; one of them is None.

    A number that the column of numbers cannot hold exactly goes to the text, as do truth values.

    Raises:
        ArgumentError: A number is too long.
        ArgumentTypeError: There is no JSON form of it.
    """
    value = plain(value)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53):
        return float(value), None
    return None, encode(value)


def storable(text: str) -> str:
    """Return a text as databases take it: lone surrogates, which have no UTF-8 form, are written as escapes."""
    # Texts of derived classes, such as numpy's, become plain ones.
    return str.__str__(text) if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def decode(text: str) -> Any:
    """Return the value of a JSON text written by `encode`; named non-finite floats come back as floats.

    Raises:
        CorruptStoreError: `encode` did not write it.
    """
    import json

    try:
        return _named_as_floats(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise CorruptStoreError(f"stored data is damaged, it is no JSON: {text[:40]!r}") from error


def _named_as_floats(value: Any) -> Any:
    if isinstance(value, str):
        return _BY_NAME.get(value, value)
    if isinstance(value, list):
        return [_named_as_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: _named_as_floats(item) for name, item in value.items()}
    return value
