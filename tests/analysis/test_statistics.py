"""The statistics of comparisons, against values from elsewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.analysis.statistics import adjusted, detectable, log_rank, median_time, runs_needed, welch


def test_welch_gives_the_values_of_a_worked_example() -> None:
    # Student's data on sleep, as the documentation of R has them: p = 0.07939, interval -3.3654832 to 0.2054832.
    first = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    second = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    found = welch(first, second)
    assert found.change == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-6)
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert found.noise == pytest.approx(math.sqrt((2.002249**2 + 1.78901**2) / 2), abs=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([3.0, 3.0], [3.0, 3.0, 3.0], (0, 0, 0, 1, 0)),
        ([0.1 + 0.2, 0.3], [0.3, 0.3], (0, 0, 0, 1, 0)),
        ([3.0, 3.0], [4.0, 4.0], (1, 1, 1, 0, 0)),
        ([0.0, 0.0], [0.0, 0.0], (0, 0, 0, 1, 0)),
    ],
)
def test_without_noise_any_difference_counts_but_that_of_rounding(
    first: list[float], second: list[float], expected: tuple[float, ...]
) -> None:
    assert tuple(welch(first, second)) == expected


def test_one_side_without_noise_is_no_trouble() -> None:
    found = welch([1.0, 1.0, 1.0], [1.1, 1.3, 1.2])
    assert found.low < found.change < found.high
    assert found.p == pytest.approx(0.0742, abs=0.0005)  # t = 3.46 with 2 degrees of freedom


@given(
    st.lists(st.floats(0.1, 10), min_size=2, max_size=8),
    st.lists(st.floats(0.1, 10), min_size=2, max_size=8),
)
def test_the_interval_excludes_no_change_exactly_where_p_is_below_its_limit(
    first: list[float], second: list[float]
) -> None:
    found = welch(first, second)
    assert found.low <= found.change <= found.high
    if abs(found.p - 0.05) > 1e-6:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_false_discoveries_are_controlled_as_benjamini_and_hochberg_did() -> None:
    # The fifteen p values of their paper of 1995, in which four hypotheses are rejected at 0.05.
    paper = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
        1.0,
    ]  # fmt: skip
    assert sum(p <= 0.05 for p in adjusted(paper)) == 4
    assert adjusted([]) == []


@pytest.mark.parametrize(("runs", "effect"), [(3, 0.15), (5, 0.10), (10, 0.066), (20, 0.045)])
def test_how_small_a_change_so_many_runs_show_with_five_percent_noise(runs: int, effect: float) -> None:
    assert detectable(0.05, runs, runs) == pytest.approx(effect, rel=0.03)
    assert runs_needed(0.05, effect * 1.03) == runs


def test_many_runs_are_needed_for_little_and_two_where_there_is_no_noise() -> None:
    assert runs_needed(0.0, 0.05) == 2
    assert detectable(0.0, 5, 5) == 0
    assert runs_needed(3.0, 0.05) is None
    assert runs_needed(1e-9, 0.05) == 2


def test_log_rank_gives_the_values_of_a_worked_example() -> None:
    # Freireich's trial of 6-MP in leukaemia: weeks of remission, and whether it ended; chi squared is 16.79.
    placebo = [(weeks, True) for weeks in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)]
    treated = [(weeks, True) for weeks in (6, 6, 6, 7, 10, 13, 16, 22, 23)]
    treated += [(weeks, False) for weeks in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)]
    p, longer = log_rank(placebo, treated)
    assert longer**2 == pytest.approx(16.79, abs=0.01)
    assert longer > 0
    assert p < 0.0001
    assert median_time(placebo) == 8
    assert median_time(treated) == 23


def test_what_never_ended_says_nothing() -> None:
    never = [(5.0, False), (6.0, False)]
    assert log_rank(never, never) == (1.0, 0.0)
    assert median_time(never) is None
    assert log_rank([(5.0, True)] * 2, [(5.0, True)] * 2) == (1.0, 0.0)
