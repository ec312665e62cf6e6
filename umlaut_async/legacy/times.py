"""Times as UMLAUT wrote them, local and without a time zone, and as we keep them: nanoseconds since the epoch."""

from __future__ import annotations

import datetime

__all__ = ["from_text", "naive"]

_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


def naive(nanoseconds: int, zone_unknown: bool) -> datetime.datetime:
    """Return a time without a time zone.

    Args:
        nanoseconds: Since the epoch.
        zone_unknown: Whether it came without a time zone, and so goes without being shifted; else it becomes local.
    """
    time = _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)
    if zone_unknown:
        return time
    return time.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)


def from_text(text: object) -> int | None:
    """Return the nanoseconds since the epoch of a time without a zone, taken for UTC; None if it cannot be had."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is not None:
        return None
    nanoseconds = (time - _EPOCH) // _MICROSECOND * 1000
    return nanoseconds if abs(nanoseconds) < 1 << 63 else None
