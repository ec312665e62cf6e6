"""The rules of the verdict, at both sides of each threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from umlaut_async.analysis.bottleneck import usable_cores
from umlaut_async.analysis.budget import StageBudget
from umlaut_async.analysis.evidence import Blocks, Growth, Trend, blocks_in, grower, records_wait_here, trend_of
from umlaut_async.analysis.facts import Facts
from umlaut_async.analysis.stages import Durations, StageRow, Waited, durations_of, percentile
from umlaut_async.analysis.timeline import Call, Timeline
from umlaut_async.analysis.unknown_parents import UnknownParents
from umlaut_async.analysis.verdict import RULES, verdicts
from umlaut_async.store.chunks import Bucket
from umlaut_async.store.stage_queries import Used

SECOND = 1_000_000_000
RUN = 100 * SECOND


def stage(name: str = "train", part: float = 0.8, calls: Any = 1, **values: Any) -> StageRow:
    """Return a stage that has a part of the run for itself; metrics are given by their types."""
    time = round(part * RUN)
    used: dict[str, Used] = {
        type_: Used("", 1, values[type_], 0, 0, "measured", values[type_], values[type_], None, type_, "", "", "")
        for type_ in ("cpu", "gpu", "io")
        if type_ in values
    }
    fields = {name: value for name, value in values.items() if name not in used}
    defaults: dict[str, Any] = {
        "statuses": {"ok": calls},
        "time": time,
        "failed": 0,
        "budget": StageBudget(time, time, 0, 0, time),
        "durations": None,
    }
    return StageRow(name, "coroutine", calls, used=used, **defaults | fields)


def kinds(*stages: StageRow, **facts: Any) -> list[tuple[str, str | None]]:
    """Return what stands out."""
    found = verdicts(Facts(RUN, facts.pop("untracked", 0), list(stages), **facts))
    for verdict in found:
        assert verdict.sentence
        assert verdict.rule
    return [(verdict.kind, verdict.stage) for verdict in found]


def test_calls_that_may_be_the_work_of_another_stage() -> None:
    epoch = stage("epoch", cpu=1)
    for time, expected in ((0.5 * RUN, "unknown-parent"), (0.1 * RUN, "idle")):
        fit = stage("fit", cpu=1, unknown_parents=UnknownParents(3, round(time), "epoch"))
        assert kinds(epoch, fit)[0][0] == expected


@pytest.mark.parametrize(
    ("found", "cores", "expected"),
    [
        ({"cpu": 99}, 8, ["one-core"]),
        ({"cpu": 99}, None, ["one-core"]),
        ({"cpu": 84}, 8, []),
        ({"cpu": 119}, 8, ["one-core"]),
        ({"cpu": 130}, 8, []),
        ({"cpu": 700}, 8, ["cpu-bound"]),
        ({"cpu": 670}, 8, []),
        ({"cpu": 99}, 1, ["cpu-bound"]),
        ({"cpu": 50}, 0.5, ["cpu-bound"]),
        ({"cpu": 99, "part": 0.61}, 8, ["one-core"]),
        ({"cpu": 99, "part": 0.59}, 8, []),
        ({"cpu": 99, "part": 0.59}, 1, []),
        ({"cpu": 19}, 8, ["idle"]),
        ({"cpu": 21}, 8, []),
        ({"cpu": 5, "part": 0.29}, 8, []),
        ({"cpu": 5, "gpu": 95}, 8, []),
        ({"cpu": 5, "gpu": 3}, 8, ["gpu-starved", "idle"]),
        ({"cpu": 50, "gpu": 89}, 8, ["gpu-starved"]),
        ({"cpu": 50, "gpu": 90}, 8, []),
        ({"cpu": 50, "io": 2}, 8, ["storage-bound"]),
        ({"cpu": 50, "io": 0.5}, 8, []),
        ({"cpu": 70, "io": 200}, 8, []),
        ({"cpu": 10, "io": 2}, 8, ["storage-bound", "idle"]),
        ({}, 8, []),
    ],
)
def test_how_the_machine_is_used(found: dict[str, Any], cores: float | None, expected: list[str]) -> None:
    assert kinds(stage(**found), cores=cores) == [(kind, "train") for kind in expected]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        # One that has work for the GPU, and one that has only little.
        ([stage("preprocess", 0.6, cpu=50, gpu=5), stage("train", 0.4, cpu=50, gpu=97)], None),
        ([stage("preprocess", 0.6, cpu=50, gpu=5), stage("train", 0.4, cpu=50, gpu=80)], "train"),
        # One inside the other: that is named in which the time is.
        ([stage("all", 1, budget=StageBudget(RUN, SECOND, 0, 0, 0), gpu=37), stage("train", 0.98, gpu=37.5)], "train"),
        ([stage("all", 1, budget=StageBudget(RUN, 60 * SECOND, 0, 0, 0), gpu=40), stage("train", 0.4, gpu=97)], "all"),
        ([stage("all", 1, budget=StageBudget(RUN, SECOND, 0, 0, 0), gpu=93), stage("train", 0.98, gpu=95)], None),
        ([stage(gpu=0)], "train"),
    ],
)
def test_the_stage_that_uses_the_gpu_most(stages: list[StageRow], expected: str | None) -> None:
    assert kinds(*stages) == ([("gpu-starved", expected)] if expected else [])


def test_stages_that_keep_a_core_full_together() -> None:
    load, train = stage("load", 0.3, cpu=90), stage("train", 0.31, cpu=100)
    (verdict,) = verdicts(Facts(RUN, 0, [load, train], 8))
    assert verdict.kind == "one-core"
    assert verdict.stage == "train"
    assert verdict.sentence.startswith("`train` and `load` keep one core of 8 full and no other one (95.1 %) for 61 %")
    (verdict,) = verdicts(Facts(RUN, 0, [load, train], 1))
    assert verdict.sentence.startswith("`train` and `load` are CPU-bound: the only core is full (95.1 %) for 61 %")
    assert kinds(load, replace(train, used={}), cores=8) == []


def test_a_core_that_is_full_now_and_then_is_no_bottleneck() -> None:
    # Many clients, one of which is answered at a time while the others wait.
    answer = stage("answer", cpu=55, budget=StageBudget(95 * SECOND, 0, 90 * SECOND, 0, 0))
    parse = stage("parse", cpu=99, budget=StageBudget(50 * SECOND, 0, 5 * SECOND, 0, 0))
    assert kinds(answer, parse, cores=2) == []
    busier = replace(answer, used=stage(cpu=95).used)
    assert kinds(busier, parse, cores=2) == [("one-core", "answer")]


def test_each_rule_is_told_apart_and_said_once() -> None:
    blocked = Blocks(5, 45 * SECOND, 4 * SECOND, 0)
    overlapped = StageBudget(80 * SECOND, 20 * SECOND, 60 * SECOND, 0, 0)
    assert kinds(stage(budget=overlapped), blocks=blocked) == [("loop-blocked", "train")]
    assert len({rule.text for rule in RULES}) == len(RULES)


def loader(**values: Any) -> StageRow:
    return stage("load", 0.1, producing=30 * SECOND, **values)


@pytest.mark.parametrize(("share", "expected"), [(0.26, True), (0.24, False)])
def test_waiting_for_input(share: float, expected: bool) -> None:
    train = stage(waited=(Waited("load", round(share * 80 * SECOND), share),))
    assert kinds(train, loader()) == [("input-bound", "train")] * expected


def test_many_items_that_each_come_at_once_are_no_bottleneck() -> None:
    entries = Used("", 1, 1, 1, 1, "measured", 1, 1, 1e6, "throughput", "", "", "")
    train = stage(waited=(Waited("load", 40 * SECOND, 0.5),))
    assert kinds(train, loader()) == [("input-bound", "train")]
    assert kinds(train, replace(loader(), used={"throughput": entries})) == []


def test_the_innermost_loader_is_named() -> None:
    train = stage(waited=(Waited("batches", 40 * SECOND, 0.5),))
    batches = stage("batches", 0.1, producing=40 * SECOND, waited=(Waited("read", 35 * SECOND, 0.9),))
    read = stage("read", 0.1, producing=35 * SECOND)
    (verdict,) = verdicts(Facts(RUN, 0, [train, batches, read]))
    assert verdict.sentence == "`train` is input-bound: 50 % of its time waits in `read`"
    # Loaders that wait for each other end the search, and not the command.
    circle = replace(read, waited=(Waited("batches", 35 * SECOND, 1.0),))
    assert verdicts(Facts(RUN, 0, [train, batches, circle]))


def test_a_loader_whose_consumer_is_no_stage() -> None:
    assert kinds(stage("load", producing=30 * SECOND)) == [("input-bound", "load")]
    assert kinds(stage("load", producing=10 * SECOND)) == []
    # One that computes is at work itself.
    assert kinds(stage("load", producing=79 * SECOND, cpu=84), cores=8) == [("input-bound", "load")]
    assert kinds(stage("load", producing=79 * SECOND, cpu=95), cores=8) == [("one-core", "load")]
    assert kinds(stage("load", producing=79 * SECOND, cpu=95), cores=1) == [("cpu-bound", "load")]


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        (Durations(40 * SECOND, SECOND, SECOND, SECOND, SECOND, SECOND), "warm-up"),
        (Durations(15 * SECOND, SECOND, SECOND, SECOND, SECOND, SECOND), None),
        (Durations(40 * SECOND, *[9 * SECOND] * 5), None),
        (Durations(SECOND, SECOND, SECOND, SECOND, 30 * SECOND, SECOND), "outlier"),
        (Durations(SECOND, 8 * SECOND, 8 * SECOND, 8 * SECOND, 30 * SECOND, 8 * SECOND), None),
        # One of several is not the one that holds up the run, be it the first of all.
        (Durations(SECOND, SECOND, SECOND, SECOND, 30 * SECOND, 15 * SECOND), "outlier"),
        (Durations(SECOND, SECOND, SECOND, SECOND, 30 * SECOND, 16 * SECOND), None),
        (Durations(16 * SECOND, SECOND, SECOND, SECOND, 30 * SECOND, SECOND), None),
        (Durations(SECOND, None, None, None, None, None), None),
    ],
)
def test_calls_that_take_longer_than_others(durations: Durations, expected: str | None) -> None:
    assert kinds(stage(calls=10, durations=durations)) == ([(expected, "train")] if expected else [])


def test_failing_calls() -> None:
    fails = stage(calls=10, statuses={"ok": 5, "error": 5}, failed=40 * SECOND)
    assert kinds(fails) == [("failing", "train")]
    assert kinds(replace(fails, statuses={"ok": 8, "error": 2})) == []
    assert kinds(replace(fails, failed=10 * SECOND)) == []


def test_blocks_matter_most_where_others_wait() -> None:
    blocked = Blocks(5, 15 * SECOND, 4 * SECOND, 0)
    overlapped = StageBudget(80 * SECOND, 20 * SECOND, 60 * SECOND, 0, 0)
    assert kinds(stage(budget=overlapped), blocks=blocked) == [("loop-blocked", "train")]
    assert kinds(stage(), blocks=blocked) == []
    assert kinds(stage(), blocks=blocked._replace(time=40 * SECOND)) == [("loop-blocked", "train")]
    assert kinds(stage(), blocks=blocked._replace(time=40 * SECOND, stage=None)) == [("loop-blocked", None)]
    assert kinds(stage(budget=overlapped), blocks=blocked._replace(time=5 * SECOND)) == []


def test_the_stage_that_blocks_is_the_one_that_does_little_else() -> None:
    calls = [Call(1, None, 0, "a", 0, 100), Call(2, None, 1, "b", 20, 30), Call(3, None, 1, "b", 60, 70)]
    timeline = Timeline([*calls, Call(4, None, 2, "b", 21, 22)], 100, 3)
    assert blocks_in([(20, 29), (19, 25), (61, 70)], timeline) == Blocks(2, 19, 10, 1)
    assert blocks_in([(80, 90)], Timeline([calls[1]], 100, 2)).stage is None


def test_memory_that_grows() -> None:
    assert kinds(stage(), growth=Growth(100, 300, ("train", "coroutine"))) == [("memory-growth", "train")]
    assert kinds(stage(), growth=Growth(100, 300, None)) == [("memory-growth", None)]
    (verdict,) = verdicts(Facts(RUN, 0, [stage()], growth=Growth(100, 300, None, waits=True)))
    assert verdict.sentence.endswith("it does not come back; what is recorded and not stored yet may be a part of it")


def test_memory_grows_in_the_innermost_stage_that_has_half_of_it() -> None:
    outer, train, load = stage("outer", 0.9), stage("train", 0.5), stage("load", 0.3)

    def found(**inside: float) -> str | None:
        named = grower({(name, "coroutine"): grown for name, grown in inside.items()}, 200, [outer, train, load])
        return named and named[0]

    assert found(outer=200, train=180, load=20) == "train"
    assert found(outer=200, train=180, load=110) == "load"
    # What grows outside of all stages is the fault of none, also where they free memory.
    assert found(outer=90, train=1, load=-50) is None
    assert found(outer=-20, train=-1, load=-50) is None
    assert found() is None
    # Fifty calls at once see the same growth fifty times.
    outer = stage("outer", 0.9, time=45 * RUN, budget=StageBudget(90 * SECOND, 0, 0, 0, 0))
    assert found(outer=50 * 200, train=150) == "train"
    assert found(outer=50 * 90) is None


def test_where_records_wait_until_they_are_stored() -> None:
    assert records_wait_here({"mode": "thread"})
    assert not any(map(records_wait_here, ({"mode": "process"}, {}, None, "thread")))


def means(*values: float) -> list[Bucket]:
    return [Bucket(index, 1, value, value, value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([100 + 10 * step for step in range(20)], True),
        ([100 + step for step in range(20)], False),
        ([1000 + 10 * step for step in range(20)], False),
        ([100] * 3 + [300] * 17, False),
        ([100] * 10 + [300] * 10, False),
        ([100, 400] * 10, False),
        ([300 - 10 * step for step in range(20)], False),
        ([100, 200, 300], False),
        ([], False),
    ],
)
def test_what_counts_as_growth(values: list[float], grows: bool) -> None:
    assert (trend_of(means(*values)) is not None) == grows


def test_growth_counts_after_the_warm_up() -> None:
    assert trend_of(means(*range(100, 300, 10))) == Trend(4, 140, 290)


def test_time_in_no_stage() -> None:
    assert kinds(stage(part=0.4), untracked=60 * SECOND) == [("untracked", None)]
    assert kinds(stage(part=0.6), untracked=40 * SECOND) == []
    assert kinds(untracked=RUN) == []


def test_causes_come_before_symptoms() -> None:
    train = stage(cpu=10, waited=(Waited("load", 40 * SECOND, 0.5),))
    assert kinds(train, loader()) == [("input-bound", "train"), ("idle", "train")]


def test_an_empty_run_has_no_verdict() -> None:
    assert verdicts(Facts(0, 0, [])) == []


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({"limits": {"usable_cpus": 1.5}, "cpu": {"count": 8}}, 1.5),
        ({"limits": {"usable_cpus": None}, "cpu": {"allowed": 4, "count": 8}}, 4),
        ({"cpu": {"allowed": None, "count": 8}}, 8),
        ({"cpu": {"count": "eight"}}, None),
        ({"limits": {"usable_cpus": 0}}, None),
        ({}, None),
        (None, None),
        ("text", None),
    ],
)
def test_how_many_cores_there_are(environment: Any, cores: float | None) -> None:
    assert usable_cores(environment) == cores


def test_percentiles_leave_the_first_call_out() -> None:
    assert durations_of([]) is None
    assert durations_of([7]) == (7, None, None, None, None, None)
    assert durations_of([7, 8]) == (7, 8, 8, 8, 8, None)
    found = durations_of([1000, *range(101)])
    assert found is not None
    assert found == (1000, 50, 95, 99, 100, 99)
    assert percentile([1, 2], 0.5) == 1.5
    assert percentile([5], 0.99) == 5
