"""Stored values as text for a terminal."""

from __future__ import annotations

from umlaut_async.text import LONGEST, MISSING, duration, event_text, moment, number, percent, quantity, safe, tag_list

__all__ = [
    "LONGEST",
    "MISSING",
    "duration",
    "event_text",
    "moment",
    "number",
    "percent",
    "quantity",
    "safe",
    "tag_list",
]
