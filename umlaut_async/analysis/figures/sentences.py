"""What a figure shows, in sentences: for those who do not see it, and for a first look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.text import duration, quantity, safe

if TYPE_CHECKING:
    from umlaut_async.analysis.figures.curves import Curve
    from umlaut_async.analysis.figures.figure import Chart, Figure
    from umlaut_async.analysis.figures.lanes import Bar, Row

__all__ = ["about_bar", "about_chart", "about_curve", "about_row", "about_rows", "calls_of", "offset"]


def offset(figure: Figure, time: int) -> str:
    """Return a time as what has passed since the start of the run."""
    seconds = figure.seconds(time)
    return "0 s" if abs(seconds) < 5e-10 else duration(seconds)


def about_curve(figure: Figure, curve: Curve, unit: str) -> str:
    """Say what a series comes to."""
    if not curve.samples:
        values = dict.fromkeys(quantity(value, unit) for value in (curve.low, curve.peak))
        return f"no samples in this time; {' to '.join(values)} between the nearest before and after it"
    mean, peak = quantity(curve.mean, unit), quantity(curve.peak, unit)
    estimated = ", estimated" if curve.provenance == "estimated" else ""
    samples = f"{curve.samples:,} sample{'' if curve.samples == 1 else 's'}"
    return f"mean {mean}, peak {peak} at {offset(figure, curve.peak_at)}, {samples}{estimated}"


def about_chart(figure: Figure, chart: Chart) -> str:
    """Say what the series of one type come to."""
    if not chart.curves:
        return f"{safe(chart.type)}: no samples in this time."
    if len(chart.curves) == 1:
        return f"{safe(chart.type)}: {about_curve(figure, chart.curves[0], chart.unit)}."
    each = (f"{safe(curve.label)}: {about_curve(figure, curve, chart.unit)}" for curve in chart.curves)
    return f"{safe(chart.type)} of {len(chart.curves)} series. {'; '.join(each)}."


def calls_of(row: Row) -> str:
    """Say how many calls a stage had, and how they ended."""
    said = [f"{row.calls:,} call{'' if row.calls == 1 else 's'}"]
    if row.failed:
        said.append(f"{row.failed:,} failed")
    if row.running:
        said.append(f"{row.running:,} running")
    if row.at_once > 1:
        said.append(f"up to {row.at_once:,} at once")
    return ", ".join(said)


def about_row(figure: Figure, row: Row) -> str:
    """Say what a stage did."""
    share = 100 * row.busy / (figure.end - figure.start)
    return f"{safe(row.name)}: {calls_of(row)}, open for {duration(row.busy / 1e9)} ({share:.0f} % of this time)"


def about_rows(figure: Figure) -> str:
    """Say what the stages did."""
    if not figure.rows:
        return "No stage was called in this time."
    shown = [about_row(figure, row) for row in sorted(figure.rows, key=lambda row: row.busy, reverse=True)[:3]]
    more = len(figure.rows) - len(shown)
    rest = f"; and {more} more" if more else ""
    return f"{len(figure.rows)} stage{'' if len(figure.rows) == 1 else 's'}. {'; '.join(shown)}{rest}."


def about_bar(figure: Figure, row: Row, bar: Bar) -> str:
    """Say which calls a bar stands for."""
    calls = "1 call" if bar.calls == 1 else f"{bar.calls:,} calls"
    failed = f", {bar.failed:,} failed" if bar.failed else ""
    running = f", {bar.running:,} still running" if bar.running else ""
    times = f"{offset(figure, bar.start)} to {offset(figure, bar.end)}"
    return f"{safe(row.name)}: {calls}, {times}{failed}{running}"
