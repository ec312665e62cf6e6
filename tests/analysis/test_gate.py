"""The gate: what it lets pass, how often it is wrong, and that it never says "passed" of what it cannot tell."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.analysis.simulated import Run, group, simulated, times_to_accuracy
from umlaut_async.analysis.comparison import compare_groups
from umlaut_async.analysis.gate import Finding, check, parse_rule
from umlaut_async.analysis.observations import Observed, Quantity
from umlaut_async.errors import ArgumentError

PAIRS = 2000
RUNS = 5


def judge(rule: str, base: list[Run], new: list[Run], *, min_runs: int = RUNS, strict: bool = False) -> list[Finding]:
    return check([parse_rule(rule)], compare_groups(base, new), min_runs=min_runs, strict=strict)


def outcome(rule: str, base: list[Run], new: list[Run], *, min_runs: int = RUNS, strict: bool = False) -> str:
    (finding,) = judge(rule, base, new, min_runs=min_runs, strict=strict)
    return finding.outcome


def simulate(times: float, pairs: int = PAIRS, metrics: int = 1) -> Counter[str]:
    """Return how often the gate `time:5%` says what, per metric, of pairs of runs with 5 % noise."""
    source = random.Random(6)
    counts: Counter[str] = Counter()
    for _ in range(pairs):
        base = simulated(source, RUNS, metrics=metrics)
        new = simulated(source, RUNS, times, metrics=metrics)
        counts.update(finding.outcome for finding in judge("time:5%", base, new))
    assert counts.total() == pairs * metrics
    return counts


def test_false_alarms_are_rare() -> None:
    counts = simulate(1.0)
    assert counts["failed"] <= 0.03 * PAIRS
    # Nor does it trouble people by not being able to tell.
    assert counts["cannot tell"] <= 0.01 * PAIRS


def test_false_alarms_are_rare_among_many_metrics() -> None:
    assert simulate(1.0, pairs=100, metrics=10)["failed"] <= 0.03 * 1000


def test_ten_percent_are_seen_often_and_twenty_nearly_always() -> None:
    assert simulate(1.1)["failed"] >= 0.65 * PAIRS
    assert simulate(1.2)["failed"] >= 0.99 * PAIRS


def test_one_run_a_side_never_fails_nor_passes() -> None:
    source = random.Random(6)
    for times in (1.0, 1.1, 100.0):
        assert outcome("time:5%", simulated(source, 1), simulated(source, 1, times), min_runs=2) == "cannot tell"
        assert outcome("time:5%", simulated(source, 5), simulated(source, 1, times), min_runs=2) == "cannot tell"


BASE = group(1.00, 1.02, 0.99, 1.01, 0.98)
SLOWER = group(1.10, 1.12, 1.09, 1.11, 1.08)


def test_fails_passes_or_cannot_tell() -> None:
    assert outcome("time:5%", BASE, SLOWER) == "failed"
    assert outcome("train/time:5%", BASE, SLOWER) == "failed"
    assert outcome("t*:5%", BASE, SLOWER) == "failed"
    assert outcome("time:20%", BASE, SLOWER) == "passed"
    assert outcome("time:5%", SLOWER, BASE) == "passed"
    assert outcome("time:5%", BASE, BASE) == "passed"
    assert outcome("tiem:5%", BASE, SLOWER) == "nothing to compare"
    assert outcome("memory:5%", BASE, SLOWER) == "nothing to compare"


def test_with_few_runs_it_may_fail_but_not_pass() -> None:
    assert outcome("time:5%", BASE[:3], SLOWER[:3]) == "failed"
    assert outcome("time:5%", BASE[:3], BASE[:3]) == "cannot tell"
    assert outcome("time:5%", BASE[:3], BASE[:3], min_runs=3) == "passed"
    assert outcome("time:5%", BASE, BASE[:4]) == "cannot tell"


def test_runs_too_noisy_to_show_anything_do_not_pass() -> None:
    noisy = group(1.0, 3.0, 0.4, 2.0, 0.7)
    (finding,) = judge("time:5%", noisy, noisy)
    assert (finding.outcome, finding.reason.partition(":")[0]) == ("cannot tell", "too noisy")
    assert outcome("time:300%", noisy, noisy) == "passed"


def test_a_floor_and_a_limit_in_the_unit_of_the_metric() -> None:
    assert outcome("time:5%,min=50ms", BASE, SLOWER) == "failed"
    assert outcome("time:5%,min=200ms", BASE, SLOWER) == "passed"
    assert outcome("time:5%,min=0.05", BASE, SLOWER) == "failed"
    assert outcome("time:90ms", BASE, SLOWER) == "failed"
    assert outcome("time:0.11s", BASE, SLOWER) == "passed"
    memory = Quantity("train", "memory")
    small, large = (group(*(value + n for n in range(5)), quantity=memory, unit="MiB") for value in (1000, 1200))
    assert outcome("memory:0.1GiB", small, large) == "failed"
    assert outcome("memory:1GiB", small, large) == "passed"
    energy = Quantity("train", "energy")
    little, much = (group(*(value + n for n in range(5)), quantity=energy, unit="µJ") for value in (5e6, 7e6))
    assert outcome("energy:1J", little, much) == "failed"
    assert outcome("energy:5%,min=3J", little, much) == "passed"


def test_strict_wants_the_whole_interval_beyond_the_limit() -> None:
    assert outcome("time:9.5%", BASE, SLOWER) == "failed"
    assert outcome("time:9.5%", BASE, SLOWER, strict=True) == "passed"
    assert outcome("time:5%", BASE, SLOWER, strict=True) == "failed"


def test_the_limit_is_one_for_the_worse() -> None:
    throughput, cpu = Quantity("train", "throughput"), Quantity("train", "cpu")
    high, low = (group(value, value + 1, value - 1, value + 2, value - 2, quantity=throughput) for value in (120, 100))
    assert outcome("throughput:5%", high, low) == "failed"
    assert outcome("throughput:5%", low, high) == "passed"
    # Where it is not known what is better, any change counts.
    high, low = (group(value, value + 1, value - 1, value + 2, value - 2, quantity=cpu) for value in (120, 100))
    assert outcome("cpu:5%", high, low) == outcome("cpu:5%", low, high) == "failed"


def test_accuracies_and_losses() -> None:
    accuracy = Quantity("", "accuracy", "validation accuracy")
    good, bad = (group(*(value + n / 1000 for n in range(5)), quantity=accuracy) for value in (0.97, 0.95))
    assert outcome("accuracy:0.01", good, bad) == "failed"
    assert outcome("accuracy:1%", good, bad) == "failed"
    assert outcome("validation accuracy:0.05", good, bad) == "passed"
    assert outcome("accuracy:0.01", bad, good) == "passed"
    loss = Quantity("", "loss", "validation loss")
    finite = group(0.1, 0.11, 0.12, 0.1, 0.11, quantity=loss)
    assert outcome("loss:5%", finite, group(0.1, 0.11, 0.12, 0.1, float("nan"), quantity=loss)) == "nothing to compare"


def test_what_only_some_runs_have_cannot_be_told() -> None:
    assert outcome("time:50%", [*BASE, {}], BASE) == "cannot tell"
    assert outcome("time:50%", BASE, [*BASE, {}]) == "cannot tell"
    only_new = group(1, 1, quantity=Quantity("new", "time"))
    assert {finding.outcome for finding in judge("*:50%", BASE, only_new)} == {"nothing to compare"}


def test_times_to_accuracy_that_were_not_reached() -> None:
    base = times_to_accuracy(30, 31, 32, 33, 34)
    assert outcome("timed tta:5%", base, times_to_accuracy(-60, -60, -60, -60, -60)) == "failed"
    assert outcome("timed tta:5%", base, times_to_accuracy(38, 39, 40, 41, -60)) == "failed"
    assert outcome("timed tta:5%", base, times_to_accuracy(30, 31, 32, 33, -60)) == "cannot tell"
    assert outcome("timed tta:5%", times_to_accuracy(30, 31, 32, 33, -60), base) == "passed"
    never = times_to_accuracy(-60, -60, -60, -60, -60)
    assert outcome("timed tta:5%", never, never) == "cannot tell"
    assert outcome("timed tta:5%", never, base) == "passed"
    seldom = times_to_accuracy(30, 31, -60, -60, -60)
    assert outcome("timed tta:5%", seldom, seldom) == "cannot tell"


def test_a_rule_on_errors_holds_where_there_are_none() -> None:
    none = group(0, 0, 0, 0, 0, quantity=Quantity("train", "errors"), unit="")
    some = group(1, 1, 2, 1, 1, quantity=Quantity("train", "errors"), unit="")
    assert outcome("errors:0.5", none, none) == "passed"
    assert outcome("errors:0.5", none, some) == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "", "time", "time:", ":5%", "time:5%,", "time:5%,min", "time:5%,min=", "time:5%,min=5%", "time:5%,max=3s",
        "time:-5%", "time:nan", "time:5 parsecs", "time:5%%", "time:5%,min=50 ms,min=1 s", "time:1e400%",
    ],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ArgumentError, match="is no rule; write METRIC:LIMIT"):
        parse_rule(text)


def test_an_amount_of_something_else_does_not_fit() -> None:
    with pytest.raises(ArgumentError, match=r"'time:5%,min=5MiB' does not fit train/time, whose unit is sec"):
        judge("time:5%,min=5MiB", BASE, SLOWER)


def test_a_metric_may_have_a_colon() -> None:
    quantity = Quantity("", "own", "a: b")
    runs = [{quantity: Observed(float(number), "x")} for number in (10, 11, 12, 13, 14)]
    assert outcome("a: b:5%", runs, [{quantity: Observed(100.0 + n, "x")} for n in range(5)]) == "failed"
