"""Numbers that users pass, which may be scalars of numpy or torch."""

from __future__ import annotations

from typing import Any


def unwrapped(value: Any) -> Any:
    """Return what a scalar of numpy or torch holds; anything else as it is."""
    if not isinstance(value, (int, float)) and callable(item := getattr(value, "item", None)):
        return item()
    return value
