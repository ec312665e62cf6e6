"""The samples in memory, and the windows on them, against sums made the slow way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.collector.window import SampleLog
from umlaut_async.summary import summarise

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
    found = log.summary(1, start, end)
    assert (found is None) == (not expected)
    if found is not None:
        assert (found.n, found.min, found.max) == (len(expected), min(expected), max(expected))
        assert found.first == expected[0]
        assert found.last == expected[-1]


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
        log.insert(t, value, since)
        covered.append((since, t, value))
    start = data.draw(st.integers(0, t))
    end = data.draw(st.integers(start, t + 1))
    expected = summarise([value for since, until, value in covered if since >= start and until <= end])
    assert log.summary(1, start, end) == expected


@given(st.lists(finite, min_size=8, max_size=60), st.integers(0, 20))
def test_what_leaves_memory_is_carried_by_open_windows(values: list[float], start: int) -> None:
    log = SampleLog()
    for t, value in enumerate(values):
        log.insert(t, value)
        if len(log.times) >= 2 * BLOCK:
            log.forget(0, BLOCK, [(1, start)])
    assert len(log.times) < 2 * BLOCK
    found = log.summary(1, start, len(values))
    expected = summarise(values[start + 1 :])
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found._replace(sum=0) == expected._replace(sum=0)
        assert found.sum == pytest.approx(expected.sum)


def test_a_window_is_forgotten_once_it_was_summarised() -> None:
    log = SampleLog()
    for t in range(8):
        log.insert(t, t)
    log.forget(0, BLOCK, [(1, 0)])
    assert log.summary(1, 0, 100) == summarise([1, 2, 3, 4, 5, 6, 7])
    assert log.summary(1, 0, 100) == summarise([4, 5, 6, 7])


def test_a_late_sample_never_comes_between_settled_ones() -> None:
    log = SampleLog()
    for t in (10, 20, 30):
        log.insert(t, t)
    log.settled = 2
    log.insert(5, 5)
    assert list(log.times) == [10, 20, 5, 30]
