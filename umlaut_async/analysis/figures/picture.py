"""A figure as a PNG file, drawn by matplotlib."""

from __future__ import annotations

import warnings
from typing import IO, TYPE_CHECKING

from umlaut_async.analysis.figures.axes import TIME, value_range, value_ticks
from umlaut_async.analysis.figures.sentences import about_curve, calls_of
from umlaut_async.analysis.figures.style import LIGHT
from umlaut_async.analysis.tables import MissingExtraError
from umlaut_async.errors import ArgumentError
from umlaut_async.text import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from umlaut_async.analysis.figures.bands import Column
    from umlaut_async.analysis.figures.figure import Chart, Figure

__all__ = ["save_picture"]

_WIDTH = 11.0
_COLOURS = 8
_DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 3), (9, 3, 2, 3))
_LONGEST = 28


def save_picture(figure: Figure, target: IO[bytes]) -> None:
    """Write a figure as PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise MissingExtraError(
            "figures as PNG need matplotlib, which is not installed: pip install 'umlaut_async[plot]', or use --html"
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a box for each letter that the font lacks has to do
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of numbers near the largest that there are
        try:
            canvas = _drawn(Canvas, figure)
            FigureCanvasAgg(canvas)
            canvas.savefig(target, format="png", dpi=110)
        except (ArithmeticError, ValueError) as error:
            raise ArgumentError(f"matplotlib cannot draw numbers as large as these: {error}; use --html") from error


def _drawn(new_canvas: type[Canvas], figure: Figure) -> Canvas:
    heights = [0.5 + 0.3 * max(1, sum(len(row.lanes) for row in figure.rows)), *(2.2 for _ in figure.charts)]
    # Pyplot would keep each figure until it is closed.
    canvas = new_canvas(figsize=(_WIDTH, sum(heights) + 0.9), layout="constrained")
    axes: list[Axes] = list(
        canvas.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    )
    _stages(axes[0], figure)
    for chart, below in zip(figure.charts, axes[1:], strict=True):
        _chart(below, figure, chart)
    axes[-1].set_xlabel("seconds since the start of the run")
    axes[-1].set_xlim(figure.seconds(figure.start), figure.seconds(figure.end))
    canvas.suptitle(safe(f"{figure.run.name} {figure.run.uuid[:8]}"), fontsize=11, parse_math=False)
    return canvas


def _stages(axes: Axes, figure: Figure) -> None:
    finest = (figure.end - figure.start) / 1e9 / 1000
    height = 0
    middles, labels = [], []
    for at, row in enumerate(figure.rows):
        middles.append(height + (len(row.lanes) - 1) / 2)
        labels.append(safe(f"{'  ' * min(row.depth, 6)}{safe(row.name, longest=_LONGEST)}\n"))
        for lane in row.lanes:
            spans = [(figure.seconds(bar.start), max(finest, (bar.end - bar.start) / 1e9)) for bar in lane]
            colours = [LIGHT["failed"] if bar.failed else _colour(at) for bar in lane]
            axes.broken_barh(spans, (height - 0.4, 0.8), facecolors=colours)
            height += 1
        axes.annotate(
            calls_of(row), (1.01, middles[-1]), xycoords=("axes fraction", "data"), va="center", fontsize=7,
            color=LIGHT["muted"], annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(max(height, 1) - 0.5, -0.5)
    axes.set_yticks(middles, labels, fontsize=8, parse_math=False)
    axes.grid(axis="x", color=LIGHT["line"])
    axes.set_axisbelow(True)


def _chart(axes: Axes, figure: Figure, chart: Chart) -> None:
    for at, curve in enumerate(chart.curves):
        own = f"{safe(curve.label, longest=_LONGEST)}: " if len(chart.curves) > 1 else ""
        label: str | None = f"{own}{about_curve(figure, curve, chart.unit)}"
        for part in curve.parts:
            _band(axes, figure, part, _colour(at))
            times = [(figure.seconds(column.first) + figure.seconds(column.last)) / 2 for column in part]
            means = [column.mean for column in part]
            marker = "." if len(part) == 1 else ""
            (line,) = axes.plot(times, means, linewidth=1.2, label=label, color=_colour(at), marker=marker)
            line.set_dashes(_DASHES[at % len(_DASHES)])
            label = None
    low, high = value_range(chart.low, chart.high)
    ticks = value_ticks(low, high, chart.unit)
    axes.set_yticks([low * (1 - tick.at) + high * tick.at for tick in ticks], [tick.label for tick in ticks])
    axes.set_ylim(low, high)
    name = safe(chart.type, longest=_LONGEST)
    unit = "" if chart.unit == TIME else safe(chart.unit, longest=_LONGEST)  # the ticks have theirs
    axes.set_ylabel(f"{name} ({unit})" if unit else name, parse_math=False)
    axes.grid(color=LIGHT["line"])
    axes.set_axisbelow(True)
    if not chart.curves:
        axes.text(0.5, 0.5, "no samples in this time", transform=axes.transAxes, ha="center", color=LIGHT["muted"])
        axes.set_yticks([])
        return
    for text in axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=7, ncols=1).get_texts():
        text.set_parse_math(False)


def _band(axes: Axes, figure: Figure, part: list[Column], colour: str) -> None:
    times = [figure.seconds(time) for column in part for time in (column.first, column.last)]
    low = [value for column in part for value in (column.low, column.low)]
    high = [value for column in part for value in (column.high, column.high)]
    # The edge keeps a peak of one sample visible, whose band has no width.
    axes.fill_between(times, low, high, facecolor=colour, alpha=0.25, edgecolor=colour, linewidth=0.6)


def _colour(at: int) -> str:
    return LIGHT[f"c{at % _COLOURS}"]
