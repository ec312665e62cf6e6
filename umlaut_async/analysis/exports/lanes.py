"""Calls laid out on lanes: on one lane they follow or contain each other, and never overlap otherwise."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Edge", "Stay", "edges"]


class Stay(NamedTuple):
    """A call: from when to when it is on a lane."""

    start: int
    end: int
    """Not before the start."""
    id: int
    parent: int | None


class Edge(NamedTuple):
    """The beginning or the end of a call."""

    time: int
    lane: int
    """From 0."""
    begins: bool
    id: int


def edges(stays: Iterable[Stay]) -> list[Edge]:
    """Return the beginnings and ends of calls in the order of time.

    On each lane they are balanced like brackets. A call lies within the call that made it where it ends before that and
    nothing else is open there; else it gets a lane of its own until it ends. So there are as many lanes as concurrent
    calls.
    """
    lanes: list[list[Stay]] = []
    lane_of: dict[int, int] = {}
    free: list[int] = []
    taken: list[tuple[int, int]] = []
    found: list[list[Edge]] = []

    def close(lane: int, until: int) -> None:
        open_ = lanes[lane]
        while open_ and open_[-1].end <= until:
            ended = open_.pop()
            found[lane].append(Edge(ended.end, lane, False, ended.id))

    for stay in sorted(stays, key=lambda stay: (stay.start, -stay.end, stay.id)):
        while taken and taken[0][0] <= stay.start:
            heappush(free, heappop(taken)[1])
        lane = lane_of.get(stay.parent, -1) if stay.parent is not None else -1
        if lane >= 0:
            close(lane, stay.start)
        if lane < 0 or not lanes[lane] or lanes[lane][-1].id != stay.parent or lanes[lane][-1].end < stay.end:
            if not free:
                free.append(len(lanes))
                lanes.append([])
                found.append([])
            lane = heappop(free)
            close(lane, stay.start)
            heappush(taken, (stay.end, lane))
        lanes[lane].append(stay)
        lane_of[stay.id] = lane
        found[lane].append(Edge(stay.start, lane, True, stay.id))
    for lane, open_ in enumerate(lanes):
        if open_:
            close(lane, open_[0].end)
    # Sorting keeps the order of edges of one lane that are at the same time.
    return sorted((edge for lane in found for edge in lane), key=lambda edge: edge.time)
