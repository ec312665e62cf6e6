"""How the value of a call comes about, by hand-made windows and by properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.metrics import metric as metric_module
from umlaut_async.metrics.families import REDUCTIONS
from umlaut_async.probes import UnreadableError
from umlaut_async.probes.process import MIB, IOCounters
from umlaut_async.records import CallRecord, Steps
from umlaut_async.summary import Summary, merge, summarise

finite = st.floats(-1e9, 1e9)


def call(duration: int = 2_000_000_000, items: int | None = None, steps: Steps | None = None) -> CallRecord:
    """Return the record of a call of two seconds."""
    return CallRecord(1, 1, None, "task", 0, duration, "ok", None, None, items, steps, (), ())


def reduce(name: str, *values: Any, record: CallRecord | None = None, elapsed: int = 2_000_000_000) -> Any:
    """Return the outcome of a reduction for entries, both edges and samples."""
    entries, entered, left, samples = (*values, None, None, None, None)[:4]
    return REDUCTIONS[name](record or call(), entries, entered, left, samples, elapsed)


def test_time_latency_and_throughput() -> None:
    assert reduce("time") == (2.0, None)
    assert reduce("latency", 8) == (0.25, None)
    assert reduce("throughput", 8) == (4.0, None)
    assert reduce("throughput", 0) == (0.0, None)


@pytest.mark.parametrize("entries", [None, 0])
def test_a_latency_without_entries_is_absent(entries: float | None) -> None:
    assert reduce("latency", entries) is None


def test_a_throughput_that_cannot_be_known_is_absent() -> None:
    assert reduce("throughput", None) is None
    assert reduce("throughput", 5, record=call(duration=0)) is None


def test_cpu_is_the_exact_difference_over_the_time_between_the_readings() -> None:
    value, data = reduce("cpu", None, 1_000_000_000, 1_500_000_000, elapsed=1_000_000_000)
    assert value == 50
    assert data == {"n": 1, "min": 50, "mean": 50, "max": 50, "first": 50, "last": 50}
    value, data = reduce("cpu", None, 0, 1_000_000_000, summarise([20.0, 80.0]))
    assert value == 50
    assert (data["n"], data["min"], data["max"]) == (2, 20, 80)


def test_io_adds_what_was_read_and_written() -> None:
    value, data = reduce("io", None, IOCounters(0, 0, 0, 0), IOCounters(3 * MIB, MIB, 7, 5))
    assert value == 2
    assert {name: data[name] for name in ("read", "written", "rchar", "wchar")} == {
        "read": 3 * MIB,
        "written": MIB,
        "rchar": 7,
        "wchar": 5,
    }


@pytest.mark.parametrize("name", ["cpu", "io", "difference"])
@pytest.mark.parametrize("edges", [(None, None), (None, 5), (5, None)])
def test_a_counter_that_lacks_an_edge_is_absent(name: str, edges: tuple[int | None, int | None]) -> None:
    assert reduce(name, None, *edges) is None


@given(st.none() | finite, st.none() | finite, st.lists(finite, max_size=5))
def test_a_gauge_counts_its_edges_and_its_samples(
    entered: float | None, left: float | None, between: list[float]
) -> None:
    readings = [reading for reading in (entered, *between, left) if reading is not None]
    for name, value_of in (("peak", max), ("mean", None)):
        outcome = reduce(name, None, entered, left, summarise(between))
        if not readings:
            assert outcome is None
            continue
        value, data = outcome
        assert (data["n"], data["min"], data["max"]) == (len(readings), min(readings), max(readings))
        assert (data["first"], data["last"]) == (readings[0], readings[-1])
        assert data["min"] <= data["mean"] <= data["max"]
        assert value == (value_of(readings) if value_of else data["mean"])


def test_await_and_wait_share_the_time_of_the_call() -> None:
    steps = Steps(running=500_000_000, longest=300_000_000, first_item=100_000_000)
    assert reduce("await", record=call(steps=steps)) == (2.0, {"running": 0.5, "awaiting": 1.5, "longest_step": 0.3})
    assert reduce("wait", record=call(items=4, steps=steps)) == (
        25.0,
        {"consumer_waited": 0.5, "producer_waited": 1.5, "first_item": 0.1, "items": 4},
    )


@given(st.lists(finite, min_size=1), st.lists(finite))
def test_summaries_of_parts_make_the_summary_of_the_whole(earlier: list[float], later: list[float]) -> None:
    whole, parts = summarise(earlier + later), merge(summarise(earlier), summarise(later))
    assert whole is not None
    assert parts is not None
    assert parts._replace(sum=0) == whole._replace(sum=0)
    assert parts.sum == pytest.approx(whole.sum, abs=1e-3)
    assert merge(None, None) is None
    assert isinstance(parts, Summary)


def test_every_metric_of_ours_has_a_reduction() -> None:
    from umlaut_async import metrics

    for name in metrics.__all__:
        kind: Any = getattr(metrics, name)
        if name != "REDUCTIONS" and kind is not metric_module.Metric:
            assert kind.reduction in REDUCTIONS
            assert kind.measure_type
            assert kind.unit


def test_one_reading_for_both_edges_is_no_difference() -> None:
    assert reduce("difference", None, 7, 7, elapsed=0) is None
    assert reduce("difference", None, 7, 7, elapsed=1)[0] == 0


def test_a_difference_of_long_integers_is_exact_and_can_be_written() -> None:
    value, data = reduce("difference", None, 10**30, 10**30 + 5)
    assert (value, type(value)) == (5.0, float)
    assert {name: type(number) for name, number in data.items() if name != "n"} == dict.fromkeys(
        ("min", "mean", "max", "first", "last"), float
    )


@pytest.mark.parametrize("edges", [(-1.5e308, 1.5e308), (-(10**308), 10**308)])
def test_a_difference_that_is_too_large_for_a_float_is_unreadable(edges: tuple[float, float]) -> None:
    with pytest.raises(UnreadableError, match="too large"):
        reduce("difference", None, *edges)
