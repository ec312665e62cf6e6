"""Measurements as text for a terminal: statistics of curves, and tables of everything else."""

from __future__ import annotations

import math
import statistics
from functools import singledispatch
from io import StringIO
from typing import TYPE_CHECKING, Any

from umlaut_async.cli.tables import table
from umlaut_async.cli.text import MISSING, number, safe
from umlaut_async.compat.plotting.shapes import Bars, Curves, Grid, Notes, Parallel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from umlaut_async.compat.plotting.shapes import Shape

__all__ = ["as_text"]

_WIDE = 2000
_STATISTICS = ("values", "mean", "st dev", "min", "max", "first", "last")


def as_text(shapes: Iterable[Shape], width: int | None = None) -> str:
    """Return what is printed of measurements.

    Args:
        shapes: What would be drawn.
        width: The columns of the terminal; by default as many as the text needs.
    """
    from rich.console import Console

    written = StringIO()
    console = Console(file=written, width=width or _WIDE, markup=False, highlight=False, emoji=False, color_system=None)
    for index, shape in enumerate(shapes):
        if index:
            console.print()
        console.print(shape.title, soft_wrap=True)
        console.print(_table(shape))
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


@singledispatch
def _table(shape: Any) -> Table:
    # What single dispatch comes to for a shape that no function below is registered for, which is a defect.
    raise NotImplementedError(type(shape).__name__)


@_table.register(Curves)
def _curves(shape: Curves) -> Table:
    made = table(("", *_STATISTICS), right=frozenset(_STATISTICS))
    made.columns[0].header = shape.y_label
    for curve in shape.curves:
        made.add_row(curve.label, *_statistics(curve.dots or curve.ys))
    return made


def _statistics(values: list[float]) -> list[str]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return [str(len(values)), *(MISSING for _ in _STATISTICS[1:])]
    spread = statistics.stdev(known) if len(known) > 1 else None
    shown = (statistics.fmean(known), spread, min(known), max(known), values[0], values[-1])
    return [str(len(values)), *map(number, shown)]


@_table.register(Bars)
def _bars(shape: Bars) -> Table:
    made = table(("", shape.value_label), right=frozenset({shape.value_label}))
    for bar in shape.bars:
        made.add_row(bar.label, bar.note or number(bar.value, 6))
    return made


@_table.register(Grid)
def _grid(shape: Grid) -> Table:
    # Two classes may have the same name, and a column of that name is to be to the right as well.
    made = table((f"{shape.row_label} ↓  {shape.column_label} →",))
    for name in shape.column_names:
        made.add_column(name, justify="right", no_wrap=True)
    for name, row in zip(shape.row_names, shape.rows, strict=True):
        made.add_row(name, *(number(value, 6) for value in row))
    return made


@_table.register(Parallel)
def _parallel(shape: Parallel) -> Table:
    good = "lower" if shape.low_means_good else "higher"
    names = [f"{name} ({good} is better)" if name == shape.target else name for name in shape.columns]
    made = table(("run",), right=frozenset({"run"}))
    for name in names:
        made.add_column(name, justify="right", no_wrap=True)
    for index, run in enumerate(zip(*shape.columns.values(), strict=True), start=1):
        made.add_row(str(index), *map(_short, run))
    return made


def _short(value: Any) -> str:
    if value is None:
        return MISSING
    return number(value, 6) if isinstance(value, (int, float)) and not isinstance(value, bool) else safe(value, 60)


@_table.register(Notes)
def _notes(shape: Notes) -> Table:
    made = table(("", ""))
    made.show_header = False
    for note in shape.notes:
        made.add_row(note.label, note.text)
    return made
