"""The wall-clock budget: it adds up, and is what one gets by looking at each moment by itself."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from umlaut_async.analysis.budget import budget
from umlaut_async.analysis.critical import critical_path
from umlaut_async.analysis.sequence import in_sequence
from umlaut_async.analysis.sweep import sweep
from umlaut_async.analysis.timeline import NOBODY, Call, Timeline

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

WALL = 60
STAGES = 4


@st.composite
def trees(draw: DrawFn) -> list[Call]:
    """Return calls that are nested, concurrent, overlapping, still open, in the background, and generators."""
    calls: list[Call] = []
    for number in range(draw(st.integers(0, 12))):
        above = draw(st.integers(-1, number - 1)) if number else NOBODY
        start = draw(st.integers(calls[above].start if above >= 0 else 0, WALL))
        # Beyond the end of its caller, too, as a background task is.
        end = WALL if draw(st.integers(0, 5)) == 0 else draw(st.integers(start, WALL))
        producing = draw(st.integers(0, end - start)) if draw(st.integers(0, 2)) == 0 else None
        parent = calls[above].id if above >= 0 else None
        calls.append(
            Call(
                1000 + number, parent, draw(st.integers(0, STAGES - 1)), draw(st.integers(0, 1)), start, end, producing
            )
        )
    return draw(st.permutations(calls))


def looked_at(timeline: Timeline) -> tuple[dict[int, dict[str, float]], float]:
    """Return the budget, from who is at work in each unit of time, by the definition."""
    found: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    untracked = 0.0
    positions = range(len(timeline))
    moments = [0, timeline.wall, *timeline.starts, *timeline.ends]
    moments += [moment for steps in timeline.steps.values() for step in steps for moment in step[:2]]
    borders = sorted(set(moments))
    for now, then in pairwise(borders):
        open_calls = [each for each in positions if timeline.starts[each] <= now < timeline.ends[each]]
        ordinary = [each for each in open_calls if each not in timeline.yielding]
        parts = dict.fromkeys(ordinary, 1.0)
        for each, steps in timeline.steps.items():
            for start, end, part in steps:
                if start <= now < end:
                    parts[each] = part
        weights: dict[int, float] = defaultdict(float)
        for each, part in parts.items():
            if any(timeline.parents[other] == each for other in ordinary):
                continue
            fed = sum(parts.get(other, 0.0) for other in timeline.yielding if timeline.parents[other] == each)
            weights[timeline.stages[each]] += max(0.0, part - fed)
        total = sum(weights.values())
        several = min(1.0, max(0.0, total - 1))
        untracked += (then - now) * max(0.0, 1 - total)
        for stage, weight in weights.items():
            found[stage]["alone"] += (then - now) * (1 - several) * weight / max(1.0, total)
            found[stage]["overlapped"] += (then - now) * several * weight / max(1.0, total)
            found[stage]["busy"] += (then - now) * min(1.0, weight)
        for stage in {timeline.stages[each] for each in open_calls}:
            found[stage]["open"] += then - now
    return found, untracked


# A consumer that calls something while its generator does: there is more than one task, or a clock is wrong.
BOTH_AT_ONCE = [Call(1, None, 0, 0, 30, 60), Call(2, None, 0, 0, 0, 60, 0), Call(3, 2, 0, 0, 30, 60)]
# A generator that goes on when the one that consumes it has ended.
OUTLASTING = [Call(1, None, 0, 0, 0, 1, 1), Call(2, 1, 0, 0, 0, 60, 0), Call(3, 2, 0, 0, 2, 60)]
# What begins at once and stands in no order.
AT_ONCE = [Call(2, 1, 0, 0, 9, 60, 0), Call(1, None, 0, 0, 9, 60, 0), Call(4, 2, 0, 0, 9, 60), Call(3, 1, 0, 0, 9, 60)]
# A consumer that calls something before what its generator has called has ended.
TOO_EARLY = [Call(1, None, 0, 0, 0, 60), Call(2, 1, 1, 0, 0, 60, 20), Call(3, 2, 2, 0, 9, 30), Call(4, 1, 3, 0, 20, 40)]
# A generator whose calls took longer than it was in its producer.
TOO_LONG = [Call(1, None, 0, 0, 0, 60), Call(2, 1, 1, 0, 0, 60, 5), Call(3, 2, 2, 0, 10, 30)]


@settings(max_examples=300, deadline=None)
@example(BOTH_AT_ONCE)
@example(OUTLASTING)
@example(TOO_EARLY)
@example(TOO_LONG)
@example(AT_ONCE)
@given(trees())
def test_the_budget_adds_up_and_is_what_a_look_at_each_moment_finds(calls: list[Call]) -> None:
    timeline = Timeline(calls, WALL, STAGES)
    divided = budget(timeline)
    assert sum(stage.share for stage in divided.stages) + divided.untracked == pytest.approx(WALL, abs=0.01)
    expected, untracked = looked_at(timeline)
    assert divided.untracked == pytest.approx(untracked, abs=0.02)
    for number, stage in enumerate(divided.stages):
        looked = expected[number]
        assert stage.alone == pytest.approx(looked["alone"], abs=0.02)
        assert stage.overlapped == pytest.approx(looked["overlapped"], abs=0.02)
        assert stage.open == pytest.approx(looked["open"])
        assert stage.elsewhere == pytest.approx(looked["open"] - looked["busy"], abs=0.02)


@settings(max_examples=300, deadline=None)
@given(trees())
def test_the_budget_of_calls_none_of_which_is_a_generator(calls: list[Call]) -> None:
    plain = [call._replace(producing=None) for call in calls]
    shares = sweep(Timeline(plain, WALL, STAGES))
    expected, untracked = looked_at(Timeline(plain, WALL, STAGES))
    assert shares.untracked == untracked
    for number in range(STAGES):
        assert shares.alone[number] == expected[number]["alone"]
        assert shares.busy[number] == expected[number]["busy"]
        assert shares.overlapped[number] == pytest.approx(expected[number]["overlapped"], abs=1e-9)
        # What never overlaps is shown as that, and not as a rounding error.
        assert (shares.overlapped[number] == 0) == (expected[number]["overlapped"] == 0)


@settings(max_examples=300, deadline=None)
@example(BOTH_AT_ONCE)
@example(OUTLASTING)
@example(TOO_EARLY)
@example(TOO_LONG)
@example(AT_ONCE)
@given(trees())
def test_the_critical_path_adds_up(calls: list[Call]) -> None:
    timeline = Timeline(calls, WALL, STAGES)
    found, untracked = critical_path(timeline)
    assert sum(found) + untracked == pytest.approx(WALL)
    assert untracked >= -1e-9
    divided = budget(timeline)
    assert sum(stage.critical for stage in divided.stages) + divided.critical_untracked == pytest.approx(WALL)
    if not feed_at_once(timeline):
        assert divided.critical_untracked == pytest.approx(untracked, abs=0.01)
    for on_path, stage in zip(found, divided.stages, strict=True):
        # Several generators at once may claim the same moments; only their sum is kept to the time that there is.
        assert -1e-9 <= on_path <= (stage.open if len(timeline.yielding) < 2 else WALL) + 1e-9
        if not feed_at_once(timeline):
            assert stage.critical == pytest.approx(on_path, abs=0.01)


def feed_at_once(timeline: Timeline) -> bool:
    """Return whether one caller consumes several generators at the same moment."""
    windows = sorted((timeline.parents[each], timeline.starts[each], timeline.ends[each]) for each in timeline.yielding)
    return any(one[0] == other[0] and other[1] < one[2] for one, other in pairwise(windows))


@settings(max_examples=300, deadline=None)
@example(OUTLASTING)
@example(TOO_EARLY)
@example(TOO_LONG)
@example(AT_ONCE)
@given(trees())
def test_a_generator_is_in_its_producer_for_as_long_as_was_measured(calls: list[Call]) -> None:
    timeline = Timeline(calls, WALL, STAGES)
    for position, steps in timeline.steps.items():
        known = sum(end - start for start, end, part in steps if part == 1)
        time = sum((end - start) * part for start, end, part in steps)
        assert time <= max(timeline.producing[position] or 0, known) + 1e-9
        for start, end, part in steps:
            assert timeline.starts[position] <= start < end <= timeline.ends[position]
            assert 0 < part <= 1
        assert all(one.end <= other.start for one, other in pairwise(steps))


OUTER, INNER, LOAD, STEP = range(4)


def timeline_of(*calls: tuple[Any, ...]) -> Timeline:
    """Return calls of one task: id, parent, stage, start, end, producing."""
    return Timeline([Call(id_, up, stage, "task", *rest) for id_, up, stage, *rest in calls], 100, STAGES)


def shares(timeline: Timeline) -> list[float]:
    """Return the shares of the stages, and the untracked rest."""
    divided = budget(timeline)
    return [round(stage.share, 1) for stage in divided.stages] + [round(divided.untracked, 1)]


def path(timeline: Timeline) -> list[float]:
    """Return the critical path by stage, and what is beside it."""
    found, untracked = critical_path(timeline)
    return [round(time, 1) for time in [*found, untracked]]


def test_nested_calls() -> None:
    nested = timeline_of((1, None, OUTER, 10, 90, None), (2, 1, INNER, 20, 50, None), (3, 1, INNER, 50, 60, None))
    assert shares(nested) == path(nested) == [40, 40, 0, 0, 20]
    assert budget(nested).stages[OUTER] == (80, 40, 0, 40, 40)


def test_concurrent_calls_divide_the_time_and_the_last_one_is_on_the_path() -> None:
    concurrent = timeline_of(
        (1, None, OUTER, 0, 100, None), (2, 1, INNER, 0, 60, None), (3, 1, STEP, 0, 90, None), (4, 1, STEP, 0, 60, None)
    )
    assert shares(concurrent) == [10, 20, 0, 70, 0]
    assert path(concurrent) == [10, 0, 0, 90, 0]
    assert budget(concurrent).stages[STEP] == (90, 30, 40, 0, 90)


def test_what_runs_in_the_background_is_not_on_the_path() -> None:
    background = timeline_of(
        (1, None, OUTER, 0, 60, None), (2, 1, INNER, 10, 100, None), (3, None, STEP, 60, 100, None)
    )
    assert path(background) == [60, 0, 0, 40, 0]


def test_a_consumer_and_its_generator_take_turns() -> None:
    turns = timeline_of((1, None, OUTER, 0, 100, None), (2, 1, LOAD, 0, 100, 30))
    assert shares(turns) == path(turns) == [70, 0, 30, 0, 0]


def test_a_generator_rests_while_its_consumer_calls_others() -> None:
    steps = [(10 + each, 1, STEP, 10 * each + 4, 10 * each + 10, None) for each in range(10)]
    looping = timeline_of((1, None, OUTER, 0, 100, None), (2, 1, LOAD, 0, 100, 30), *steps)
    assert shares(looping) == path(looping) == [10, 0, 30, 60, 0]


def test_a_training_loop_is_added_up_without_a_look_at_each_moment() -> None:
    steps = [(10 + each, 1, STEP, 10 * each + 4, 10 * each + 10, None) for each in range(10)]
    looping = timeline_of((1, None, OUTER, 0, 100, None), (2, 1, LOAD, 0, 100, 30), *steps)
    assert in_sequence(looping).knots == []
    # Only what overlaps is looked at, and a piece of what has called it.
    overlapping = timeline_of((1, None, OUTER, 0, 100, None), *steps, (3, 1, INNER, 50, 60, None))
    (knot,) = in_sequence(overlapping).knots
    assert (sorted(knot.stages), knot.wall) == ([OUTER, INNER, STEP], 10)
    assert shares(overlapping) == [36, 7, 0, 57, 0]
    # Neither the run before it, nor one after it, and generators apart.
    gathers = timeline_of(
        (1, None, OUTER, 0, 30, None), (2, 1, LOAD, 0, 30, 10),
        *[(10 + each, None, INNER, 40, 44 + each, None) for each in range(3)],
        *[(20 + each, None, INNER, 50, 54 + each, None) for each in range(3)],
        (30, None, STEP, 60, 80, None), (31, 30, LOAD, 60, 70, 5), (32, 30, INNER, 65, 75, None),
    )  # fmt: skip
    plain, mixed = in_sequence(gathers).knots
    assert (len(plain), plain.wall, len(mixed), mixed.wall) == (6, 12, 3, 15)
    assert in_sequence(gathers).own == [20, 0, 10, 5]
    assert shares(gathers) == path(gathers)


def test_what_a_generator_calls_is_in_its_own_time() -> None:
    reads = [(10 + each, 2, INNER, 10 * each, 10 * each + 3, None) for each in range(10)]
    steps = [(30 + each, 1, STEP, 10 * each + 5, 10 * each + 10, None) for each in range(10)]
    reading = timeline_of((1, None, OUTER, 0, 100, None), (2, 1, LOAD, 0, 100, 40), *reads, *steps)
    assert shares(reading) == path(reading) == [10, 30, 10, 50, 0]


def test_generators_in_a_row() -> None:
    row = timeline_of(
        (1, None, OUTER, 0, 100, None),
        (2, 1, LOAD, 0, 100, 50),
        (3, 2, INNER, 0, 100, 40),
        *[(10 + each, 1, STEP, 10 * each + 6, 10 * each + 10, None) for each in range(10)],
    )
    assert shares(row) == path(row) == [10, 40, 10, 40, 0]


def test_calls_that_call_each_other_in_a_circle_are_no_trap() -> None:
    circle = timeline_of((1, 2, OUTER, 0, 50, None), (2, 1, INNER, 0, 50, None), (3, 3, LOAD, 10, 60, 10))
    assert sum(shares(circle)) == sum(path(circle)) == 100


def test_no_calls() -> None:
    assert shares(timeline_of()) == path(timeline_of()) == [0, 0, 0, 0, 100]
