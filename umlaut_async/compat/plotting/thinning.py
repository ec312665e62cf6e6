"""Long curves with as many points as can be seen, none of their peaks lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["finite", "thin"]

_MOST = 4000


def thin(xs: Sequence[float], ys: Sequence[float], most: int = _MOST) -> tuple[list[float], list[float]]:
    """Return at most about so many points of a curve: of each piece the lowest, the highest, the first and the last."""
    if len(xs) <= most:
        return [*xs], [*ys]
    size = math.ceil(4 * len(xs) / most)
    kept: list[int] = []
    for start in range(0, len(xs), size):
        piece = range(start, min(start + size, len(xs)))
        known = [index for index in piece if not math.isnan(ys[index])] or piece
        kept += sorted({piece[0], min(known, key=ys.__getitem__), max(known, key=ys.__getitem__), piece[-1]})
    return [xs[index] for index in kept], [ys[index] for index in kept]


def finite(values: Sequence[float]) -> list[float]:
    """Return the values with NaN for what is infinite: a gap, where an axis would lose its scale."""
    return [value if math.isfinite(value) else math.nan for value in values]
