"""The wall-clock budget of a run: at each moment, which stages were at work, so that all shares add up to the run.

A call is at work while none of the calls is open that it has made. A generator takes turns with its consumer: it is at
work for the time inside its producer, the consumer for the rest. Where several calls are at work at once, the time is
divided between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.critical import critical_path
from umlaut_async.analysis.sequence import in_sequence
from umlaut_async.analysis.sweep import sweep

if TYPE_CHECKING:
    from umlaut_async.analysis.timeline import Timeline


class StageBudget(NamedTuple):
    """What of the time of a run is that of one stage, in nanoseconds."""

    open: float
    """The time in which at least one of its calls was open."""
    alone: float
    """Its share of the time in which no two calls were at work."""
    overlapped: float
    """Its share of the time in which several calls were at work, those of one stage also."""
    elsewhere: float
    """The time in which it was open, but what it had called was at work, or the consumer of a generator."""
    critical: float
    """Its part of the critical path."""

    @property
    def share(self) -> float:
        """What is its own: with those of the other stages and the untracked time this adds up to the run."""
        return self.alone + self.overlapped


class Budget(NamedTuple):
    """Where the time of a run went, in nanoseconds."""

    wall: int
    stages: list[StageBudget]
    """By the number of the stage."""
    untracked: float
    """The time in which no call was at work."""
    critical_untracked: float
    """What of the critical path is in no call."""


def budget(timeline: Timeline) -> Budget:
    """Divide the time of a run among its stages."""
    sequence = in_sequence(timeline)
    alone, critical, busy = list(sequence.own), list(sequence.own), list(sequence.own)
    overlapped = [0.0] * timeline.stage_count
    untracked = critical_untracked = sequence.untracked
    for knot in sequence.knots:
        shares = sweep(knot)
        on_path, beside = critical_path(knot)
        untracked += shares.untracked
        critical_untracked += beside
        for stage in set(knot.stages):
            alone[stage] += shares.alone[stage]
            overlapped[stage] += shares.overlapped[stage]
            busy[stage] += shares.busy[stage]
            critical[stage] += on_path[stage]
    found = [
        StageBudget(float(time), alone[stage], overlapped[stage], max(0.0, time - busy[stage]), critical[stage])
        for stage, time in enumerate(sequence.open)
    ]
    return Budget(timeline.wall, found, untracked, critical_untracked)
