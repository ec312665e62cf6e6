"""What drawing a run of ten million samples takes."""

from __future__ import annotations

import sqlite3
import time
from array import array
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.benchmarks.harness import Figures, Row, timed
from tests.support import filling
from umlaut_async.analysis.figures.figure import build
from umlaut_async.analysis.figures.report import figure_page
from umlaut_async.analysis.selectors import select_one
from umlaut_async.store.chunks import BLOCK, pack
from umlaut_async.store.models import Process, Run, Series, key
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = 10_000_000
SERIES = 4
INTERVAL = 1_000_000
ALLOWED = 1.0
PEAK = 1000.0


def fill(path: Path) -> None:
    """Write a run with ten million samples, one of them higher than all others."""
    began = time.time_ns()
    length = SAMPLES // SERIES
    with filling(path) as session:
        ended = began + length * INTERVAL
        session.add(
            Run(
                uuid="ten-million", description="", name="long", tags=[], started=began, ended=ended, status="ok",
                environment={}, collector={},
            )
        )  # fmt: skip
        session.add(Process(id=1, run_uuid="ten-million", host="", pid=1, started=began, last_seen=ended, ended=ended))
        for number in range(SERIES):
            session.add(
                Series(
                    id=key(1, number), process_id=1, type=f"type {number}", unit="MiB", source="",
                    provenance="measured", interval=INTERVAL,
                )
            )  # fmt: skip
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(f"insert into chunk values ({', '.join('?' * 12)})", blocks(began, length))


def blocks(began: int, length: int) -> Iterator[tuple[object, ...]]:
    """Give the rows of all blocks; each series begins at once."""
    values = array("d", [float(at % 97) for at in range(BLOCK)])
    for number in range(SERIES):
        for start in range(0, length, BLOCK):
            size = min(BLOCK, length - start)
            times = array("q", range(began + start * INTERVAL, began + (start + size) * INTERVAL, INTERVAL))
            chosen = values[:size]
            if number == 1 and start == 100 * BLOCK:
                chosen[1234] = PEAK
            yield key(1, number * 1_000_000 + start // BLOCK), key(1, number), *pack(times, chosen)


def draw(path: Path) -> None:
    """Read what a figure shows, and make its page."""
    with reading(path) as session:
        figure = build(session, select_one(session))
    if sum(curve.samples for chart in figure.charts for curve in chart.curves) != SAMPLES:
        raise RuntimeError("not all samples are in the figure")
    if max(chart.high for chart in figure.charts) != PEAK:
        raise RuntimeError("the peak is hidden")
    figure_page(figure)


def ten_million() -> Figures:
    """Compare with the second that is allowed."""
    figures = Figures([], [])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        fill(path)
        for _ in range(5):
            figures.ours.append(timed(lambda: draw(path)))
            figures.peer.append(ALLOWED)
    return figures


ROWS = [Row("figure", "ten million samples read and drawn as a page", "the second that is allowed", ten_million, 1.0)]
