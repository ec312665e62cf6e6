"""Who is at work at each moment of a run: a sweep over the beginnings and ends of all calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.timeline import NOBODY

if TYPE_CHECKING:
    from umlaut_async.analysis.timeline import Timeline

# Weights are integers, which do not drift however often they are added and taken away.
_WHOLE = 1 << 16

_CLOSES, _OPENS, _RESTS, _WORKS = range(4)


class Shares(NamedTuple):
    """What stages have of a time, in nanoseconds and by their numbers."""

    alone: list[float]
    overlapped: list[float]
    busy: list[float]
    """The time in which a call of the stage was at work, whatever else was."""
    untracked: float


def sweep(timeline: Timeline) -> Shares:
    """Divide the time of a run among its stages, as `umlaut_async.analysis.budget` says."""
    return _with_generators(timeline) if timeline.yielding else _without_generators(timeline)


def _without_generators(timeline: Timeline) -> Shares:
    """Do it where each call is wholly at work or not at all: each counts from what it begins with to what it ends with.

    What a moment gives to each call at work is the same for all, so one running sum serves them together.
    """
    count = timeline.stage_count
    alone, busy, working = [0] * count, [0] * count, [0] * count
    overlapped = [0.0] * count
    total = now = untracked = lonely = 0
    shared = 0.0
    shift = count.bit_length() + 1
    mask = (1 << shift) - 1
    for event in _turns(timeline, shift):
        moment = event >> shift
        if moment != now:
            if total > 1:
                shared += (moment - now) / total
            elif total:
                lonely += moment - now
            else:
                untracked += moment - now
            now = moment
        stage = (event & mask) >> 1
        if event & 1:
            if not working[stage]:
                busy[stage] -= now
            working[stage] += 1
            total += 1
            overlapped[stage] -= shared
            alone[stage] -= lonely
        else:
            working[stage] -= 1
            if not working[stage]:
                busy[stage] += now
            total -= 1
            overlapped[stage] += shared
            alone[stage] += lonely
    untracked += timeline.wall - now
    return Shares([*map(float, alone)], overlapped, [*map(float, busy)], float(untracked))


def _turns(timeline: Timeline, shift: int) -> list[int]:
    """Return when calls begin to be at work (odd) and end, each with the number of its stage, in the order of time."""
    starts, ends, parents, stages = timeline.starts, timeline.ends, timeline.parents, timeline.stages
    rested = [*starts]
    """Until when each call waits for what it has called so far."""
    begun, ended = [], []
    for call in timeline.in_order:
        parent = parents[call]
        start, end = starts[call], ends[call]
        if parent == NOBODY or end <= start:
            continue
        since = rested[parent]
        if start > since and ends[parent] > since:
            begun.append(since << shift | stages[parent] << 1 | 1)
            ended.append(min(start, ends[parent]) << shift | stages[parent] << 1)
        if end > since:
            rested[parent] = end
    for since, end, stage in zip(rested, ends, stages, strict=True):
        if end > since:
            begun.append(since << shift | stage << 1 | 1)
            ended.append(end << shift | stage << 1)
    begun.sort()
    ended.sort()
    return sorted(ended + begun)


def _with_generators(timeline: Timeline) -> Shares:
    """Do it where a call may be at work for a part of a time: each change of the weight it has then counts.

    Here, too, what a moment gives to one at work is the same for all; only how busy a stage is must be known of each.
    """
    count = timeline.stage_count
    alone, overlapped, busy = [0.0] * count, [0.0] * count, [0] * count
    untracked = 0
    single = several = 0.0
    """What a whole call at work has got so far as one alone, and as one of several."""

    parents, stages = timeline.parents, timeline.stages
    working = [0] * len(timeline)
    """The weight of a call that has called nothing."""
    own = [0] * len(timeline)
    """What is left of it beside what it has called."""
    called = [0] * len(timeline)
    """How many ordinary calls it has open."""
    producers = [0] * len(timeline)
    """The weights of the generators that it consumes."""
    weights, since = [0] * count, [0] * count
    """Those of the stages at work, and since when these are."""
    total = 0

    events, shift, steps = _events(timeline)
    mask = (1 << shift) - 1
    now = 0
    for event in events:
        moment = event >> shift
        if moment != now:
            step = moment - now
            now = moment
            if total <= _WHOLE:
                untracked += step * (_WHOLE - total)
                single += step
            else:
                part = min(_WHOLE, total - _WHOLE) / total
                several += step * part
                single += step * (_WHOLE / total - part)
        what = event & 3
        call = (event & mask) >> 2
        share = 0
        if what > _OPENS:
            call, share = steps[call]
            if what is _RESTS:
                share = -share
            working[call] += share
        else:
            working[call] = _WHOLE if what is _OPENS else 0
        # What happens to the call itself (written out, and not a function, since this is the innermost loop) …
        left = 0 if called[call] else max(0, working[call] - producers[call])
        change = left - own[call]
        if change:
            own[call] = left
            total += change
            stage = stages[call]
            weight = weights[stage]
            busy[stage] += (now - since[stage]) * (weight if weight < _WHOLE else _WHOLE)
            since[stage] = now
            weights[stage] = weight + change
            alone[stage] -= single * change
            overlapped[stage] -= several * change
        # … and to the one that has called it.
        call = parents[call]
        if call == NOBODY:
            continue
        if share:
            producers[call] += share
        else:
            called[call] += 1 if what is _OPENS else -1
        left = 0 if called[call] else max(0, working[call] - producers[call])
        change = left - own[call]
        if change:
            own[call] = left
            total += change
            stage = stages[call]
            weight = weights[stage]
            busy[stage] += (now - since[stage]) * (weight if weight < _WHOLE else _WHOLE)
            since[stage] = now
            weights[stage] = weight + change
            alone[stage] -= single * change
            overlapped[stage] -= several * change
    untracked += (timeline.wall - now) * _WHOLE
    in_time = [[time / _WHOLE for time in times] for times in (alone, overlapped, busy)]
    return Shares(in_time[0], in_time[1], in_time[2], untracked / _WHOLE)


def _events(timeline: Timeline) -> tuple[list[int], int, list[tuple[int, int]]]:
    """Return what happens to which call in the order of time, and the calls and weights of generators at work.

    An event is one integer, since these are quick to sort: its time, the position of the call, and what happens.
    """
    steps = [(position, step) for position, found in timeline.steps.items() for step in found]
    shift = max(len(timeline), len(steps)).bit_length() + 2
    starts, ends = timeline.starts, timeline.ends
    yielding = timeline.yielding
    # A call that takes no time takes none of the time, and a generator only in its steps.
    lasting = [each for each, start in enumerate(starts) if ends[each] > start and each not in yielding]
    events = [starts[each] << shift | each << 2 | _OPENS for each in lasting]
    events += sorted([ends[each] << shift | each << 2 for each in lasting])
    for number, (_, (start, end, _)) in enumerate(steps):
        events.append(start << shift | number << 2 | _WORKS)
        events.append(end << shift | number << 2 | _RESTS)
    events.sort()
    return events, shift, [(position, round(step.part * _WHOLE)) for position, step in steps]
