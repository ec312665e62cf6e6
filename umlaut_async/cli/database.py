"""Answers of commands as JSON."""

from __future__ import annotations

import json
from typing import Any

from umlaut_async.store.reading import reading

__all__ = ["JSON_SCHEMA", "as_json", "reading"]

JSON_SCHEMA = 1


def as_json(document: dict[str, Any]) -> str:
    """Return an answer as JSON text in ASCII, non-finite numbers by name."""
    from umlaut_async.store import values

    return json.dumps(values.plain({"schema": JSON_SCHEMA} | document), indent=2, allow_nan=False)
