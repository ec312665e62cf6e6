"""The samples in memory, and the windows of calls on them, against sums made the slow way."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umlaut_async.collector import series as series_module
from umlaut_async.collector import tails
from umlaut_async.collector.link import Link
from umlaut_async.collector.series import Series, Taken
from umlaut_async.collector.tails import Tail
from umlaut_async.collector.window import SampleLog, Window
from umlaut_async.probes import Place, Probe
from umlaut_async.store.chunks import unpack
from umlaut_async.summary import Summary, summarise

finite = st.floats(-1e6, 1e6)


BLOCK = 4


@given(st.lists(st.tuples(st.integers(0, 50), finite), max_size=40), st.integers(0, 50), st.integers(0, 50))
def test_a_gauge_window_holds_the_readings_strictly_between_its_edges(
    samples: list[tuple[int, float]], start: int, end: int
) -> None:
    log = SampleLog()
    for t, value in samples:
        log.insert(t, value)
    expected = [value for t, value in sorted(samples, key=lambda sample: sample[0]) if start < t < end]
    assert log.window(1, start, end) == Window(summarise(expected))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), finite), max_size=60), st.data())
def test_a_rate_window_holds_the_rates_that_lie_wholly_within_it(
    steps: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    log = SampleLog(spans=True)
    covered = []
    t = 0
    for length, pause, value in steps:
        since = t + pause
        t = since + length
        covered.append((since, t, value))
    for since, until, value in data.draw(st.permutations(covered)):
        log.insert(until, value, since)
    start = data.draw(st.integers(0, t))
    end = data.draw(st.integers(start, t + 1))
    expected = summarise([value for since, until, value in covered if since >= start and until <= end])
    assert log.window(1, start, end) == Window(expected)


class Script(NamedTuple):
    """What happens to a series, in this order."""

    samples: list[tuple[int, float]]
    """Time and value, in the order of arrival; all times differ."""
    flushed: list[int]
    """After how many samples the writer comes."""
    start: int
    end: int
    known: int
    """After how many samples the call is known to have begun."""
    ended: int | None
    """After how many samples its end is known; None where that is only when its results are made."""


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    times = draw(st.lists(st.integers(0, 200), max_size=60, unique=True))
    samples = [(t, draw(finite)) for t in times]
    count = len(samples)
    start = draw(st.integers(-1, 200))
    known = draw(st.integers(0, count))
    return Script(
        samples,
        sorted(draw(st.lists(st.integers(0, count), max_size=8))),
        start,
        draw(st.integers(start, 201)),
        known,
        draw(st.none() | st.integers(known, count)),
    )


@pytest.fixture(params=["caller", "elsewhere"], autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return where the series is read, with blocks so small that samples are packed and forgotten all the time."""
    monkeypatch.setattr(series_module, "BLOCK", BLOCK)
    monkeypatch.setattr(tails, "BLOCK", BLOCK)
    return Place.CALLER if request.param == "caller" else Place.THREAD


@given(scripts())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_call_has_the_samples_of_its_time_whatever_order_they_come_in(place: Place, script: Script) -> None:
    """Whenever the writer comes, and each sample is stored once."""
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test", place), 1_000_000)
    tail = Tail(7, series, epoch=1000)
    rows: list[tuple[int, float]] = []
    packed: list[tuple[int, float]] = []

    def write() -> None:
        if (written := tail.write()) is None:
            return
        for block in written.blocks:
            times, values = unpack(block.times, block.values)
            assert list(times) == sorted(times)
            packed.extend(zip(times, values, strict=True))
        if written.clear:
            rows.clear()
        rows.extend(written.rows)
        tail.written(written)

    samples = script.samples
    for count in range(len(samples) + 1):
        for _ in range(script.flushed.count(count)):
            write()
        if count == script.known:
            series.windows[1] = script.start
        if count == script.ended:
            series.end_window(1, script.end)
        if count < len(samples):
            t, value = samples[count]
            series.add(Taken(t, value, t))
    write()
    assert sorted(rows + packed) == sorted((t + 1000, value) for t, value in samples)
    found = series.window(1, script.start, script.end)
    inside = [
        value
        for t, value in sorted(samples)
        if script.start < t < script.end or (place is Place.THREAD and t in (script.start, script.end))
    ]
    if found.whole:
        check(found.summary, summarise(inside))
    else:
        # It came to be known so late, or its end did, that others had to be forgotten meanwhile.
        assert len(samples) >= 2 * BLOCK
        assert script.known >= BLOCK or script.ended is None or script.ended >= BLOCK
    assert sorted(series.log.pending_times) == sorted(t - 1000 for t, _ in rows)
    assert len(series.log.times) < 2 * BLOCK


def check(found: Summary | None, expected: Summary | None) -> None:
    """Compare two summaries; sums may be made in another order."""
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found._replace(sum=0) == expected._replace(sum=0)
        assert found.sum == pytest.approx(expected.sum, abs=1e-6)


def test_a_window_that_is_known_in_time_is_whole(place: Place) -> None:
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test", place), 1_000_000)
    series.windows[1] = 0
    for t in range(1, 20 * BLOCK):
        series.add(Taken(t, t, t))
        if t == 10 * BLOCK:
            series.end_window(1, t)
    expected = range(1, 10 * BLOCK + (place is Place.THREAD))
    assert series.window(1, 0, 10 * BLOCK) == Window(summarise([float(t) for t in expected]))


def test_a_call_keeps_its_samples_where_those_of_its_edges_are_one_too_many() -> None:
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test"), 10)
    series.enter(1, 0, 0.0)
    for t in range(1, 2 * BLOCK):
        series.add(Taken(t, t, t))
    series.leave(1, 2 * BLOCK, 0.0)
    assert series.window(1, 0, 2 * BLOCK) == Window(summarise([float(t) for t in range(1, 2 * BLOCK)]))


def test_a_window_whose_samples_were_forgotten_before_it_was_known_says_so(place: Place) -> None:
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test", place), 1_000_000)
    for t in range(10 * BLOCK):
        series.add(Taken(t, t, t))
    assert not series.window(1, 0, 10 * BLOCK).whole
    assert series.window(2, 9 * BLOCK, 10 * BLOCK).whole


def test_a_window_is_forgotten_once_it_was_summarised(place: Place) -> None:
    series = Series(Link(), 1, "kind", "unit", "words", Probe("key", float, "test", place), 1_000_000)
    series.windows[1] = 0
    for t in range(1, 10):
        series.add(Taken(t, t, t))
    assert series.window(1, 0, 100) == Window(summarise([float(t) for t in range(1, 10)]))
    assert not series.window(1, 0, 100).whole


def test_samples_that_are_dropped_unstored_still_count_for_calls(place: Place) -> None:
    link = Link()
    link.pressed = True
    series = Series(link, 1, "kind", "unit", "words", Probe("key", float, "test", place), 1_000_000)
    series.windows[1] = 0
    for t in range(1, 2 * BLOCK):
        series.add(Taken(t, t, t))
        series.make_room()
    assert series.dropped
    assert len(series.log.pending_times) + series.dropped == 2 * BLOCK - 1
    assert series.window(1, 0, 100) == Window(summarise([float(t) for t in range(1, 2 * BLOCK)]))
