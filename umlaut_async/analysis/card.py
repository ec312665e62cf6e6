"""What notebooks show of runs and tables: HTML without JavaScript, in which every stored text is only text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.analysis import rates
from umlaut_async.analysis.labels import labels
from umlaut_async.analysis.measures import mean_of, told
from umlaut_async.store import queries, run_queries, series_queries, stage_queries, values
from umlaut_async.text import MISSING, duration, moment, number, quantity, safe, tag_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.analysis.tables import Kind, Table
    from umlaut_async.store.chunks import Bucket
    from umlaut_async.store.queries import RunInfo, Stage
    from umlaut_async.store.stage_queries import Used

__all__ = ["Curve", "run_html", "runs_html", "sparkline", "table_html"]

SHOWN_ROWS = 20
POINTS = 120
CURVES = 12
_WIDTH, _HEIGHT = 240, 36
# The notebook decides on colours, light or dark; shades are made of its own.
_STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
# What the card has columns for, and what it leaves out as the time says it already.
_IN_COLUMNS = frozenset({"time", "cpu", "memory", "latency"})


class Curve(NamedTuple):
    """A series in steps of time."""

    name: str
    unit: str
    buckets: Sequence[Bucket]
    reach: int = 0
    """By how many nanoseconds the samples of a rate count before their time."""


def table_html(table: Table, shown: int = SHOWN_ROWS) -> str:
    """Return the first rows of a table."""
    rows = ([_cell(row[column.name], column.kind) for column in table.columns] for row in table[:shown])
    right = {index for index, column in enumerate(table.columns) if column.kind in ("integer", "number", "duration")}
    more = len(table) - shown
    return _div(
        _html_table([column.name for column in table.columns], rows, right),
        f"<p>and {more:,} more</p>" if more > 0 else "",
    )


def runs_html(runs: Sequence[RunInfo]) -> str:
    """Return a line for each run."""
    rows = (
        [run.uuid[:8], run.name, run.description, moment(run.started), _wall_time(run), run.status, tag_list(run.tags)]
        for run in runs[:SHOWN_ROWS]
    )
    more = len(runs) - SHOWN_ROWS
    return _div(
        _html_table(["run", "name", "description", "started", "time", "status", "tags"], rows, {4}),
        f"<p>and {more:,} more</p>" if more > 0 else "",
    )


def run_html(session: Session, run: RunInfo) -> str:
    """Return a run in short: what it was, its stages, and the course of what was sampled."""
    stages = queries.stages(session, run.uuid)
    sampled = series_queries.extent(session, run.uuid)
    start = min(run.started, *(sampled or [run.started]))
    end = max(run.started, run.ended or run.started, *(sampled or [run.started]))
    curves = _curves(session, run, start, end)
    heading = f"<b>{_text(run.name)}</b> {_text(run.uuid[:8])} · {_text(run.status)} · {_text(moment(run.started))}"
    about = " · ".join(_text(part) for part in (_wall_time(run), run.description, tag_list(run.tags)) if part)
    types = list(dict.fromkeys(type_ for stage in stages for type_ in _types(stage) if type_ not in _IN_COLUMNS))
    rows = (
        [
            stage.name,
            f"{stage.calls:,}",
            duration(stage.time / 1e9),
            *(_shown(stage, type_) for type_ in ("cpu", "memory", *types)),
        ]
        for stage in stages
    )
    columns = ["stage", "calls", "time", "CPU", "memory", *types]
    return _div(
        f"<p>{heading}<br>{about}</p>",
        _html_table(columns, rows, set(range(1, len(columns)))) if stages else "",
        "".join(f"<figure style='margin:0.5em 0'>{sparkline(curve, start, end)}</figure>" for curve in curves),
        f"<p>Each curve goes over the whole run, {duration((end - start) / 1e9)}.</p>" if curves else "",
    )


def _curves(session: Session, run: RunInfo, start: int, end: int) -> list[Curve]:
    known = run_queries.series(session, run.uuid)
    told_apart = labels(known, {process.id: process for process in run_queries.processes(session, run.uuid)})
    return [
        Curve(
            f"{series.type}, {label}" if (label := told_apart[series.id]) else series.type,
            series.unit,
            queries.series_overview(session, series.id, POINTS, start, end),
            rates.reach(series),
        )
        for series in known[:CURVES]
    ]


def sparkline(curve: Curve, start: int, end: int) -> str:
    """Return the course of a series as SVG: a band from lowest to highest, a line of means, and a sentence about it.

    Args:
        curve: The series.
        start: When the SVG begins.
        end: When it ends.
    """
    name, unit, buckets, reach = curve
    if not buckets:
        return f"<figcaption>{_text(name)}: no samples</figcaption>"
    low, high = min(bucket.min for bucket in buckets), max(bucket.max for bucket in buckets)
    mean = sum(bucket.mean * bucket.n for bucket in buckets) / sum(bucket.n for bucket in buckets)
    sentence = (
        f"{safe(name)}: mean {quantity(mean, unit)}, lowest {quantity(low, unit)}, highest {quantity(high, unit)}, "
        f"{sum(bucket.n for bucket in buckets):,} samples"
    )
    across = [_WIDTH * max(0, bucket.t - reach - start) / max(1, end - start) for bucket in buckets]
    upper = [(x, _down(bucket.max, low, high)) for x, bucket in zip(across, buckets, strict=True)]
    lower = [(x, _down(bucket.min, low, high)) for x, bucket in zip(across, buckets, strict=True)]
    means = [(x, _down(bucket.mean, low, high)) for x, bucket in zip(across, buckets, strict=True)]
    return (
        f"<svg role='img' aria-label='{escape(sentence)}' width='{_WIDTH}' height='{_HEIGHT}' "
        f"viewBox='0 -1 {_WIDTH} {_HEIGHT + 2}' preserveAspectRatio='none'>"
        # With an edge, so that a peak of one sample is seen, whose band has no width.
        f"<polygon points='{_points([*upper, *reversed(lower)])}' fill='currentColor' fill-opacity='0.25' "
        "stroke='currentColor' stroke-opacity='0.35'/>"
        f"<polyline points='{_points(means)}' fill='none' stroke='currentColor'/></svg>"
        f"<figcaption>{_text(sentence)}</figcaption>"
    )


def _down(value: float, low: float, high: float) -> float:
    # Halves, since the difference of two finite numbers may be too large for a float.
    height = high / 2 - low / 2
    return _HEIGHT * ((high / 2 - value / 2) / height) if height else _HEIGHT / 2


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _types(stage: Stage) -> Iterable[str]:
    return (used.type for used in stage.metrics.values())


def _shown(stage: Stage, type_: str) -> str:
    return told(stage_queries.of_type(stage.metrics, type_), _value, "; ")


def _value(used: Used) -> str:
    if used.n == 0:
        return used.provenance
    return quantity(used.max if used.type == "memory" else mean_of(used), used.unit)


def _wall_time(run: RunInfo) -> str:
    return "" if run.ended is None else duration((run.ended - run.started) / 1e9)


def _cell(value: Any, kind: Kind) -> str:
    if value is None:
        return MISSING
    match kind:
        case "time":
            return f"{moment(value)}.{value // 1_000_000 % 1000:03}"
        case "duration":
            return duration(value / 1e9)
        case "number":
            return number(value)
        case "data":
            return values.encode(value)
        case _:
            return str(value)


def _text(text: object) -> str:
    return escape(safe(text))


def _div(*parts: str) -> str:
    return f"<div>{''.join(parts)}</div>"


def _html_table(columns: Iterable[str], rows: Iterable[Iterable[str]], right: set[int]) -> str:
    head = "".join(_html_cells("th", columns, right))
    body = "".join("<tr>" + "".join(_html_cells("td", row, right)) + "</tr>" for row in rows)
    return f"<table style='{_STYLE}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cells(element: str, row: Iterable[str], right: set[int]) -> Iterable[str]:
    for index, cell in enumerate(row):
        style = f"padding:2px 10px 2px 0;text-align:{'right' if index in right else 'left'}"
        yield f"<{element} style='{style}'>{_text(cell)}</{element}>"
