"""Axes reach over all values and have a few round ticks."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from umlaut_async.analysis.figures.axes import time_ticks, value_range, value_ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(FINITE, FINITE)
@example(1.7976931348623157e308, -1.0706877180435119e307)
def test_an_axis_of_values_reaches_over_them(a: float, b: float) -> None:
    low, high = sorted((a, b))
    bottom, top = value_range(low, high)
    assert -math.inf < bottom <= low <= high <= top < math.inf
    assert bottom < top
    ticks = value_ticks(bottom, top)
    assert len(ticks) <= 6
    assert all(-0.001 <= tick.at <= 1.001 for tick in ticks)


@given(st.floats(0, 1e9), st.floats(1e-9, 1e9))
def test_an_axis_of_time_has_a_few_ticks_within_it(start: float, length: float) -> None:
    ticks = time_ticks(start, start + length)
    assert len(ticks) <= 7
    assert all(0 <= tick.at <= 1 + 1e-6 for tick in ticks)


@pytest.mark.parametrize(
    ("end", "labels"),
    [
        (1.7, ["0", "500 ms", "1 s", "1.5 s"]),
        (61, ["0", "20 s", "40 s", "1 min"]),
        (5400, ["0", "15 min", "30 min", "45 min", "1 h", "1 h 15 min", "1 h 30 min"]),
    ],
)
def test_ticks_of_time_are_round(end: float, labels: list[str]) -> None:
    assert [tick.label for tick in time_ticks(0, end)] == labels


def test_an_axis_starts_at_zero_unless_the_curve_would_be_flat() -> None:
    assert value_range(20, 100)[0] == 0
    assert 80 < value_range(95, 100)[0] < 95
    assert value_range(-5, 5)[0] < -5
    assert [tick.label for tick in value_ticks(0, 105)] == ["0", "50", "100"]


@pytest.mark.parametrize(
    ("high", "labels"),
    [
        (156e-6, ["0", "50 µs", "100 µs", "150 µs"]),
        (3e-7, ["0", "100 ns", "200 ns", "300 ns"]),
        (0.2, ["0", "100 ms", "200 ms"]),
        (2.0, ["0", "1 s", "2 s"]),
        (300.0, ["0", "100 s", "200 s", "300 s"]),
    ],
)
def test_ticks_of_short_times_have_the_unit_that_fits(high: float, labels: list[str]) -> None:
    assert [tick.label for tick in value_ticks(*value_range(0, high), "sec")] == labels


def test_ticks_of_small_values_are_short() -> None:
    assert [tick.label for tick in value_ticks(0, 1.05e-5, "J")] == ["0", "5e-06", "1e-05"]


@pytest.mark.parametrize(
    ("start", "end", "labels"),
    [
        (10.0, 10.02, ["10 s", "10.005 s", "10.01 s", "10.015 s", "10.02 s"]),
        (100.0, 100.04, ["100 s", "100.01 s", "100.02 s", "100.03 s", "100.04 s"]),
    ],
)
def test_ticks_of_a_short_time_differ(start: float, end: float, labels: list[str]) -> None:
    assert [tick.label for tick in time_ticks(start, end)] == labels
