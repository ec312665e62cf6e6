"""A rate is drawn over the time for which it was reckoned: since the sample before, not from its own time on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

import umlaut_async
from tests.cli.rows import BEGAN, SECOND, process, run, span
from tests.figures.sampled import INTERVAL, columns_of, covering, figure_of, series, time_of
from umlaut_async import CPUMetric, IOMetric, Metric, PowerMetric
from umlaut_async.analysis import rates
from umlaut_async.analysis.figures.characters import LABEL
from umlaut_async.metrics.waiting import AwaitMetric
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.models import Sample
from umlaut_async.store.run_queries import SeriesRow

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

IO: dict[str, Any] = {"type_": "io", "unit": "MiB/s", "source": "proc-io"}
A_BEGAN, A_ENDED, END = 40, 60, 100
"""In intervals since the start of the run."""


@pytest.fixture
def only_in_a(store: Store, database: Path) -> Path:
    """Return a run with I/O in one of its three stages; each sample holds what happened since the one before."""
    rates_of_a = [9.0 if A_BEGAN < at <= A_ENDED else 0.0 for at in range(END + 1)]
    store(
        run(ended=time_of(END)),
        process(),
        *(
            span(name, started=time_of(first), duration=(last - first) * INTERVAL)
            for name, first, last in (("before", 0, A_BEGAN), ("a", A_BEGAN, A_ENDED), ("after", A_ENDED, END))
        ),
        *series(rates_of_a, **IO),
    )
    return database


@pytest.mark.parametrize("columns", [10, 82, 100, 1000])
def test_columns_are_over_the_stage(only_in_a: Path, columns: int) -> None:
    figure = figure_of(only_in_a, columns=columns)
    high = [column for column in columns_of(figure) if column.low == 9]
    assert (high[0].first, high[-1].last) == (time_of(A_BEGAN) + 1, time_of(A_ENDED))
    found = columns_of(figure)
    assert [column.first for column in found[1:]] == [column.last + 1 for column in found[:-1]]
    (curve,) = figure.charts[0].curves
    assert len(curve.parts) == 1
    assert curve.peak_at == time_of(A_BEGAN) + 1


def test_a_page_shows_it_over_the_stage(only_in_a: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    assert umlaut("plot", only_in_a, "--html", page).exit_code == 0
    text = page.read_text("utf-8")
    assert "peak 9 MiB/s at 400 ms" in text
    (band,) = re.findall(r'class="band c0" d="([^"]*)"', text)
    places = [(float(x), float(y), float(until)) for x, y, until in re.findall(r"[ML]([\d.]+) ([\d.]+)H([\d.]+)", band)]
    top = min(y for _, y, _ in places)
    high = [(x, until) for x, y, until in places if y == top]
    assert (min(min(each) for each in high), max(max(each) for each in high)) == (400, 600)


def test_text_shows_it_under_the_stage(only_in_a: Path, umlaut: Umlaut) -> None:
    # With two characters for each sample.
    lines = umlaut("plot", only_in_a, "--width", 218).stdout.splitlines()
    (stage,) = [line for line in lines if line.startswith("a ")]
    top = lines[next(at for at, line in enumerate(lines) if "peak" in line) + 1]
    bars = [at for at, shape in enumerate(stage[LABEL : -len(" 1 call")]) if shape == "█"]
    peak = [at for at, shape in enumerate(top[LABEL:]) if shape in "█░"]
    assert [peak[0], peak[-1]] == pytest.approx([bars[0], bars[-1]], abs=1)


def test_a_counter_has_its_value_while_the_stage_runs(only_in_a: Path, umlaut: Umlaut) -> None:
    events = json.loads(umlaut("export", only_in_a, "-f", "chrome").stdout)["traceEvents"]
    (begin, end) = (event["ts"] for event in events if event["name"] == "a")
    counters = [(event["ts"], event["args"]["MiB/s"]) for event in events if event["ph"] == "C"]
    assert len(counters) == END + 1
    high = [at for at, value in counters if value == 9]
    (after,) = [at for at, value in counters if at > high[-1]][:1]
    assert [high[0], after] == pytest.approx([begin, end], abs=0.002)
    assert counters[0][0] == 0  # not before the start of the trace


def test_blocks_begin_one_interval_before_their_first_sample(store: Store, database: Path) -> None:
    values = [0.0] * 70 * BLOCK
    values[41 * BLOCK] = 5.0
    store(run(ended=time_of(len(values))), process(), *series(values, **IO))
    figure = figure_of(database)
    (curve,) = figure.charts[0].curves
    assert not curve.unpacked
    assert curve.peak_at == time_of(41 * BLOCK - 1) + 1
    assert [column.high for column in covering(columns_of(figure), curve.peak_at)] == [5.0]


def test_after_a_gap_a_rate_counts_for_one_interval(store: Store, database: Path) -> None:
    rows = [row for row in series([1.0] * 200, **IO) if not (time_of(50) <= getattr(row, "t", 0) < time_of(150))]
    rows = [row for row in rows if getattr(row, "t", 0) != time_of(20)]  # one missed tick is no gap
    store(run(), process(), *rows)
    (curve,) = figure_of(database).charts[0].curves
    assert [(part[0].first, part[-1].last) for part in curve.parts] == [
        (time_of(0), time_of(49)),
        (time_of(149) + 1, time_of(199)),
    ]


def test_a_window_between_two_samples_shows_the_rate_over_it(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(run(ended=BEGAN + 2 * SECOND), process(), *series([0.0, 1.0, 7.0, 1.0], **IO))
    figure = figure_of(database, None, 0.012, 0.018)
    (column,) = columns_of(figure, 0)
    assert (column.first, column.last, column.low, column.high) == (figure.start, figure.end, 7.0, 7.0)
    assert (
        "io: mean 7 MiB/s, peak 7 MiB/s at 12 ms, 1 sample."
        in umlaut("plot", database, "--from", 0.012, "--to", 0.018).stdout
    )
    # Where the one before the window was the last for long, none counts for it.
    store(Sample(id=999, series_id=figure_series(database), t=time_of(150), value=3.0))
    assert figure_of(database, None, 0.5, 0.6).charts[0].curves == []


def figure_series(database: Path) -> int:
    """Return the key of the only series."""
    from tests import support

    (row,) = support.read(database, "select id from series")
    return int(row["id"])


def test_every_metric_whose_samples_are_rates_is_drawn_as_one() -> None:
    sampled = [
        value("it")
        for value in vars(umlaut_async).values()
        if isinstance(value, type) and issubclass(value, Metric) and value not in (Metric, AwaitMetric)
    ]
    found = {}
    for metric in [*sampled, CPUMetric("c", children=True), IOMetric("i", children=True)]:
        probe = metric.probe()
        if probe is not None and metric.interval is not None:
            row = SeriesRow(1, 1, metric.measure_type, metric.unit, probe.source, "measured", SECOND, "")
            found[metric.measure_type] = probe.rate is not None
            assert rates.reach(row) == (SECOND if probe.rate else 0), metric
    assert {CPUMetric.measure_type, IOMetric.measure_type, PowerMetric.measure_type} == {
        name for name, is_rate in found.items() if is_rate
    }
    assert len(found) > 5
    own = SeriesRow(1, 1, "cpu", "%", "user", "measured", SECOND, "")
    assert rates.reach(own) == 0
