"""Counters that wrap, against the true count behind a scripted one."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from umlaut_async.probes.unwrap import Count, WrappingCounter, difference

SECOND = 1_000_000_000
FASTEST = 1_000_000_000
LEAST_TOP = 65_532_000_000


class Step(NamedTuple):
    """What happens between two readings of a counter, or at the second of them."""

    wait: float
    """As a share of the longest wait that is allowed."""
    pace: float
    """As a share of the fastest."""
    fails: bool = False


steps = st.builds(Step, st.floats(0, 1), st.floats(0, 1), st.sampled_from([False, False, False, True]))
tops = st.integers(1_000_000, 300_000_000_000)


@given(tops, st.floats(0, 1), st.lists(steps, max_size=60))
@example(1_000_000_000, 0.5, [Step(1, 1)] * 22)
@example(1_000_000_000, 0.5, [Step(1, 0)] * 3)
def test_counts_exactly(top: int, start: float, script: list[Step]) -> None:
    """Within an epoch the count is the true one, whatever wraps; only a reading that fails ends an epoch."""
    counter = WrappingCounter(top, FASTEST, LEAST_TOP)
    true, at = int(start * top), 0
    readings = [(counter.add(true % top, at), true)]
    gaps = 0
    for before, step in itertools.pairwise([Step(0, 0), *script]):
        wait = int(step.wait * counter.keep_awake)
        at += wait
        true += int(step.pace * wait * FASTEST / SECOND)
        if step.fails:
            counter.lose()
            gaps += not before.fails
        else:
            readings.append((counter.add(true % top, at), true))
    for (earlier, true_then), (later, true_now) in itertools.combinations(readings, 2):
        if earlier.epoch == later.epoch:
            assert later.total - earlier.total == true_now - true_then
    epochs = [reading.epoch for reading, _ in readings]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 1 + gaps - (bool(script) and script[-1].fails)


@given(tops, st.floats(0, 1), st.floats(0, 1), st.floats(0, 2))
def test_set_back(top: int, last: float, value: float, seconds: float) -> None:
    """A lower value counts only as far as the hardware can have counted; else it is a gap, and counting goes on."""
    counter = WrappingCounter(top, FASTEST, LEAST_TOP)
    high, low = sorted((int(last * top), int(value * top)), reverse=True)
    at = int(seconds * SECOND)
    earlier, later = counter.add(high, 0), counter.add(low, at)
    counted = difference([earlier], [later])
    if counted is not None:
        assert low == high or counted == [top - high + low]
        assert 0 <= counted[0] <= FASTEST * (seconds + 0.11)
    assert difference([later], [counter.add(low + 5, at)]) == [5]


def test_five_wraps() -> None:
    """Five wraps between two readings of a user are counted, since it asks to be read more often."""
    top = 262_143_328_850
    counter = WrappingCounter(top, FASTEST, LEAST_TOP)
    entered = left = counter.add(1000, 0)
    true, at, wraps = 1000, 0, 0
    while wraps < 5:
        at += counter.keep_awake
        shown = true % top
        true += 300_000_000 * counter.keep_awake // SECOND
        wraps += true % top < shown
        left = counter.add(true % top, at)
    assert difference([entered], [left]) == [true - 1000]
    assert (true - 1000) // top in (4, 5)


@pytest.mark.parametrize(
    ("top", "last", "value", "seconds"),
    [
        pytest.param(262_000_000_000, 90_000_000_000, 1_000_000, 1, id="far from the top"),
        pytest.param(262_000_000_000, 261_000_000_000, 3_000_000_000, 1, id="too much for the time"),
        pytest.param(None, 65_000_000_000, 1_000_000, 1, id="top not known"),
        pytest.param(100_000_000_000, 100_000_000_001, 0, 1, id="was above the top"),
        pytest.param(100_000_000_000, 0, 1_000_000, 100, id="may have gone round"),
        pytest.param(None, 0, 1_000_000, 66, id="may have gone round the least top"),
    ],
)
def test_gaps(top: int | None, last: int, value: int, seconds: int) -> None:
    """What cannot be known is a gap, and never a wrap."""
    counter = WrappingCounter(top, FASTEST, LEAST_TOP)
    earlier = counter.add(last, 0)
    later = counter.add(value, seconds * SECOND)
    assert difference([earlier], [later]) is None
    assert difference([later], [counter.add(value + 1, seconds * SECOND + 1)]) == [1]


def test_read_twice_at_once() -> None:
    """No time between two values is no gap, and a wrap within the time that the hardware is late is one."""
    counter = WrappingCounter(1_000_000_000, FASTEST, LEAST_TOP)
    readings = [counter.add(value, 7) for value in (999_999_000, 999_999_000, 500)]
    assert difference(readings[:1], readings[1:2]) == [0]
    assert difference(readings[:1], readings[2:]) == [1500]


def test_differences() -> None:
    """Several counters are compared each with itself; one gap, or another number of them, leaves no difference."""
    earlier, later = (Count(1, 5), Count(2, 7)), (Count(1, 9), Count(2, 7))
    assert difference(earlier, later) == [4, 0]
    assert difference(earlier, (Count(1, 9), Count(3, 7))) is None
    assert difference(earlier, later[:1]) is None
    assert difference(earlier, later[::-1]) is None
    assert difference((), ()) == []


def test_epochs_are_the_process_own() -> None:
    """Two counters never share an epoch, nor does one have the same twice."""
    counters = [WrappingCounter(None, FASTEST, LEAST_TOP) for _ in range(3)]
    readings = []
    for _ in range(3):
        for counter in counters:
            readings.append(counter.add(0, 0).epoch)
            counter.lose()
    assert len(set(readings)) == 9
