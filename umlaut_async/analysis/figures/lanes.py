"""The calls of a run as rows of bars on a time axis, one row for each stage, calls that overlap beneath each other."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Bar", "Call", "Row", "rows"]

MOST_LANES = 4
MOST_BARS = 500
MOST_ROWS = 40
_FAILED = frozenset({"error", "lost", "abandoned", "cancelled"})


class Call(NamedTuple):
    """One call; the times are nanoseconds since the epoch."""

    id: int
    parent: int | None
    name: str
    start: int
    end: int
    status: str


class Bar(NamedTuple):
    """One call, or several that follow so closely that they cannot be told apart."""

    start: int
    end: int
    calls: int
    failed: int
    running: int


class Row(NamedTuple):
    """A stage."""

    name: str
    depth: int
    """How many stages it was called through."""
    calls: int
    failed: int
    running: int
    busy: int
    """The nanoseconds of the window in which at least one of its calls was open."""
    at_once: int
    """How many of its calls were open at the same time, at most."""
    lanes: list[list[Bar]]


def rows(calls: Iterable[Call], start: int, end: int) -> list[Row]:
    """Return the stages in the order of their first calls, as they are within a window.

    Of very many stages those that were busy the longest have rows of their own, and the others share the last.
    """
    every = list(calls)
    parents = {call.id: call.parent for call in every}
    stages: dict[str, list[Call]] = {}
    for call in sorted(every, key=lambda call: (call.start, call.id)):
        if call.start <= end and call.end >= start:
            stages.setdefault(call.name, []).append(call)
    found = [_row(name, of_stage, _depth(of_stage[0], parents), start, end) for name, of_stage in stages.items()]
    if len(found) <= MOST_ROWS:
        return found
    busiest = sorted(found, key=lambda row: row.busy, reverse=True)[: MOST_ROWS - 1]
    shown = {row.name for row in busiest}
    others = [call for name, of_stage in stages.items() if name not in shown for call in of_stage]
    others.sort(key=lambda call: call.start)
    rest = _row(f"{len(found) - len(shown)} other stages", others, 0, start, end)
    return [*(row for row in found if row.name in shown), rest]


def _row(name: str, calls: Sequence[Call], depth: int, start: int, end: int) -> Row:
    """Return a row of calls in the order of their start."""
    at_once = _at_once(calls)
    finest = max(1, (end - start) // MOST_BARS)
    lanes = [_bars(lane, start, end, finest) for lane in (_lanes(calls) if at_once <= MOST_LANES else [calls])]
    return Row(
        name,
        depth,
        len(calls),
        sum(call.status in _FAILED for call in calls),
        sum(call.status == "running" for call in calls),
        _busy(calls, start, end),
        at_once,
        lanes,
    )


def _at_once(calls: Sequence[Call]) -> int:
    ends: list[int] = []
    most = 0
    for call in calls:
        while ends and ends[0] <= call.start:
            heapq.heappop(ends)
        heapq.heappush(ends, call.end)
        most = max(most, len(ends))
    return most


def _busy(calls: Sequence[Call], start: int, end: int) -> int:
    total, until = 0, start
    for call in calls:
        total += max(0, min(call.end, end) - max(call.start, until))
        until = max(until, call.end)
    return total


def _lanes(calls: Sequence[Call]) -> list[list[Call]]:
    """Divide calls so that none overlaps another of its lane."""
    lanes: list[list[Call]] = []
    for call in calls:
        free = next((lane for lane in lanes if lane[-1].end <= call.start), None)
        if free is None:
            lanes.append([call])
        else:
            free.append(call)
    return lanes


def _bars(calls: Iterable[Call], start: int, end: int, finest: int) -> list[Bar]:
    bars: list[Bar] = []
    for call in calls:
        a, b = max(call.start, start), min(call.end, end)
        failed, running = call.status in _FAILED, call.status == "running"
        # What is shorter than can be seen, or follows as closely, is one bar with its neighbour.
        if bars and a - bars[-1].end < finest:
            last = bars[-1]
            bars[-1] = Bar(last.start, max(last.end, b), last.calls + 1, last.failed + failed, last.running + running)
        else:
            bars.append(Bar(a, b, 1, int(failed), int(running)))
    return bars


def _depth(call: Call, parents: dict[int, int | None]) -> int:
    seen = {call.id}
    parent = call.parent
    while parent in parents and parent not in seen:
        seen.add(parent)
        parent = parents[parent]
    return len(seen) - 1
