"""Rows of stages: no two bars of a lane overlap, each call is in a bar, and few bars stand for many calls."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.analysis.figures.lanes import MOST_BARS, MOST_LANES, MOST_ROWS, Call, rows

WINDOW = 100_000
TIMES = st.lists(st.tuples(st.integers(0, WINDOW - 1), st.integers(1, 5_000), st.booleans()), max_size=60)


def call(number: int, start: int, end: int, name: str = "stage", parent: int | None = None, status: str = "ok") -> Call:
    """Return a call."""
    return Call(number, parent, name, start, end, status)


@given(TIMES)
def test_every_call_is_in_a_bar_and_no_bars_overlap(times: list[tuple[int, int, bool]]) -> None:
    calls = [
        call(at, start, min(WINDOW, start + length), status="error" if failed else "ok")
        for at, (start, length, failed) in enumerate(times)
    ]
    for row in rows(calls, 0, WINDOW):
        assert row.calls == len(calls) == sum(bar.calls for lane in row.lanes for bar in lane)
        assert (
            row.failed == sum(bar.failed for lane in row.lanes for bar in lane) == sum(failed for *_, failed in times)
        )
        moments = {one.start for one in calls}
        at_once = max(sum(one.start <= time < one.end for one in calls) for time in moments)
        assert row.at_once == at_once
        assert row.busy == len({time for one in calls for time in range(one.start, one.end)})
        for lane in row.lanes:
            assert len(lane) <= MOST_BARS + 1
            assert all(a.end <= b.start for a, b in pairwise(lane))
        for one in calls:
            assert any(bar.start <= one.start and one.end <= bar.end for lane in row.lanes for bar in lane)


def test_calls_that_overlap_lie_beneath_each_other() -> None:
    (row,) = rows([call(1, 0, 600), call(2, 300, 900), call(3, 700, 1000)], 0, 1000)
    assert [[(bar.start, bar.end) for bar in lane] for lane in row.lanes] == [[(0, 600), (700, 1000)], [(300, 900)]]


def test_very_many_calls_at_once_share_a_lane() -> None:
    (row,) = rows([call(at, at, 50_000 + at) for at in range(MOST_LANES + 1)], 0, WINDOW)
    assert (row.at_once, len(row.lanes), row.lanes[0][0].calls) == (MOST_LANES + 1, 1, MOST_LANES + 1)


def test_calls_outside_the_window_are_left_out_and_others_cut() -> None:
    (row,) = rows([call(1, 0, 10), call(2, 50, 150), call(3, 300, 400)], 100, 200)
    assert (row.calls, [(bar.start, bar.end) for bar in row.lanes[0]]) == (1, [(100, 150)])


def test_a_stage_is_as_deep_as_the_calls_it_was_made_through() -> None:
    calls = [call(1, 0, 90, "outer"), call(2, 10, 80, "middle", 1), call(3, 20, 30, "inner", 2)]
    assert [(row.name, row.depth) for row in rows(calls, 0, 100)] == [("outer", 0), ("middle", 1), ("inner", 2)]
    assert [row.depth for row in rows([call(1, 0, 9, "a", 2), call(2, 0, 9, "b", 1)], 0, 10)] == [1, 1]


def test_many_stages_share_the_last_row() -> None:
    calls = [call(at, at * 100, at * 100 + 10 + at, f"stage {at}") for at in range(200)]
    found = rows(calls, 0, WINDOW)
    assert len(found) == MOST_ROWS
    assert found[-1].name == f"{200 - MOST_ROWS + 1} other stages"
    assert sum(row.calls for row in found) == 200
