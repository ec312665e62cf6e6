"""A figure as HTML: inline SVG that stretches with the page, and beside it text, tables and axes that do not.

All plots are as wide as each other, so that a moment of the run is at the same place in each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.analysis.figures.axes import TIME, Tick, time_ticks, value_range, value_ticks
from umlaut_async.analysis.figures.bands import fewer
from umlaut_async.analysis.figures.markup import Markup, details, element, joined, table
from umlaut_async.analysis.figures.sentences import about_bar, about_chart, about_row, about_rows, calls_of, offset
from umlaut_async.text import duration, moment, number, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from umlaut_async.analysis.figures.bands import Column
    from umlaut_async.analysis.figures.curves import Curve
    from umlaut_async.analysis.figures.figure import Chart, Figure
    from umlaut_async.analysis.figures.lanes import Row

__all__ = ["COLOURS", "curve_shapes", "drawn", "figure_block", "legend", "line", "plot", "time_axis", "value_axis"]

WIDTH = 1000
HEIGHT = 100
_LANE = 10
COLOURS = 8
_TABLE_ROWS = 60


def drawn(figure: Figure) -> Markup:
    """Return a figure as HTML."""
    ticks = time_ticks(figure.seconds(figure.start), figure.seconds(figure.end))
    note = f"Times are counted from the start of the run, {moment(figure.run.started)}."
    if any(row.failed or row.running for row in figure.rows):
        note += " Of the bars of stages, red ones hold calls that failed, and pale ones calls that still run."
    return joined([_stages(figure, ticks), *(_chart(figure, chart, ticks) for chart in figure.charts), _note(note)])


def plot(label: str, height: str, *shapes: object, ticks: Iterable[Tick], beside: Iterable[object] = ()) -> Markup:
    """Return a plot with the grid of a time axis, and what lies over it."""
    grid = (element("path", class_="grid", d=f"M{_x(tick.at)} 0V{HEIGHT}") for tick in ticks if 0.001 < tick.at < 0.999)
    svg = element(
        "svg",
        element("title", label),
        *grid,
        *shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    values = list(beside)
    return element("div", svg, *values, class_="plot tall" if values else "plot", style=f"height:{height}")


def time_axis(ticks: Sequence[Tick]) -> Markup:
    """Return the labels of a time axis."""
    labels = [
        element("span", tick.label, class_=_tick_class(at, tick), style=f"left:{100 * tick.at:.2f}%")
        for at, tick in enumerate(ticks)
    ]
    return line("", element("div", *labels, class_="axis", aria_hidden="true"))


def value_axis(low: float, high: float, unit: str = "") -> list[Markup]:
    """Return the labels of an axis of values, which lie over the plot."""
    return [
        element("span", tick.label, class_="value", style=f"top:{100 * (1 - tick.at):.1f}%", aria_hidden="true")
        for tick in value_ticks(low, high, unit)
    ]


def curve_shapes(parts: Iterable[Sequence[tuple[float, float, Column]]], low: float, high: float, at: int) -> Markup:
    """Return the band and the line of one curve.

    Args:
        parts: What is connected; of each column from where to where it is on the axis, from 0 to 1.
        low: Where the axis of values begins.
        high: Where it ends.
        at: Which curve of its chart this is.
    """

    def y(value: float) -> str:
        return _short(HEIGHT * (1 - (value / 2 - low / 2) / (high / 2 - low / 2)))

    bands, lines = [], []
    for part in parts:
        above = "L".join(f"{_x(a)} {y(column.high)}H{_x(b)}" for a, b, column in part)
        below = "L".join(f"{_x(b)} {y(column.low)}H{_x(a)}" for a, b, column in reversed(part))
        bands.append(f"M{above}L{below}Z")
        middle = [f"{_x((a + b) / 2)} {y(column.mean)}" for a, b, column in part]
        lines.append(f"M{'L'.join(middle if len(middle) > 1 else middle * 2)}")
    colour = f"c{at % COLOURS}"
    return joined(
        [
            element("path", class_=f"band {colour}", d=Markup("".join(bands))),
            element("path", class_=f"mean {colour}", d=Markup("".join(lines))),
        ]
    )


def figure_block(heading: object, said: object, *content: object) -> Markup:
    """Return a chart with its heading, and what it shows in words."""
    return element("figure", element("figcaption", element("b", heading), " ", element("span", said)), *content)


def _stages(figure: Figure, ticks: Sequence[Tick]) -> Markup:
    rows = (_row(figure, row, at, ticks) for at, row in enumerate(figure.rows))
    data = table(
        "Stages in the time of the figure",
        ["stage", "calls", "failed", "running", "open for", "at once"],
        [
            (row.name, f"{row.calls:,}", f"{row.failed:,}", f"{row.running:,}", duration(row.busy / 1e9), row.at_once)
            for row in figure.rows
        ],
        numbers=range(1, 6),
    )
    content = [*rows, time_axis(ticks), details("Data: stages", data)] if figure.rows else []
    return figure_block("Stages", about_rows(figure), *content)


def _row(figure: Figure, row: Row, colour: int, ticks: Sequence[Tick]) -> Markup:
    height = HEIGHT / len(row.lanes)
    bars = []
    for lane, found in enumerate(row.lanes):
        for bar in found:
            left, right = WIDTH * figure.at(bar.start), WIDTH * figure.at(bar.end)
            left = min(left, WIDTH - 1.5)
            state = " failed" if bar.failed else " running" if bar.running else ""
            bars.append(
                element(
                    "rect",
                    element("title", about_bar(figure, row, bar)),
                    class_=f"bar c{colour % COLOURS}{state}",
                    x=_short(left),
                    y=_short(lane * height + height / 10),
                    width=_short(max(1.5, right - left)),
                    height=_short(height * 0.8),
                )
            )
    indent = f"padding-left:{min(row.depth, 6) * 0.8:.1f}em"
    label = element("div", element("b", row.name), " ", element("small", calls_of(row)), style=indent)
    height_text = f"{max(1.5, 0.75 * len(row.lanes)):.2f}rem"
    return line(label, plot(about_row(figure, row), height_text, *bars, ticks=ticks))


def _chart(figure: Figure, chart: Chart, ticks: Sequence[Tick]) -> Markup:
    said = about_chart(figure, chart)
    if not chart.curves:
        return figure_block(chart.type, "No samples in this time.")
    low, high = value_range(chart.low, chart.high)
    shapes = [
        curve_shapes(
            [[(figure.at(column.first), figure.at(column.last), column) for column in part] for part in curve.parts],
            low,
            high,
            at,
        )
        for at, curve in enumerate(chart.curves)
    ]
    plotted = plot(said, "7.5rem", *shapes, ticks=ticks, beside=value_axis(low, high, chart.unit))
    unit = "" if chart.unit == TIME else element("small", chart.unit)
    name = joined([unit, legend([curve.label for curve in chart.curves])])
    tables = (_curve_table(figure, chart, curve) for curve in chart.curves)
    content = line(name, plotted), time_axis(ticks), details(f"Data: {safe(chart.type)}", *tables)
    return figure_block(chart.type, said.partition(": " if len(chart.curves) == 1 else "series. ")[2], *content)


def legend(labels: Sequence[str], bars: Sequence[str] | None = None) -> Markup:
    """Return which line is which, if there are several; or which bar, by the classes of these."""
    if len(labels) < 2:
        return Markup("")
    entries = [
        element(
            "li",
            element(
                "svg",
                element("path", class_=f"mean c{at % COLOURS}", d="M0 5H30")
                if bars is None
                else element("rect", class_=f"bar {bars[at]}", width=30, height=10),
                viewBox="0 0 30 10",
                class_="key",
                aria_hidden="true",
            ),
            label,
        )
        for at, label in enumerate(labels)
    ]
    return element("ul", *entries, class_="legend")


def _curve_table(figure: Figure, chart: Chart, curve: Curve) -> Markup:
    columns = fewer([column for part in curve.parts for column in part], _TABLE_ROWS)
    rows = [
        (
            offset(figure, column.first),
            offset(figure, column.last),
            *(number(value, 4) for value in (column.low, column.mean, column.high)),
        )
        for column in columns
    ]
    unit = f" in {safe(chart.unit)}" if chart.unit else ""
    label = f", {safe(curve.label)}" if len(chart.curves) > 1 else ""
    return table(
        f"{safe(chart.type)}{unit}{label}", ["from", "to", "lowest", "mean", "highest"], rows, numbers=range(5)
    )


def line(label: object, content: Markup) -> Markup:
    return element("div", element("div", label, class_="label"), content, class_="line")


def _note(text: str) -> Markup:
    return element("p", text, class_="note")


def _tick_class(at: int, tick: Tick) -> str | None:
    classes = [
        *(["odd"] if at % 2 else []),
        *(["begin"] if tick.at < 0.04 else ["end"] if tick.at > 0.96 else []),
    ]
    return " ".join(classes) or None


def _x(at: float) -> str:
    return _short(WIDTH * at)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
