"""The calls of a run on one time axis, by columns: a hundred thousand of them are quick to go through so."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

NOBODY = -1
"""The position of the parent of a call that has none."""

Intervals = list[tuple[int, int]]
"""Intervals in ascending order, none of which touches another."""


class Call(NamedTuple):
    """One call, in nanoseconds from the start of the run."""

    id: int
    parent: int | None
    stage: int
    """The number of the stage."""
    task: Hashable
    start: int
    end: int
    producing: int | None = None
    """Of a generator or iteration: the time spent inside the producer so far; None for all other kinds."""


class Step(NamedTuple):
    """An interval in which a generator is inside its producer, or for a part of which it is."""

    start: int
    end: int
    part: float


class Timeline:
    """The calls of a run.

    Args:
        calls: The calls, in any order.
        wall: The nanoseconds that the run took; no call is longer.
        stages: The number of stages.
    """

    def __init__(self, calls: Iterable[Call], wall: int, stages: int) -> None:
        self._fill(*(list(zip(*calls, strict=True)) or [()] * len(Call._fields)))
        self.wall = wall
        self.stage_count = stages

    @classmethod
    def of_columns(cls, columns: tuple[Sequence[Any], ...], wall: int, stages: int) -> Timeline:
        """Return the calls with these columns, which are the fields of `Call`."""
        timeline = cls((), wall, stages)
        timeline._fill(*columns)
        return timeline

    def _fill(
        self,
        ids: Sequence[int],
        parents: Sequence[int | None],
        stages: Sequence[int],
        tasks: Sequence[Hashable],
        starts: Sequence[int],
        ends: Sequence[int],
        producing: Sequence[int | None],
    ) -> None:
        positions: dict[int | None, int] = dict(zip(ids, range(len(ids)), strict=True))
        self.ids = ids
        self.parents = [positions.get(parent, NOBODY) for parent in parents]
        """The positions of the parents."""
        self.stages = stages
        self.tasks = tasks
        self.starts = starts
        self.ends = ends
        self.producing = producing
        self.yielding = {position for position, time in enumerate(producing) if time is not None}
        """The positions of the generators and iterations: their consumer is at work for a part of their time."""

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, positions: list[int], start: int, end: int) -> Timeline:
        """Return some of the calls on a time axis of their own."""
        calls = (
            Call(
                self.ids[each],
                None if self.parents[each] == NOBODY else self.ids[self.parents[each]],
                self.stages[each],
                self.tasks[each],
                self.starts[each] - start,
                self.ends[each] - start,
                self.producing[each],
            )
            for each in positions
        )
        return Timeline(calls, end - start, self.stage_count)

    @cached_property
    def in_order(self) -> list[int]:
        """The positions in the order in which the calls began, callers before what they called at once."""
        return sorted(sorted(range(len(self)), key=self.ids.__getitem__), key=self.starts.__getitem__)

    @cached_property
    def steps(self) -> dict[int, list[Step]]:
        """When each generator is inside its producer, as far as that is known.

        Nothing says when its single steps were. It is inside while a call is open that the producer makes in the task
        of its consumer, and outside while one is open that the consumer itself makes there. What else is known of the
        time inside is spread evenly over what is left.
        """
        if not self.yielding:
            return {}
        calls = self._calls_in_the_tasks_of_generators()
        starts, ends, parents, tasks = self.starts, self.ends, self.parents, self.tasks
        in_order = [position for position in self.in_order if position in self.yielding]
        inside: dict[int, Intervals] = {}
        for position in reversed(in_order):  # a generator is inside its producer also while that is inside another one
            made = inside.get(position, []) + calls.get((position, tasks[position]), [])
            if made:
                inside[position] = made = _within(_merged(made), starts[position], ends[position])
                parent = parents[position]
                if parent in self.yielding and tasks[parent] == tasks[position]:
                    inside[parent] = inside.get(parent, []) + made
        outside: dict[int, Intervals] = {}
        found = {}
        for position in in_order:
            start, end = starts[position], ends[position]
            parent, task = parents[position], tasks[position]
            away = _within(calls.get((parent, task), []), start, end)
            if outside.get(parent) and tasks[parent] == task:  # what feeds a generator rests when that one does
                away = _merged(away + _within(outside[parent], start, end))
            outside[position] = away
            found[position] = _steps(start, end, away, inside.get(position, []), self.producing[position] or 0)
        return found

    def _calls_in_the_tasks_of_generators(self) -> dict[tuple[int, Hashable], Intervals]:
        """Return when ordinary calls of generators or of their consumers ran, by the caller and the task."""
        yielding, tasks = self.yielding, self.tasks
        positions = yielding.union(map(self.parents.__getitem__, yielding))
        made = [each for each, parent in enumerate(self.parents) if parent in positions and each not in yielding]
        if not made:
            return {}
        callers = {(self.parents[position], tasks[position]) for position in yielding}
        callers.update((position, tasks[position]) for position in yielding)
        found = defaultdict(list)
        for position in made:
            caller = self.parents[position], tasks[position]
            if caller in callers and self.ends[position] > self.starts[position]:
                found[caller].append((self.starts[position], self.ends[position]))
        return {caller: _merged(intervals) for caller, intervals in found.items()}


def _steps(start: int, end: int, outside: Intervals, inside: Intervals, producing: int) -> list[Step]:
    """Return for which part of each interval of a window a generator is inside its producer."""
    if not inside and not outside:
        part = min(1.0, producing / (end - start)) if end > start else 0.0
        return [Step(start, end, part)] if part > 0 else []
    certain = [Step(a, b, 1.0) for gap in _gaps(outside, start, end) for a, b in _within(inside, *gap)]
    open_ = _gaps(_merged([*outside, *inside]), start, end)
    left, time = producing - sum(b - a for a, b, _ in certain), sum(b - a for a, b in open_)
    if left <= 0 or not time:
        return certain
    part = min(1.0, left / time)
    return sorted([*certain, *(Step(a, b, part) for a, b in open_)])


def _merged(intervals: Intervals) -> Intervals:
    intervals.sort()
    merged: Intervals = []
    last = -1
    for start, end in intervals:
        if start > last:
            merged.append((start, end))
            last = end
        elif end > last:
            merged[-1] = (merged[-1][0], end)
            last = end
    return merged


def _within(intervals: Intervals, start: int, end: int) -> Intervals:
    """Return what of some intervals lies in a window."""
    first = max(0, bisect_left(intervals, (start, start)) - 1)
    inside = intervals[first : bisect_left(intervals, (end, end))]
    return [(max(a, start), min(b, end)) for a, b in inside if b > start]


def _gaps(intervals: Intervals, start: int, end: int) -> Intervals:
    gaps = []
    for a, b in intervals:
        if a > start:
            gaps.append((start, a))
        start = b
    return [*gaps, (start, end)] if end > start else gaps
