"""The verdicts on two groups of runs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analysis.simulated import TIME, Run, group, times_to_accuracy
from umlaut_async.analysis.comparison import Row, Verdict, compare_groups
from umlaut_async.analysis.gate import check, parse_rule
from umlaut_async.analysis.observations import Observed, Quantity
from umlaut_async.analysis.wording import cells


def only(rows: list[Row]) -> Row:
    (row,) = rows
    return row


SLOW = group(1.20, 1.22, 1.19, 1.21, 1.18)
FAST = group(1.00, 1.02, 0.99, 1.01, 0.98)


def test_higher_lower_and_which_is_better() -> None:
    higher, lower = only(compare_groups(FAST, SLOW)), only(compare_groups(SLOW, FAST))
    assert (higher.verdict, higher.better) == (Verdict.HIGHER, False)
    assert (lower.verdict, lower.better) == (Verdict.LOWER, True)
    assert higher.change == pytest.approx(0.2, abs=0.001)
    assert higher.low is not None
    assert higher.high is not None
    assert 0.15 < higher.low < 0.2 < higher.high < 0.25


@pytest.mark.parametrize(
    ("type_", "better_when_higher"),
    [
        ("throughput", True), ("tta", True), ("accuracy", True), ("time", False), ("memory", False), ("energy", False),
        ("loss", False), ("latency", False), ("cpu", None), ("power", None), ("own", None),
    ],
)  # fmt: skip
def test_the_metric_says_which_is_better(type_: str, better_when_higher: bool | None) -> None:
    quantity = Quantity("train", type_)
    row = only(compare_groups(group(1.0, 1.01, 0.99, quantity=quantity), group(2.0, 2.01, 1.99, quantity=quantity)))
    assert (row.verdict, row.better) == (Verdict.HIGHER, better_when_higher)


def test_same_needs_proof_and_inconclusive_says_how_many_runs_would_do() -> None:
    same = only(compare_groups(FAST, FAST))
    assert same.verdict is Verdict.SAME
    noisy = group(*(1 + (value - 1) * 10 for value in (1.00, 1.02, 0.99, 1.01, 0.98)))
    inconclusive = only(compare_groups(noisy, noisy))
    assert inconclusive.verdict is Verdict.INCONCLUSIVE
    assert inconclusive.runs_needed is not None
    assert 50 < inconclusive.runs_needed < 500
    assert only(compare_groups(noisy, noisy, margin=0.5)).verdict is Verdict.SAME


def test_a_real_but_small_change_is_the_same_and_a_greater_one_is_not() -> None:
    base = group(1.000, 1.001, 0.999, 1.0005, 0.9995)
    assert only(compare_groups(base, group(1.010, 1.011, 1.009, 1.0105, 1.0095))).verdict is Verdict.SAME
    assert only(compare_groups(base, group(1.060, 1.061, 1.059, 1.0605, 1.0595))).verdict is Verdict.HIGHER


@pytest.mark.parametrize(("base", "new"), [(group(1.0), group(9.0)), (group(1.0), SLOW), (SLOW, group(0.01))])
def test_one_run_on_a_side_never_has_a_verdict(base: list[Run], new: list[Run]) -> None:
    row = only(compare_groups(base, new))
    assert (row.verdict, row.p, row.p_adjusted, row.low, row.better) == (Verdict.SINGLE_RUN, None, None, None, None)
    assert row.change is not None


def test_what_only_one_side_has_is_missing() -> None:
    other = Quantity("validate", "time")
    rows = compare_groups(FAST, group(1.0, 1.0, quantity=other))
    assert [(row.verdict, row.reason) for row in rows] == [
        (Verdict.MISSING, "only in base"),
        (Verdict.MISSING, "only in new"),
    ]


def test_the_more_rows_the_stronger_the_evidence_must_be() -> None:
    base, new = group(1.00, 1.05, 0.95), group(1.13, 1.17, 1.09)
    alone = only(compare_groups(base, new))
    assert alone.verdict is Verdict.HIGHER
    for runs in (base, new):
        for number, run in enumerate(runs):
            for other in range(20):
                run[Quantity(f"other {other}", "time")] = Observed(1 + (number * (other + 1) % 3) / 10, "sec")
    (row, *_) = compare_groups(base, new)
    assert (row.p, row.verdict) == (alone.p, Verdict.INCONCLUSIVE)
    assert row.p_adjusted is not None
    assert alone.p_adjusted is not None
    assert row.p_adjusted > alone.p_adjusted


def test_rows_without_noise_and_difference_cost_no_power() -> None:
    base, new = group(1.00, 1.05, 0.95), group(1.13, 1.17, 1.09)
    for run in (*base, *new):
        for other in range(20):
            run[Quantity(f"other {other}", "memory")] = Observed(100.0, "MiB")
    (row, *others) = compare_groups(base, new)
    assert row.verdict is Verdict.HIGHER
    assert {other.verdict for other in others} == {Verdict.SAME}


def test_only_some_metrics_are_compared_if_asked() -> None:
    base, new = FAST, [{**run, Quantity("train", "memory"): Observed(1.0, "MiB")} for run in FAST]
    assert [row.label for row in compare_groups(base, new)] == ["train/time", "train/memory"]
    for pattern in ("memory", "train/memory", "mem*", "*/memory"):
        assert [row.label for row in compare_groups(base, new, metrics=[pattern])] == ["train/memory"]


def test_scores_are_compared_by_differences_within_half_a_point() -> None:
    accuracy = Quantity("", "tta", "validation accuracy")
    base = group(0.980, 0.981, 0.982, quantity=accuracy, unit="accuracy")
    close = only(compare_groups(base, group(0.979, 0.980, 0.981, quantity=accuracy, unit="accuracy")))
    worse = only(compare_groups(base, group(0.969, 0.970, 0.971, quantity=accuracy, unit="accuracy")))
    assert (close.relative, close.verdict, close.margin, close.label) == (
        False,
        Verdict.SAME,
        0.005,
        "validation accuracy",
    )
    assert (worse.verdict, worse.better) == (Verdict.LOWER, False)
    assert worse.change == pytest.approx(-0.011)


def test_a_share_of_nothing_is_a_difference() -> None:
    io = Quantity("train", "io")
    row = only(compare_groups(group(0.0, 0.0, 1.0, quantity=io), group(0.0, 2.0, 0.5, quantity=io)))
    assert (row.relative, row.verdict) == (False, Verdict.INCONCLUSIVE)
    assert row.change == pytest.approx(0.5)


def test_a_renamed_metric_is_the_same_metric_but_two_of_a_type_are_told_apart() -> None:
    def runs(*descriptions: str) -> list[dict[Quantity, Observed]]:
        return [{Quantity("train", "cpu", name): Observed(50.0 + n, "%") for name in descriptions} for n in (0, 1)]

    assert [row.label for row in compare_groups(runs("train cpu"), runs("CPU of training"))] == ["train/cpu"]
    told_apart = compare_groups(runs("own", "tree"), runs("own", "tree"))
    assert [row.label for row in told_apart] == ["train/cpu (own)", "train/cpu (tree)"]


def test_what_is_not_finite_has_no_verdict_and_says_why() -> None:
    loss = Quantity("", "loss", "validation loss")
    base = group(0.1, 0.2, 0.3, quantity=loss)
    row = only(compare_groups(base, group(0.1, math.nan, math.inf, quantity=loss)))
    assert (row.verdict, row.reason) == (Verdict.INCONCLUSIVE, "not finite, or too large: 2 of 3 new")
    assert only(compare_groups(base, group(math.nan, quantity=loss))).verdict is Verdict.INCONCLUSIVE


@given(
    st.lists(st.floats() | st.floats(1e-300, 1e300), min_size=1, max_size=5),
    st.lists(st.floats() | st.floats(1e-300, 1e300), min_size=1, max_size=5),
    st.sampled_from(["time", "loss", "tta", "cpu", "own"]),
)
@settings(max_examples=300, deadline=None)
def test_any_numbers_can_be_compared(base: list[float], new: list[float], type_: str) -> None:
    quantity = Quantity("train", type_)
    row = only(compare_groups(group(*base, quantity=quantity), group(*new, quantity=quantity)))
    cells(row)
    check([parse_rule("*:5%"), parse_rule("*:1")], [row], min_runs=2)
    assert row.runs_needed is None or row.runs_needed >= 2
    if row.verdict in (Verdict.HIGHER, Verdict.LOWER):
        assert min(len(base), len(new)) >= 2


def test_different_units_are_not_compared() -> None:
    row = only(compare_groups(FAST, group(1.0, 1.0, 1.0, unit="ms")))
    assert (row.verdict, row.reason) == (Verdict.INCONCLUSIVE, "in different units: ms, sec")


def test_times_to_accuracy_are_compared_as_times_where_all_runs_reached_it() -> None:
    row = only(compare_groups(times_to_accuracy(31, 30, 32), times_to_accuracy(38, 37, 39)))
    assert (row.verdict, row.better) == (Verdict.HIGHER, False)
    assert row.low is not None


def test_runs_that_never_reached_an_accuracy_count() -> None:
    base = times_to_accuracy(30, 31, 32, 33, 34)
    never = only(compare_groups(base, times_to_accuracy(-60, -60, -60, -60, -60)))
    assert (never.verdict, never.better, never.new.reached, never.new.center) == (Verdict.HIGHER, False, 0, None)
    one = only(compare_groups(base, times_to_accuracy(38, 39, 40, 41, -60)))
    assert (one.verdict, one.new.reached) == (Verdict.HIGHER, 4)
    assert one.change == pytest.approx(40 / 32 - 1)
    back = only(compare_groups(times_to_accuracy(-60, -60, -60, -60, -60), base))
    assert (back.verdict, back.better) == (Verdict.LOWER, True)
    # Were it left out, these two would look alike.
    assert only(compare_groups(base, times_to_accuracy(30, 31, 32, 33, -60))).verdict is Verdict.INCONCLUSIVE
    nobody = only(compare_groups(times_to_accuracy(-9, -9), times_to_accuracy(-9, -9)))
    assert (nobody.verdict, nobody.reason) == (Verdict.INCONCLUSIVE, "never reached")


def test_counts_are_shown_where_they_differ() -> None:
    calls, errors = Quantity("train", "calls"), Quantity("train", "errors")
    alike = [{TIME: Observed(1.0, "sec"), calls: Observed(3, ""), errors: Observed(0, "")}] * 2
    assert [row.label for row in compare_groups(alike, alike) if not row.dull] == ["train/time"]
    failing = [{**run, calls: Observed(4, ""), errors: Observed(1, "")} for run in alike]
    rows = {row.label: row for row in compare_groups(alike, failing) if not row.dull}
    assert (rows["train/calls"].verdict, rows["train/calls"].better) == (Verdict.HIGHER, None)
    assert (rows["train/errors"].verdict, rows["train/errors"].better) == (Verdict.HIGHER, False)
