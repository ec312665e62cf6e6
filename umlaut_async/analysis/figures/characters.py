"""A figure as text: stages as bars, and series as bands of characters, on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.analysis.figures.axes import TIME, time_ticks, value_range
from umlaut_async.analysis.figures.sentences import about_chart, calls_of
from umlaut_async.text import quantity, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from umlaut_async.analysis.figures.axes import Tick
    from umlaut_async.analysis.figures.bands import Column
    from umlaut_async.analysis.figures.figure import Chart, Figure
    from umlaut_async.analysis.figures.lanes import Row

__all__ = ["LABEL", "lines"]

LABEL = 18
"""How many columns are left of the plots."""
HEIGHT = 8
_NONE, _BAND, _MEAN, _BAR, _FAILED, _RUNNING = " ", "░", "█", "█", "▒", "▓"


def lines(figure: Figure, width: int) -> Iterator[str]:
    """Give the lines of a figure, which is so many characters wide: as many as it was built with, and `LABEL`."""
    columns = width - LABEL
    ticks = time_ticks(figure.seconds(figure.start), figure.seconds(figure.end), max(2, columns // 14))
    for row in figure.rows:
        label = safe(f"{'  ' * min(row.depth, 4)}{row.name}", longest=LABEL - 1)
        yield f"{label:<{LABEL}}{_bars(figure, row, columns)} {calls_of(row)}"
    if figure.rows:
        yield _axis(ticks, columns)
    for chart in figure.charts:
        yield ""
        yield about_chart(figure, chart)
        if chart.curves:
            yield from _plot(figure, chart, columns)
            yield _axis(ticks, columns)
    yield ""
    yield f"{_BAR} mean or call  {_BAND} lowest to highest  {_FAILED} failed  {_RUNNING} running"


def _bars(figure: Figure, row: Row, columns: int) -> str:
    cells = [_NONE] * columns
    for lane in row.lanes:
        for bar in lane:
            shape = _FAILED if bar.failed else _RUNNING if bar.running else _BAR
            for at in range(_cell(figure, bar.start, columns), _cell(figure, bar.end, columns) + 1):
                # What went wrong is not to be hidden by what went well.
                if cells[at] in (_NONE, _BAR):
                    cells[at] = shape
    return "".join(cells)


def _plot(figure: Figure, chart: Chart, columns: int) -> Iterator[str]:
    low, high = value_range(chart.low, chart.high)
    unit = chart.unit if chart.unit == TIME else ""  # the sentence above says the others
    cells = [[_NONE] * columns for _ in range(HEIGHT)]

    def level(value: float) -> int:
        share = (value / 2 - low / 2) / (high / 2 - low / 2)
        return min(HEIGHT - 1, max(0, int(share * HEIGHT)))

    parts = [part for curve in chart.curves for part in curve.parts]
    for column in (column for part in parts for column in part):
        for at in range(_cell(figure, column.first, columns), _cell(figure, column.last, columns) + 1):
            for row in range(level(column.low), level(column.high) + 1):
                cells[row][at] = _BAND
    for part in parts:
        for at, mean in _line(figure, part, columns):
            cells[level(mean)][at] = _MEAN
    for row in reversed(range(HEIGHT)):
        share = row / (HEIGHT - 1)
        labelled = row in (0, HEIGHT // 2, HEIGHT - 1)
        value = low * (1 - share) + high * share
        label = (quantity(value, unit) if value else "0") if labelled else ""
        yield f"{label:>{LABEL - 2}} ┤{''.join(cells[row])}".rstrip()


def _line(figure: Figure, part: list[Column], columns: int) -> Iterator[tuple[int, float]]:
    """Give the cells of a line through the means of one part, with its height in each."""
    before: tuple[int, float] | None = None
    for column in part:
        first, last = _cell(figure, column.first, columns), _cell(figure, column.last, columns)
        if before is not None:
            start, height = before
            for at in range(start + 1, first):
                share = (at - start) / (first - start)
                yield at, height * (1 - share) + column.mean * share
        for at in range(first, last + 1):
            yield at, column.mean
        before = last, column.mean


def _axis(ticks: list[Tick], columns: int) -> str:
    line = [" "] * (LABEL + columns + 16)
    free = 0
    for tick in ticks:
        at = LABEL + round(tick.at * (columns - 1))
        begin = max(free, at - len(tick.label) // 2)
        if begin <= at < begin + len(tick.label):
            line[begin : begin + len(tick.label)] = tick.label
            free = begin + len(tick.label) + 1
    return "".join(line).rstrip()


def _cell(figure: Figure, time: int, columns: int) -> int:
    return min(columns - 1, int(figure.at(time) * columns))
