"""Figures by matplotlib; texts are never taken for its markup of formulas."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from umlaut_async.cli.text import number
from umlaut_async.compat.plotting.parallel_axes import Axis, axes_of
from umlaut_async.compat.plotting.shapes import Bars, Curves, Grid, Notes, Parallel, starts_at_zero
from umlaut_async.compat.plotting.thinning import finite, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from umlaut_async.compat.plotting.shapes import Shape

__all__ = ["figure", "without_warnings"]

_WIDTH = 9.0
_HEIGHT = 5.0
_TALLEST = 60.0
_NAMED_CURVES = 24
_NAMED_BARS = 150
_WRITTEN_CELLS = 20
_NAMED_VALUES = 8


def figure(shape: Shape, new_figure: Callable[..., Figure] | None = None) -> Figure:
    """Return a shape as a figure.

    Args:
        shape: What is drawn.
        new_figure: What makes an empty figure: `pyplot.figure` for one that can be shown, by default one that can only
            be saved.
    """
    from matplotlib.figure import Figure

    make = new_figure or Figure
    width, height = _size(shape)
    drawn = make(figsize=(width, height), layout="constrained")
    axes = drawn.subplots()
    # The title stands over the axes, which are narrower than the figure.
    axes.set_title(_wrapped(shape.title, int(9 * (width - 1))), parse_math=False, fontsize="large")
    _draw(shape, axes)
    return drawn


def _size(shape: Shape) -> tuple[float, float]:
    match shape:
        case Bars(bars=bars):
            return _WIDTH, min(_TALLEST, max(2.5, 1.5 + 0.35 * len(bars)))
        case Curves(curves=curves):
            return _WIDTH, _HEIGHT + 0.22 * min(len(curves), _NAMED_CURVES)
        case Grid(row_names=rows, column_names=columns):
            return min(24.0, max(6.0, 2.5 + 0.5 * len(columns))), min(24.0, max(5.0, 2 + 0.5 * len(rows)))
        case Parallel(columns=named):
            return max(_WIDTH, 2.0 * len(named)), _HEIGHT
        case Notes(notes=notes):
            return _WIDTH, min(_TALLEST, max(2.0, 1.0 + 0.6 * len(notes)))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Draw texts in scripts that the font lacks as boxes, without a warning for each letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


@singledispatch
def _draw(shape: Any, axes: Axes) -> None:
    # What single dispatch comes to for a shape that no function below is registered for, which is a defect.
    raise NotImplementedError(type(shape).__name__)


@_draw.register(Curves)
def _curves(shape: Curves, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    handles = []
    for curve in shape.curves:
        xs, ys = thin(curve.xs, finite(curve.ys))
        marker = "." if len(xs) <= 200 else ""
        (line,) = axes.plot(xs, ys, marker="" if curve.dots else marker, label=curve.label)
        if curve.dots:
            given_xs, given = thin(curve.xs, finite(curve.dots))
            axes.plot(given_xs, given, linestyle="", marker="o", markersize=4, alpha=0.6, color=line.get_color())
        handles.append(line)
    axes.set_xlabel(shape.x_label, parse_math=False)
    axes.set_ylabel(shape.y_label, parse_math=False)
    axes.grid(visible=True, alpha=0.3)
    if shape.counted:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not any(any(curve.xs) for curve in shape.curves):
        axes.set_xlim(-0.05, 1)
    if starts_at_zero(shape):
        axes.set_ylim(bottom=0)
    named = handles[:_NAMED_CURVES]
    names = [curve.label for curve in shape.curves[: len(named)]]
    if len(handles) > len(named):
        (rest,) = axes.plot([], [], linestyle="", label="rest")
        named, names = [*named, rest], [*names, f"… and {len(handles) - len(named)} more"]
    legend = axes.legend(named, names, loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize="small", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


@_draw.register(Bars)
def _bars(shape: Bars, axes: Axes) -> None:
    values = finite([math.nan if bar.value is None else bar.value for bar in shape.bars])
    positions = range(len(shape.bars))
    axes.barh(positions, [0.0 if math.isnan(value) else value for value in values])
    every = math.ceil(len(shape.bars) / _NAMED_BARS)
    axes.set_yticks(positions[::every], [bar.label for bar in shape.bars[::every]], parse_math=False, fontsize="small")
    axes.invert_yaxis()
    axes.set_ylim(len(shape.bars) - 0.4, -0.6)
    axes.set_xlabel(shape.value_label, parse_math=False)
    axes.margins(x=0.15)
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    for position, bar, value in list(zip(positions, shape.bars, values, strict=True))[::every]:
        left = value < 0
        axes.annotate(
            bar.note or number(bar.value),
            (0.0 if math.isnan(value) else value, position),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            va="center",
            ha="right" if left else "left",
            fontsize="small",
            parse_math=False,
        )


@_draw.register(Grid)
def _grid(shape: Grid, axes: Axes) -> None:
    cells = [finite(row) for row in shape.rows]
    image = axes.imshow(cells, cmap="Blues", aspect="auto")
    axes.figure.colorbar(image, ax=axes)
    axes.set_ylabel(shape.row_label)
    axes.set_xlabel(shape.column_label)
    for ticks, names in ((axes.set_yticks, shape.row_names), (axes.set_xticks, shape.column_names)):
        every = math.ceil(len(names) / 40)
        ticks(range(0, len(names), every), names[::every], parse_math=False)
    if max(map(len, shape.column_names)) > 4:
        for tick in axes.get_xticklabels():
            tick.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
    if max(len(cells), len(cells[0])) <= _WRITTEN_CELLS:
        known = [value for row in cells for value in row if not math.isnan(value)]
        middle = (max(known) + min(known)) / 2 if known else 0.0
        for row, values in enumerate(cells):
            for column, value in enumerate(values):
                colour = "white" if value > middle else "black"
                axes.text(column, row, number(value), ha="center", va="center", color=colour)


@_draw.register(Parallel)
def _parallel(shape: Parallel, axes: Axes) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    found, left_out = axes_of(shape)
    *_, target = found
    low, high = _limits(target)
    # Good runs are dark, whatever good means.
    norm, colour = Normalize(low, high), colormaps["viridis" if shape.low_means_good else "viridis_r"]
    for run in range(len(target.positions)):
        axes.plot(
            range(len(found)),
            [_share(axis, axis.positions[run]) for axis in found],
            color=colour(float(norm(target.positions[run]))),
            alpha=0.8,
        )
    for index, axis in enumerate(found):
        axes.axvline(index, color="black", linewidth=0.8)
        for value, name in _ticks(axis):
            axes.annotate(
                name,
                (index, _share(axis, value)),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
            )
    axes.set_xticks(range(len(found)), [axis.name for axis in found], parse_math=False)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(found) - 0.6)
    axes.set_ylim(-0.08, 1.08)
    for spine in axes.spines.values():
        spine.set_visible(False)
    good = "lower" if shape.low_means_good else "higher"
    bar = axes.figure.colorbar(ScalarMappable(norm, colour), ax=axes, pad=0.02)
    bar.set_label(f"{shape.target} ({good} is better)", parse_math=False)
    if target.names is not None:
        bar.set_ticks([*range(len(target.names))], labels=target.names, parse_math=False)
    if left_out:
        axes.set_xlabel(f"{left_out} without a finite value for each axis left out")


def _limits(axis: Axis) -> tuple[float, float]:
    if not axis.positions:
        return 0.0, 1.0
    low, high = min(axis.positions), max(axis.positions)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _share(axis: Axis, value: float) -> float:
    low, high = _limits(axis)
    return (value - low) / (high - low)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if not axis.positions:
        return []
    if axis.names is not None:
        return [(float(position), name) for position, name in enumerate(axis.names)]
    distinct = sorted(set(axis.positions))
    if len(distinct) > _NAMED_VALUES:
        low, high = distinct[0], distinct[-1]
        distinct = [low + share * (high - low) / 4 for share in range(5)]
    return [(value, number(value)) for value in distinct]


@_draw.register(Notes)
def _notes(shape: Notes, axes: Axes) -> None:
    axes.set_axis_off()
    lines = [f"{note.label}: {note.text}" for note in shape.notes]
    axes.text(
        0.0,
        1.0,
        "\n".join(_wrapped(line, 100) for line in lines),
        transform=axes.transAxes,
        va="top",
        fontsize="small",
        parse_math=False,
    )


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width)[:12]) or text
