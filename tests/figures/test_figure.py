"""Figures of stored runs: no peak is hidden at any zoom, and nothing is drawn that is not in the window."""

from __future__ import annotations

import os
import random
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.rows import BEGAN, SECOND, process, run, span
from tests.figures.sampled import INTERVAL, columns_of, covering, figure_of, series, time_of
from umlaut_async.analysis.figures.curves import MOST_CURVES
from umlaut_async.errors import ArgumentError, CorruptStoreError
from umlaut_async.store import queries
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.models import Chunk, Process, key
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store

PEAK = 100.0
MANY = 70 * BLOCK + 1000
"""Samples in more blocks than a figure unpacks of one series."""


@pytest.fixture
def long(store: Store, database: Path) -> tuple[Path, list[float], int]:
    """Return a database with a long series, its values, and where its one high sample is."""
    values = [50 + at % 7 / 10 for at in range(MANY)]
    peak = 41 * BLOCK + 1234
    values[peak] = PEAK
    store(run(ended=time_of(MANY)), process(), *series(values))
    return database, values, peak


def test_no_peak_of_one_sample_is_hidden_at_any_zoom(long: tuple[Path, list[float], int]) -> None:
    database, values, peak = long
    chance = random.Random(6)
    windows = [(0, MANY)] + [
        (max(0, peak - round(before)), min(MANY, peak + round(after)))
        for before, after in ((10 ** chance.uniform(0, 5.3), 10 ** chance.uniform(0, 5.3)) for _ in range(60))
    ]
    seen = set()
    for first, last in windows:
        columns = chance.choice([1, 80, 390, 1000])
        figure = figure_of(database, None, first / 100, last / 100, columns)
        (curve,) = figure.charts[0].curves
        found = columns_of(figure)
        assert len(found) <= columns
        assert (curve.peak, curve.peak_at) == (PEAK, time_of(peak))
        assert [column.high for column in covering(found, time_of(peak))] == [PEAK]
        assert curve.samples == min(last, MANY - 1) - first + 1
        assert curve.low == min(values[first : last + 1])
        seen.add(curve.unpacked)
    assert seen == {True, False}  # both ways of reading have been shown


def test_what_is_outside_of_the_window_is_not_drawn(long: tuple[Path, list[float], int]) -> None:
    database, values, peak = long
    for first, last in ((0, peak - 1), (peak + 1, MANY - 1), (peak - 5000, peak - 1), (peak + 1, peak + 70)):
        (curve,) = figure_of(database, None, first / 100, last / 100).charts[0].curves
        assert curve.peak == max(values[first : last + 1]) < PEAK
        assert curve.samples == last - first + 1
        assert curve.mean == pytest.approx(sum(values[first : last + 1]) / curve.samples)


def test_a_peak_in_the_tail_is_drawn(store: Store, database: Path) -> None:
    values = [1.0] * (BLOCK + 10)
    values[BLOCK + 3] = PEAK
    store(run(), process(), *series(values))
    (curve,) = figure_of(database).charts[0].curves
    assert (curve.peak, curve.peak_at) == (PEAK, time_of(BLOCK + 3))


def test_headers_alone_answer_for_many_blocks(long: tuple[Path, list[float], int], store: Store) -> None:
    database, _, peak = long
    before = figure_of(database)
    with reading(database) as session:
        blocks = [chunk.id for chunk in session.query(Chunk).order_by(Chunk.t0)]
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database)) as connection:
        # The block with the peak is unpacked, to say when it was.
        connection.executemany(
            "update chunk set times = x'00', \"values\" = x'' where id = ?",
            [(block,) for block in blocks if block != blocks[peak // BLOCK]],
        )
        connection.commit()
    assert figure_of(database) == before
    with pytest.raises(CorruptStoreError):
        figure_of(database, None, 0, 10)


def test_series_of_several_processes_are_told_apart(store: Store, database: Path) -> None:
    ranks = [
        Process(id=number, run_uuid="aaaaaaaa-1111", host="h", pid=number, rank=rank, started=BEGAN, last_seen=BEGAN)
        for number, rank in ((1, None), (2, 0), (3, 1))
    ]
    store(run(), *ranks, *(row for number in (1, 2, 3) for row in series([1.0, 2.0], process_id=number)))
    store(*series([5.0], number=2, process_id=3, source="pss"), *series([5.0], number=3, type_="cpu", unit="%"))
    charts = {chart.type: chart for chart in figure_of(database).charts}
    assert [curve.label for curve in charts["memory"].curves] == [
        "process 1",
        "rank 0",
        "rank 1, statm",
        "rank 1, pss",
    ]
    assert [curve.label for curve in charts["cpu"].curves] == ["statm"]


def test_of_very_many_series_the_others_are_one_band_that_hides_no_peak(store: Store, database: Path) -> None:
    store(
        run(ended=BEGAN + SECOND),
        process(),
        *(row for at in range(20) for row in series([1.0, 2.0 + at, 3.0], number=at + 1)),
    )
    (chart,) = figure_of(database).charts
    assert len(chart.curves) == MOST_CURVES
    assert [curve.peak for curve in chart.curves] == [21.0, 20, 19, 18, 17, 16, 15, 14]
    assert chart.curves[-1].label == "13 others"
    assert chart.curves[-1].samples == 13 * 3
    rest = [column for part in chart.curves[-1].parts for column in part]
    assert [column.high for column in covering(rest, time_of(1))] == [14.0]
    assert [column.low for column in covering(rest, time_of(1))] == [2.0]


def test_values_that_are_no_numbers_are_left_out(store: Store, database: Path) -> None:
    values = [1.0] * (66 * BLOCK)
    values[5], values[BLOCK + 6] = float("inf"), float("-inf")
    store(run(ended=time_of(len(values))), process(), *series(values))
    (curve,) = figure_of(database).charts[0].curves
    assert (curve.low, curve.mean, curve.peak, curve.samples) == (1.0, 1.0, 1.0, len(values) - 2)


def test_a_line_ends_where_nothing_was_sampled(store: Store, database: Path) -> None:
    rows = [row for row in series([1.0] * 200) if not (time_of(50) <= getattr(row, "t", 0) < time_of(150))]
    store(run(), process(), *rows)
    (curve,) = figure_of(database).charts[0].curves
    assert [(part[0].first, part[-1].last) for part in curve.parts] == [
        (time_of(0), time_of(49)),
        (time_of(150), time_of(199)),
    ]


def test_metrics_are_chosen_and_ordered(store: Store, database: Path) -> None:
    store(run(), process(), *series([1.0]), *series([1.0], number=2, type_="cpu", unit="%"))
    assert [chart.type for chart in figure_of(database, ["cpu", "memory", "cpu"]).charts] == ["cpu", "memory"]
    assert [chart.type for chart in figure_of(database, ["memory"]).charts] == ["memory"]
    with pytest.raises(ArgumentError, match=r"no samples of 'rss'; sampled were: cpu, memory"):
        figure_of(database, ["rss"])


def test_the_axis_reaches_over_all_that_is_known_of_a_running_run(store: Store, database: Path) -> None:
    open_call = span("train", started=BEGAN + SECOND, duration=None, status="running")
    living = process()
    living.host, living.pid = socket.gethostname(), os.getpid()
    store(run(ended=None, status="running"), living, open_call, *series([1.0] * 500))
    figure = figure_of(database)
    assert (figure.start, figure.end) == (BEGAN, time_of(499))
    (row,) = figure.rows
    assert (row.calls, row.running) == (1, 1)


def test_an_empty_run_has_an_empty_figure(store: Store, database: Path) -> None:
    store(run(ended=BEGAN))
    figure = figure_of(database)
    assert (figure.rows, figure.charts) == ([], [])
    assert figure.end > figure.start
    with pytest.raises(ArgumentError, match="ends before it begins"):
        figure_of(database, None, 5, 4)


def test_reading_a_window_is_what_all_samples_say(long: tuple[Path, list[float], int]) -> None:
    database, _, _ = long
    start, end = time_of(5 * BLOCK - 50), time_of(9 * BLOCK + 50)
    with reading(database) as session:
        every = queries.samples(session, key(1, 1), start, end)
    found = columns_of(figure_of(database, None, (start - BEGAN) / SECOND, (end - BEGAN) / SECOND, 100))
    for column in found:
        within = [
            value for time, value in zip(*every, strict=True) if column.first <= time <= column.last + INTERVAL // 2
        ]
        assert (column.low, column.high, column.weight) == (min(within), max(within), len(within))


def test_what_is_outside_of_a_wide_window_is_not_drawn_either(store: Store, database: Path) -> None:
    values = [1.0] * MANY
    values[10] = values[-1001] = PEAK
    store(run(ended=time_of(MANY)), process(), *series(values))
    (curve,) = figure_of(database, None, 11 / 100, (MANY - 1002) / 100).charts[0].curves
    assert (curve.unpacked, curve.peak, curve.samples) == (False, 1.0, MANY - 1002 - 11 + 1)


def test_a_window_between_two_samples_shows_the_line_between_them(store: Store, database: Path) -> None:
    store(run(ended=BEGAN + SECOND), process(), *series([10.0, 20.0, 40.0]))
    figure = figure_of(database, None, 0.0125, 0.015)
    (curve,) = figure.charts[0].curves
    assert (curve.samples, curve.low, curve.mean, curve.peak) == (0, 25.0, 27.5, 30.0)
    assert [(column.first, column.mean) for column in columns_of(figure)] == [(figure.start, 25.0), (figure.end, 30.0)]
    assert curve.peak_at == figure.end


def test_a_window_between_two_blocks_shows_the_line_between_them(store: Store, database: Path) -> None:
    values = [1.0] * BLOCK + [3.0] * BLOCK
    store(run(ended=time_of(len(values))), process(), *series(values))
    (curve,) = figure_of(database, None, BLOCK / 100 - 0.0075, BLOCK / 100 - 0.0025).charts[0].curves
    assert (curve.low, curve.peak) == (1.5, 2.5)


def test_where_nothing_was_sampled_an_empty_chart_says_so(store: Store, database: Path) -> None:
    store(run(ended=BEGAN + 9 * SECOND), process(), *series([10.0] * 100), *series([], number=2, type_="cpu", unit="%"))
    charts = figure_of(database, None, 2, 3).charts
    assert [(chart.type, chart.curves) for chart in charts] == [("cpu", []), ("memory", [])]
    assert [chart.type for chart in figure_of(database).charts] == ["memory"]  # the report says why elsewhere


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (500, None, "the run ends after 9 s"),
        (500, 600, "the run ends after 9 s"),
        (None, -1, "the window ends before the run begins"),
        (2, 1, "the window ends before it begins"),
        (1, 1, "the window ends before it begins"),
    ],
)
def test_a_window_with_nothing_in_it(
    store: Store, database: Path, since: float | None, until: float | None, said: str
) -> None:
    store(run(ended=BEGAN + 9 * SECOND), process(), span("a", started=BEGAN, duration=SECOND))
    with pytest.raises(ArgumentError, match=f"^{said}$"):
        figure_of(database, None, since, until)
