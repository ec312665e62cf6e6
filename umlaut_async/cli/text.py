"""Stored values as text for a terminal."""

from __future__ import annotations

from umlaut_async.text import LONGEST, MISSING, duration, moment, number, percent, quantity, safe

__all__ = ["LONGEST", "MISSING", "duration", "moment", "number", "percent", "quantity", "safe"]
