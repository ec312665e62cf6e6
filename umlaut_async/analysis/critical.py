"""The critical path of a run: what, had it been shorter, would have made the run shorter.

It is walked backwards from the end: what ended last was waited for, before it what had ended last when it began, and so
on, into each of these calls. What runs beside them in the background is not on the path.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.timeline import NOBODY

if TYPE_CHECKING:
    from umlaut_async.analysis.timeline import Step, Timeline


class _Made(NamedTuple):
    """The ordinary calls of one caller, in the order of their ends."""

    ends: list[int]
    positions: list[int]


class _Fed(NamedTuple):
    """When the generators are at work that one caller consumes, in the order of the starts."""

    starts: list[int]
    latest: list[int]
    """The latest end up to there."""
    steps: list[tuple[int, Step]]


class _Walk(NamedTuple):
    call: int
    start: int
    end: int
    part: float
    """Which part of that time is on the path and in this call."""
    share: float
    """Of a generator: for which part of that time it is inside its producer."""


def critical_path(timeline: Timeline) -> tuple[list[float], float]:
    """Return the nanoseconds that each stage has on the critical path, and those that no call has.

    Together they are the time of the run. A generator has the time inside its producer, its consumer the rest.
    """
    found = [0.0] * timeline.stage_count
    untracked = 0.0
    made, fed = _made(timeline), _fed(timeline)
    starts, stages = timeline.starts, timeline.stages
    walks = [_Walk(NOBODY, 0, timeline.wall, 1.0, 1.0)]
    while walks:
        walk = walks.pop()
        call, start, end, part, _ = walk
        gaps = []
        cursor = end
        if call in made:
            ends, positions = made[call]
            index = len(ends)
            while (index := bisect_right(ends, cursor, 0, index) - 1) >= 0 and ends[index] > start:
                waited = positions[index]
                if ends[index] < cursor:
                    gaps.append((ends[index], cursor))
                cursor = max(starts[waited], start)
                # Most have called nothing: all of that time is their own.
                if waited in made or waited in fed:
                    walks.append(_Walk(waited, cursor, ends[index], part, 1.0))
                else:
                    found[stages[waited]] += part * (ends[index] - cursor)
        if cursor > start:
            gaps.append((start, cursor))
        own = part * sum(b - a for a, b in gaps)
        if call in fed:
            for a, b in gaps:
                for inner in _feed(fed[call], walk, a, b):
                    time = inner.part * (inner.end - inner.start)
                    own -= time
                    if inner.call in made or inner.call in fed:
                        walks.append(inner)
                    else:
                        found[stages[inner.call]] += time
        if call == NOBODY:
            untracked += own
        else:
            found[stages[call]] += own
    return found, untracked


def _feed(fed: _Fed, walk: _Walk, start: int, end: int) -> list[_Walk]:
    """Return the walks into the generators that are consumed in a gap of a walk."""
    inside = []
    time = 0.0
    index = bisect_left(fed.starts, end) - 1
    while index >= 0 and fed.latest[index] > start:
        call, step = fed.steps[index]
        a, b = max(step.start, start), min(step.end, end)
        if b > a:
            inside.append((call, a, b, step.part))
            time += (b - a) * step.part
        index -= 1
    if not inside:
        return []
    # Several generators at once may claim more time than there is.
    scale = walk.part / walk.share * min(1.0, (end - start) * walk.share / time)
    return [_Walk(call, a, b, scale * inner, inner) for call, a, b, inner in inside]


def _made(timeline: Timeline) -> dict[int, _Made]:
    found: dict[int, _Made] = {}
    ends, parents = timeline.ends, timeline.parents
    for position in sorted(sorted(range(len(timeline)), key=timeline.ids.__getitem__), key=ends.__getitem__):
        if position not in timeline.yielding:
            parent = parents[position]
            if parent not in found:
                found[parent] = _Made([], [])
            found[parent].ends.append(ends[position])
            found[parent].positions.append(position)
    return found


def _fed(timeline: Timeline) -> dict[int, _Fed]:
    found: dict[int, list[tuple[int, Step]]] = {}
    for position, steps in timeline.steps.items():
        found.setdefault(timeline.parents[position], []).extend((position, step) for step in steps)
    fed = {}
    for parent, each in found.items():
        if len(each) > 1:
            each.sort(key=lambda item: item[1].start)
        fed[parent] = _Fed([step.start for _, step in each], [*accumulate([step.end for _, step in each], max)], each)
    return fed
