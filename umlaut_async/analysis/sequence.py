"""The calls of a run that come one after the other: their times are a matter of sums.

Most calls of most runs are so, also where a few are concurrent; only these, with the call that made them, are tangled,
and need a look at each moment.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.timeline import NOBODY

if TYPE_CHECKING:
    from umlaut_async.analysis.timeline import Timeline


class Sequence(NamedTuple):
    """The times of a run, as far as they are sums, in nanoseconds."""

    own: list[float]
    """What each stage has of the time, outside of tangles."""
    untracked: float
    open: list[int]
    """The time in which at least one call of a stage was open, everywhere."""
    tangles: list[Timeline]
    """What is not in sequence, each with the call that made it."""


def in_sequence(timeline: Timeline) -> Sequence:
    """Add up what comes one after the other."""
    starts, ends, parents, stages = timeline.starts, timeline.ends, timeline.parents, timeline.stages
    order = timeline.in_order
    tangled = _tangled(timeline, order)
    open_time, open_until = [0] * timeline.stage_count, [0] * timeline.stage_count
    for call in order:
        start, end, stage = starts[call], ends[call], stages[call]
        until = open_until[stage]
        if end > until:
            open_time[stage] += end - (start if start > until else until)
            open_until[stage] = end
    own: list[float] = [0.0] * timeline.stage_count
    if NOBODY in tangled:
        return Sequence(own, 0.0, open_time, [timeline])
    # The topmost tangled caller of each call, if there is one.
    knots: dict[int, int] = {}
    if tangled:
        for call in order:
            if parents[call] in knots:
                knots[call] = knots[parents[call]]
            elif call in tangled:
                knots[call] = call
    inside = [0] * (len(timeline) + 1)
    """The time of what each has called; the last is that of the run."""
    for call in reversed(order):
        if knots.get(call, call) != call:
            continue
        producing = timeline.producing[call]
        time = ends[call] - starts[call] if producing is None else max(producing, inside[call])
        inside[parents[call]] += time
        if call not in knots:
            own[stages[call]] += time - inside[call]
    members = defaultdict(list)
    for call, knot in knots.items():
        members[knot].append(call)
    tangles = [timeline.part(calls, starts[knot], ends[knot]) for knot, calls in members.items()]
    return Sequence(own, float(timeline.wall - inside[NOBODY]), open_time, tangles)


def _tangled(timeline: Timeline, order: list[int]) -> set[int]:
    """Return the ordinary calls, or `NOBODY`, below which calls are not in sequence."""
    starts, ends, parents, tasks = timeline.starts, timeline.ends, timeline.parents, timeline.tasks
    yielding, producing = timeline.yielding, timeline.producing
    reach = [*ends, timeline.wall]
    """When all has ended that a call has called; the last is that of the run."""
    ranks = [0] * (len(timeline) + 1)
    for rank, call in enumerate(order):
        ranks[call] = rank
    ranks[NOBODY] = -1
    if any(ranks[parents[call]] >= rank for rank, call in enumerate(order)):
        return {NOBODY}  # A call that began before its caller: clocks of several processes differ.
    for call in reversed(order):
        parent = parents[call]
        if reach[call] > reach[parent]:
            reach[parent] = reach[call]
    tangled: set[int] = set()
    reached = [0] * (len(timeline) + 1)
    """Until when the ordinary calls of each go on that have begun."""
    fed: dict[int, int] = {}
    """The last generator that each consumes."""
    called: dict[int, int] = dict.fromkeys(yielding, 0)
    """The time of what a generator has called."""
    away: dict[int, int] = dict.fromkeys(yielding, 0)
    """The time in which its consumer has called others."""
    windows = [*ends, timeline.wall]
    for call in order:
        parent, start, end = parents[call], starts[call], ends[call]
        if start < reached[parent]:
            tangled.add(parent)
        if reach[call] > windows[parent]:
            tangled.add(parents[parent] if parent != NOBODY else NOBODY)
        if NOBODY in tangled:
            return {NOBODY}  # Then all of them are, whatever follows.
        if call in yielding:
            if parent in yielding or (parent in fed and start < ends[fed[parent]]):
                tangled.add(parent)
            fed[parent] = call
            continue
        reached[parent] = reach[call]
        if parent in called:
            called[parent] += end - start
            if tasks[call] != tasks[parent] or start < reached[parents[parent]]:
                tangled.add(parent)
        if parent in fed:
            generator = fed[parent]
            if start < ends[generator]:
                away[generator] += end - start
                if end > ends[generator] or tasks[call] != tasks[generator] or start < reached[generator]:
                    tangled.add(parent)
    for generator in yielding:
        inside = max(producing[generator] or 0, called[generator])
        if inside + away[generator] > ends[generator] - starts[generator]:
            tangled.add(generator)
    for call in tangled & yielding:
        # A generator shares its time with its consumer.
        while call in yielding:
            tangled.discard(call)
            call = parents[call]
        tangled.add(call)
    return tangled
