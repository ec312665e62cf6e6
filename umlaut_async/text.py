"""Stored values as text that a person reads: no control characters, few digits, local time."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 200
MISSING = "–"  # noqa: RUF001
BASELINE = "baseline:"
"""What the tags begin with that name baselines."""

# Controls (C0, DEL, C1), lone surrogates, and the marks that turn the direction of writing: a stored text that holds
# them could move the cursor, recolour the terminal, fail to be encoded or pass for another text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# A terminal that drops the escape character alone would still show the rest of its sequence.
_SEQUENCE = re.compile(
    "(?:\x1b[\\[]|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x1b\\\\|\x07|\x9c)"
)


def safe(text: object, longest: int = LONGEST) -> str:
    """Return a stored text as one line that is harmless in a terminal and not longer than `longest`."""
    line = _UNSAFE.sub("", _SEQUENCE.sub("", str(text)[: 4 * longest].replace("\n", " ").replace("\t", " ")))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def tag_list(tags: Iterable[str] | None) -> str:
    """Return tags as text, baselines as they are selected."""
    shown = (f"@{tag.removeprefix(BASELINE)}" if tag.startswith(BASELINE) else tag for tag in map(str, tags or ()))
    return ", ".join(safe(tag) for tag in shown)


def event_text(message: str, data: Any) -> str:
    """Return what an event says, with the number of the samples that are missing, where it is about such."""
    missed = data.get("missed") if isinstance(data, dict) else None
    if not isinstance(missed, int):
        return message
    if missed == 1 and message.startswith("samples are "):
        return f"1 sample is {message.removeprefix('samples are ')}"
    return f"{missed:,} {message}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a few significant digits: 0.0123, 12.3, 12,345."""
    if value is None:
        return MISSING
    try:
        value = float(value)
    except OverflowError:  # an integer of JSON may have any length
        return f"{'-' if value < 0 else ''}1e+{int(math.log10(abs(value)))}"
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-4 <= abs(value) < 1e12:
        size = 0 if value == 0 else math.floor(math.log10(abs(value)))
        text = f"{value:,.{max(0, digits - 1 - size)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits - 1}e}"


def duration(seconds: float | None) -> str:
    """Return a time in the unit that a person would use: 85 µs, 1.23 s, 2 min 5 s, 3 h 20 min."""
    if seconds is None:
        return MISSING
    if seconds < 0:
        return f"-{duration(-seconds)}"
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * size:
            return f"{number(seconds / size)} {unit}"
    if seconds < 59.95 or not seconds < 1e9:
        return f"{number(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(nanoseconds: int | None) -> str:
    """Return a time since the epoch as local date and time."""
    if nanoseconds is None:
        return MISSING
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):  # a database may hold any number
        return str(nanoseconds)


def percent(part: float | None, digits: int = 0) -> str:
    """Return a part of a whole in percent, with so many digits behind the point."""
    return MISSING if part is None else f"{100 * part:.{digits}f} %"


def quantity(value: float | None, unit: str) -> str:
    """Return a number with its unit, times as `duration` does."""
    if value is None:
        return MISSING
    if unit == "sec":
        return duration(value)
    if unit == "Seconds/entry":
        return f"{duration(value)}/entry"
    if unit.startswith("%"):
        return f"{number(value)} %"
    return f"{number(value)} {safe(unit)}".rstrip()
