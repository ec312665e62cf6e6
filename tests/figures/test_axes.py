"""Axes reach over all values and have a few round ticks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.analysis.figures.axes import time_ticks, value_range, value_ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(FINITE, FINITE)
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
