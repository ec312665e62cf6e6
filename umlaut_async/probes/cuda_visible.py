"""Which GPUs `CUDA_VISIBLE_DEVICES` shows a process, read as CUDA reads it."""

from __future__ import annotations

import os
import re

_NUMBER = re.compile(r"\+?(\d+)")
_UUID_FORMS = ("GPU-", "MIG-")


def visible_here() -> str | None:
    """Return what `CUDA_VISIBLE_DEVICES` is in this process at present; None where it is not set."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def visible_entries(variable: str) -> list[int | str]:
    """Return the GPUs that the variable names, in order: indices, or UUIDs of GPUs or MIG devices, or their beginnings.

    The first entry says of which form all are, the first entry of another form ends the list, and a repeated entry
    empties it. Of a number only the leading digits count.

    Args:
        variable: The value of `CUDA_VISIBLE_DEVICES`.
    """
    texts = [text.strip() for text in variable.split(",")]
    form = next((form for form in _UUID_FORMS if texts[0].startswith(form)), None)
    entries: list[int | str] = []
    for text in texts:
        entry = _index(text) if form is None else text if text.startswith(form) else None
        if entry is None:
            break
        if entry in entries:
            return []
        entries.append(entry)
    return entries


def _index(text: str) -> int | None:
    found = _NUMBER.match(text)
    return None if found is None else int(found[1])
