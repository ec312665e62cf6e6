"""Tables as JSON, an object on each line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from umlaut_async.analysis.exports.source import TABLES
from umlaut_async.store import values

if TYPE_CHECKING:
    from umlaut_async.analysis.exports.comma_separated import Target
    from umlaut_async.analysis.exports.source import Source

__all__ = ["write"]

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def write(source: Source, target: Target, table: str | None = None) -> None:
    """Write the rows of one table or of all, each with the name of its table.

    Times and durations are integer nanoseconds; numbers that are not finite are "NaN", "Infinity" and "-Infinity".
    """
    for piece in source.tables(TABLES if table is None else [table]):
        for row in piece:
            line = {"table": piece.name} | row
            try:
                text = _encode(line)
            except (TypeError, ValueError):  # what is not finite, or nested too deeply
                text = values.encode(line)
            target.write(f"{text}\n")
