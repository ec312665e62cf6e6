"""Rows of series made by hand, and figures of what is stored."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from tests.cli.rows import BEGAN, SECOND
from umlaut_async.analysis.figures.figure import Figure, build
from umlaut_async.analysis.selectors import select_one
from umlaut_async.store.chunks import BLOCK, pack
from umlaut_async.store.models import Base, Chunk, Sample, Series, key
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from umlaut_async.analysis.figures.bands import Column

INTERVAL = SECOND // 100


def series(values: Sequence[float], number: int = 1, type_: str = "memory", **columns: Any) -> list[Base]:
    """Return a series with a sample each hundredth of a second: full blocks packed, the others as the tail."""
    given: dict[str, Any] = {"process_id": 1, "unit": "MiB", "source": "statm", "provenance": "measured"}
    given |= columns
    series_id = key(given["process_id"], number)
    first = key(given["process_id"], number * 1_000_000)
    rows: list[Base] = [Series(id=series_id, type=type_, interval=INTERVAL, **given)]
    times = array("q", [time_of(at) for at in range(len(values))])
    full = len(values) // BLOCK * BLOCK
    for start in range(0, full, BLOCK):
        packed = pack(times[start : start + BLOCK], array("d", values[start : start + BLOCK]))
        rows.append(Chunk(id=first + start, series_id=series_id, **packed._asdict()))
    tail = range(full, len(values))
    return [*rows, *(Sample(id=first + at, series_id=series_id, t=times[at], value=values[at]) for at in tail)]


def time_of(at: int) -> int:
    """Return the time of a sample."""
    return BEGAN + at * INTERVAL


def figure_of(database: Path, *arguments: Any, **named: Any) -> Figure:
    """Return a figure of the newest run."""
    with reading(database) as session:
        return build(session, select_one(session), *arguments, **named)


def columns_of(figure: Figure, chart: int = 0) -> list[Column]:
    """Return all columns of a chart."""
    return [column for curve in figure.charts[chart].curves for part in curve.parts for column in part]


def covering(columns: Iterable[Column], time: int) -> list[Column]:
    """Return the columns in which a time is."""
    return [column for column in columns if column.first <= time <= column.last]
