"""Numbers that users pass, which may be scalars of numpy or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def unwrapped(value: Any) -> Any:
    """Return what a scalar of numpy or torch holds, a plain number or text for a derived one, all else as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (int, float, str)):
        return underived(value)
    if callable(item := getattr(value, "item", None)):
        return item()
    return value


def underived(value: Any) -> Any:
    """Return the plain number or text that a value of a derived class is, such as numpy's; anything else as it is."""
    for plain, convert in _CONVERSIONS:
        if isinstance(value, plain):
            return convert(value)
    return value


_PLAIN = frozenset({bool, float, int, str})
_CONVERSIONS: tuple[tuple[type, Callable[[Any], object]], ...] = (
    # Not `int(value)` and the like, which ask the derived class.
    (float, float.__float__),
    (int, int.__int__),
    (str, str.__str__),
)
