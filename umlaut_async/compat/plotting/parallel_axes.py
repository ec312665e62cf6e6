"""The axes of a hyperparameter search: where each value lies, whether it is a number or a name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from umlaut_async.compat.plotting.shapes import Parallel

__all__ = ["Axis", "axes_of"]

_LONGEST = 24


class Axis(NamedTuple):
    """One axis; the positions of all runs on it."""

    name: str
    positions: list[float]
    names: list[str] | None
    """What stands at 0, 1, 2, …; None where the positions are the values themselves."""


def axes_of(parallel: Parallel) -> tuple[list[Axis], int]:
    """Return the axes, the target last, and the number of runs that are left out because they lack a finite value."""
    columns = [*parallel.columns.values()]
    runs = [*zip(*columns, strict=True)]
    complete = [run for run in runs if not any(map(_is_missing, run))]
    axes = [_axis(name, [run[index] for run in complete]) for index, name in enumerate(parallel.columns)]
    return axes, len(runs) - len(complete)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _axis(name: str, values: list[Any]) -> Axis:
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 for value in values):
        return Axis(name, [float(value) for value in values], None)
    shown = [safe(value, _LONGEST) for value in values]
    names = [*dict.fromkeys(shown)]
    return Axis(name, [float(names.index(each)) for each in shown], names)
