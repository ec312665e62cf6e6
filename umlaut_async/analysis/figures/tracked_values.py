"""What trackers and `log` recorded, as charts and tables of a page."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from umlaut_async.analysis.figures.axes import index_ticks, value_range
from umlaut_async.analysis.figures.bands import Column, fewer, reduce
from umlaut_async.analysis.figures.drawing import curve_shapes, figure_block, line, plot, time_axis, value_axis
from umlaut_async.analysis.figures.markup import Markup, details, element, joined, table
from umlaut_async.analysis.tracked import tracked_text
from umlaut_async.text import number, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.store.queries import Tracked

__all__ = ["tracked_values"]

_COLUMNS = 1000
_TABLE_ROWS = 60
_MOST_CLASSES = 30
_MOST_MEASUREMENTS = 200
_MOST_NAMES = 20
_MOST_CHARTS = 30


def tracked_values(found: Sequence[Tracked]) -> Markup:
    """Return all that was recorded outside of calls: each value in a table, and what is more than one drawn."""
    if not found:
        return Markup("")
    rows: list[tuple[str, ...]] = [(each.description, each.type, tracked_text(each), each.method) for each in found]
    headings = ["what", "type", "value", "where"]
    if not any(tracked.method for tracked in found):
        headings, rows = headings[:3], [row[:3] for row in rows]
    figures = [drawn for tracked in found if (drawn := _figure(tracked))]
    return joined(
        [
            element("h2", "Tracked values"),
            table("What trackers and log recorded", headings, rows),
            *figures[:_MOST_CHARTS],
        ]
    )


def _figure(tracked: Tracked) -> Markup | None:
    match tracked.type, tracked.data:
        case "loss" | "tta", [_, _, *_] as values if _are_numbers(values):
            return _course(tracked, values)
        case "confusion-matrix", {"matrix": [[_, *_], *_] as matrix} if _is_matrix(matrix):
            return _confusion(tracked, matrix, tracked.data.get("labels"))
        case "hyperparameters", {"measurements": [{}, *_] as measurements}:
            return _sweep(tracked, measurements)
    return None


def _course(tracked: Tracked, values: list[float]) -> Markup | None:
    finite = [(at, float(value)) for at, value in enumerate(values) if isfinite(value)]
    if not finite:
        return None
    places, heights = zip(*finite, strict=True)
    columns = reduce([], places, heights, 0, len(values) - 1, _COLUMNS)
    low, high = value_range(min(heights), max(heights))
    ticks = index_ticks(len(values))
    left_out = len(values) - len(finite)
    said = tracked_text(tracked)
    if left_out:
        said = f"{said}; {left_out:,} of {len(values):,} values are not finite and not drawn"

    def at(place: int) -> float:
        return place / (len(values) - 1)

    part: list[tuple[float, float, Column]] = [(at(column.first), at(column.last), column) for column in columns]
    heading = safe(tracked.description) or tracked.type
    plotted = plot(
        f"{heading}: {said}", "7.5rem", curve_shapes([part], low, high, 0), ticks=ticks, beside=value_axis(low, high)
    )
    rows = [
        (
            f"{column.first + 1:,}" if column.first == column.last else f"{column.first + 1:,} to {column.last + 1:,}",
            *(number(value, 5) for value in (column.low, column.mean, column.high)),
        )
        for column in fewer(columns, _TABLE_ROWS)
    ]
    data = table(heading, ["value", "lowest", "mean", "highest"], rows, numbers=range(1, 4))
    name = element("small", f"{safe(tracked.type)} by value")
    return figure_block(heading, said, line(name, plotted), time_axis(ticks), details("Data", data))


def _confusion(tracked: Tracked, matrix: list[list[float]], labels: Any) -> Markup:
    heading = safe(tracked.description) or tracked.type
    said = tracked_text(tracked)
    if len(matrix) > _MOST_CLASSES:
        return figure_block(heading, f"{said}; too large to be shown here")
    names = [safe(name) for name in labels] if isinstance(labels, list) and len(labels) == len(matrix) else None
    names = names or [str(at) for at in range(len(matrix))]
    most = max((abs(value) for row in matrix for value in row), default=0) or 1
    rows = [
        (name, *(element("span", number(value), class_="cell", style=_shade(value / most)) for value in row))
        for name, row in zip(names, matrix, strict=True)
    ]
    made = table("Rows are predicted, columns actual", ["", *names], rows, numbers=range(1, len(matrix) + 1))
    return figure_block(heading, said, element("div", made, class_="matrix"))


def _shade(share: float) -> str:
    percent = round(45 * min(1.0, max(0.0, share)))
    return f"background:color-mix(in srgb,var(--c0) {percent}%,transparent)"


def _sweep(tracked: Tracked, measurements: list[Any]) -> Markup:
    known = [measured for measured in measurements[:_MOST_MEASUREMENTS] if isinstance(measured, dict)]
    names = list(dict.fromkeys(name for measured in known for name in measured))[:_MOST_NAMES]
    rows = [(at + 1, *(_cell(measured.get(name)) for name in names)) for at, measured in enumerate(known)]
    made = table("Measurements", ["no.", *names], rows, numbers=range(1, len(names) + 1))
    more = len(measurements) - len(known)
    note = f"; the first {len(known)} are shown" if more else ""
    return figure_block(safe(tracked.description) or tracked.type, f"{tracked_text(tracked)}{note}", made)


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, (int, float)) and not isinstance(value, bool) else safe(value)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) and _fits(value) for value in values)


def _fits(value: float) -> bool:
    # An integer of JSON may have any length.
    return isinstance(value, float) or abs(value) < 1 << 1000


def _is_matrix(matrix: list[Any]) -> bool:
    return all(isinstance(row, list) and len(row) == len(matrix) and _are_numbers(row) for row in matrix)
