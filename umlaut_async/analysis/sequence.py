"""The calls of a run that come one after the other: their times are a matter of sums.

Most calls of most runs are so, also where some are concurrent. The calls of one caller fall into groups: each begins
when all has ended that those before it have called. A group that is not in sequence itself is a knot, and needs a look
at each moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.timeline import NOBODY, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable


class Sequence(NamedTuple):
    """The times of a run, as far as they are sums, in nanoseconds."""

    own: list[float]
    """What each stage has of the time, outside of knots."""
    untracked: float
    open: list[int]
    """The time in which at least one call of a stage was open, everywhere."""
    knots: list[Timeline]
    """The knots, one behind the other; those with generators, which are slow to look at, apart from those without."""


class _Groups(NamedTuple):
    first: list[int]
    """The first call of the group of each call, by which the group is known."""
    ends: list[int]
    """When all has ended that was called in a group."""
    knots: set[int]


@dataclass
class _Axis:
    """A time axis for knots, one behind the other."""

    calls: list[int] = field(default_factory=list)
    callers: list[int | None] = field(default_factory=list)
    """The ids of their callers; those of the pieces of callers count down from -1."""
    shifts: list[int] = field(default_factory=list)
    pieces: list[tuple[int, int, int]] = field(default_factory=list)
    """Those callers of knots that are not in one themselves: for how long each knot goes on, and since when."""
    shift: int = 0
    wall: int = 0

    def begin(self, caller: int, start: int, end: int) -> None:
        """Begin a knot behind the others."""
        self.shift = self.wall - start
        if caller != NOBODY:
            self.pieces.append((caller, self.wall, self.wall + end - start))
        self.wall += end - start


def in_sequence(timeline: Timeline) -> Sequence:
    """Add up what comes one after the other."""
    order, parents, stages = timeline.in_order, timeline.parents, timeline.stages
    own: list[float] = [0.0] * timeline.stage_count
    open_time = _open(timeline, order)
    groups = _groups(timeline, order)
    if groups is None:
        return Sequence(own, 0.0, open_time, [timeline])
    inside = [0] * (len(timeline) + 1)
    """The time of what each has called; the last is that of the run."""
    for knot in groups.knots:
        inside[parents[knot]] += groups.ends[knot] - timeline.starts[knot]
    knotted, knots = _knotted(timeline, order, groups)
    for call in reversed(order):
        if not knotted[call]:
            producing = timeline.producing[call]
            time = timeline.ends[call] - timeline.starts[call] if producing is None else max(producing, inside[call])
            inside[parents[call]] += time
            own[stages[call]] += time - inside[call]
    return Sequence(own, float(timeline.wall - inside[NOBODY]), open_time, knots)


def _open(timeline: Timeline, order: Iterable[int]) -> list[int]:
    starts, ends, stages = timeline.starts, timeline.ends, timeline.stages
    found, known = [0] * timeline.stage_count, [0] * timeline.stage_count
    for call in order:
        start, end, stage = starts[call], ends[call], stages[call]
        until = known[stage]
        if end > until:
            found[stage] += end - (start if start > until else until)
            known[stage] = end
    return found


def _knotted(timeline: Timeline, order: Iterable[int], groups: _Groups) -> tuple[list[bool], list[Timeline]]:
    """Return which calls are in knots, and these knots."""
    ids, starts, parents = timeline.ids, timeline.starts, timeline.parents
    yielding_inside: set[int] = set()
    for call in timeline.yielding:
        while call != NOBODY and call not in yielding_inside:
            yielding_inside.add(call)
            call = parents[call]
    with_generators = {groups.first[call] for call in yielding_inside}
    plain, mixed = _Axis(), _Axis()
    axes: list[_Axis | None] = [None] * (len(timeline) + 1)
    """Where each call is."""
    for call in order:
        caller, first = parents[call], groups.first[call]
        axis = axes[caller]
        if axis is not None:
            above: int | None = ids[caller]
        elif first in groups.knots:
            axis = mixed if first in with_generators else plain
            if first == call:
                axis.begin(caller, starts[call], groups.ends[call])
            above = None if caller == NOBODY else -len(axis.pieces)
        else:
            continue
        axes[call] = axis
        axis.calls.append(call)
        axis.callers.append(above)
        axis.shifts.append(axis.shift)
    return [axis is not None for axis in axes], [_on_axis(timeline, axis) for axis in (plain, mixed) if axis.calls]


def _on_axis(timeline: Timeline, axis: _Axis) -> Timeline:
    calls, shifts = axis.calls, axis.shifts
    callers, starts, ends = zip(*axis.pieces, strict=True) if axis.pieces else ((), (), ())
    columns = (
        [*range(-1, -len(callers) - 1, -1), *map(timeline.ids.__getitem__, calls)],
        [*[None] * len(callers), *axis.callers],
        [*map(timeline.stages.__getitem__, (*callers, *calls))],
        [*map(timeline.tasks.__getitem__, (*callers, *calls))],
        [*starts, *map(add, map(timeline.starts.__getitem__, calls), shifts)],
        [*ends, *map(add, map(timeline.ends.__getitem__, calls), shifts)],
        [*[None] * len(callers), *map(timeline.producing.__getitem__, calls)],
    )
    return Timeline.of_columns(columns, axis.wall, timeline.stage_count)


def _groups(timeline: Timeline, order: list[int]) -> _Groups | None:
    """Return the groups of the calls of each caller, and which are knots; None where all calls are one knot."""
    starts, ends, parents, tasks = timeline.starts, timeline.ends, timeline.parents, timeline.tasks
    yielding, producing = timeline.yielding, timeline.producing
    ranks = [0] * (len(timeline) + 1)
    for rank, call in enumerate(order):
        ranks[call] = rank
    ranks[NOBODY] = -1
    if any(ranks[parents[call]] >= rank for rank, call in enumerate(order)):
        return None  # A call that began before its caller: clocks of several processes differ.
    reach = [*ends, timeline.wall]
    """When all has ended that a call has called; the last is that of the run."""
    for call in reversed(order):
        parent = parents[call]
        if reach[call] > reach[parent]:
            reach[parent] = reach[call]
    first = [NOBODY] * len(timeline)
    last = reach[:-1]
    newest = [NOBODY] * (len(timeline) + 1)
    """The group of each caller that has begun last."""
    knotted: list[int] = []
    reached = [0] * (len(timeline) + 1)
    """Until when the ordinary calls of each go on that have begun."""
    fed: dict[int, int] = {}
    """The last generator that each consumes."""
    called: dict[int, int] = dict.fromkeys(yielding, 0)
    """The time of what a generator has called."""
    away: dict[int, int] = dict.fromkeys(yielding, 0)
    """The time in which its consumer has called others."""
    for call in order:
        parent, start, end = parents[call], starts[call], ends[call]
        group = newest[parent]
        if group == NOBODY or start >= last[group]:
            newest[parent] = group = call
        elif reach[call] > last[group]:
            last[group] = reach[call]
        first[call] = group
        knot = start < reached[parent] or reach[call] > end
        if call in yielding:
            knot = knot or parent in yielding or (parent in fed and start < ends[fed[parent]])
            fed[parent] = call
        else:
            reached[parent] = reach[call]
            if parent in called:
                called[parent] += end - start
                knot = knot or tasks[call] != tasks[parent] or start < reached[parents[parent]]
            if parent in fed:
                generator = fed[parent]
                if start < ends[generator]:
                    away[generator] += end - start
                    knot = (
                        knot or end > ends[generator] or tasks[call] != tasks[generator] or start < reached[generator]
                    )
        if knot:
            knotted.append(call)
    for generator in yielding:
        inside = max(producing[generator] or 0, called[generator])
        if inside + away[generator] > ends[generator] - starts[generator]:
            knotted.append(generator)
    knots = set()
    for call in knotted:
        # A generator shares its time with its consumer.
        while parents[call] in yielding:
            call = parents[call]
        knots.add(first[call])
    if knots and all(first[call] in knots for call in order if parents[call] == NOBODY):
        return None
    return _Groups(first, last, knots)
