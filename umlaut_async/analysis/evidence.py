"""What samples say beside the values of calls: when the event loop was blocked, and whether memory grows."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.store import queries, run_queries, stage_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.analysis.stages import StageRow, StageTable
    from umlaut_async.analysis.timeline import Intervals, Timeline
    from umlaut_async.store.chunks import Bucket
    from umlaut_async.store.queries import RunInfo

BLOCKED = 0.05
"""The seconds without an answer from which on a loop counts as blocked."""
_STEPS = 60
_FEWEST = 9
"""Steps of time that show a trend."""
_MIB = 16
_PART = 0.25
_RECORD = 2 / 1024
"""The MiB that the record of a call may take until it is stored."""


class Blocks(NamedTuple):
    """The times in which the event loop ran nothing else, in nanoseconds."""

    number: int
    time: int
    worst: int
    stage: int | None
    """The number of the stage that ran then; None where no one did for most of that time."""


class Trend(NamedTuple):
    """A series that grows all the way."""

    since: int
    """When it had warmed up, in nanoseconds since the epoch."""
    first: float
    last: float
    """Its mean then and in the end."""


class Growth(NamedTuple):
    """Memory that only grows, in MiB."""

    first: float
    last: float
    stage: tuple[str, str] | None
    """Name and kind of the stage in whose calls at least half of it came, as far as its calls were measured."""
    waits: bool = False
    """Whether that much may be what waits in the same process to be stored."""


def blocks(session: Session, run_uuid: str, table: StageTable) -> Blocks | None:
    """Return when the event loop was blocked, from the samples of its lag; None where none says so."""
    found: Intervals = []
    for series in run_queries.series(session, run_uuid, ["looplag"]):
        for moment, lag in stage_queries.samples_from(session, series.id, BLOCKED):
            end = moment - table.began
            found.append((max(0, end - round(lag * 1e9)), end))
    return blocks_in(found, table.timeline) if found else None


def blocks_in(intervals: Intervals, timeline: Timeline) -> Blocks:
    """Return what ran in some intervals, which may overlap."""
    merged: Intervals = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    lengths = [end - start for start, end in merged]
    return Blocks(len(merged), sum(lengths), max(lengths), _blamed(merged, sum(lengths), timeline))


def _blamed(blocked: Intervals, total: int, timeline: Timeline) -> int | None:
    """Return the stage that was open during most of the blocks, and during little else."""
    within = _measure_of(blocked)
    inside: dict[int, int] = defaultdict(int)
    lasted: dict[int, int] = defaultdict(int)
    for stage, start, end in zip(timeline.stages, timeline.starts, timeline.ends, strict=True):
        inside[stage] += within(end) - within(start)
        lasted[stage] += end - start
    likely = [stage for stage, time in inside.items() if time >= total / 2]
    return max(likely, key=lambda stage: inside[stage] / lasted[stage], default=None)


def _measure_of(intervals: Intervals) -> Callable[[int], int]:
    """Return a function that says how much of some intervals lies before a moment."""
    starts = [start for start, _ in intervals]
    sums = [0, *accumulate(end - start for start, end in intervals)]

    def before(moment: int) -> int:
        index = bisect_left(starts, moment)
        return sums[index] - (max(0, intervals[index - 1][1] - moment) if index else 0)

    return before


def growth(session: Session, run: RunInfo, table: StageTable) -> Growth | None:
    """Return by how much the memory of the run only grew; None where it did not."""
    grown = []
    for series in run_queries.series(session, run.uuid, ["memory"]):
        trend = trend_of(queries.series_overview(session, series.id, _STEPS))
        if trend is not None:
            grown.append((trend.last - trend.first, series.process_id, series.source, trend))
    if not grown:
        return None
    most, process_id, source, trend = max(grown)
    # Whose memory it is that waits to be stored, no stage can be told.
    if records_wait_here(run.collector) and most <= _RECORD * len(table.timeline):
        return Growth(trend.first, trend.last, None, waits=True)
    inside = stage_queries.growth(session, process_id, "memory", source, trend.since)
    return Growth(trend.first, trend.last, grower(inside, most, table.stages))


def records_wait_here(account: Any) -> bool:
    """Return whether what was recorded is stored by a thread of the process itself, as far as a run says."""
    return isinstance(account, dict) and account.get("mode") == "thread"


def grower(inside: Mapping[tuple[str, str], float], most: float, stages: Sequence[StageRow]) -> tuple[str, str] | None:
    """Return the stage in which memory grew: of those with half of it the one that was open least, the innermost.

    Args:
        inside: By how much it grew from the beginnings to the ends of the calls of each stage, in all.
        most: By how much it grew.
        stages: All stages.
    """
    likely = [stage for stage in stages if inside.get((stage.name, stage.kind), 0.0) * stage.single >= most / 2]
    found = min(likely, key=lambda stage: stage.budget.open, default=None)
    return None if found is None else (found.name, found.kind)


def trend_of(steps: Sequence[Bucket]) -> Trend | None:
    """Return how a series grows all the way, once it has warmed up; None where it does not.

    It grows if it is larger in each third of that time than in the one before, by a quarter of all growth at least, and
    in the end by a quarter and by 16 MiB: what is only loaded once, or comes and goes, is no growth.
    """
    settled = steps[len(steps) // 5 :]
    if len(settled) < _FEWEST:
        return None
    third = len(settled) // 3
    parts = settled[:third], settled[third:-third], settled[-third:]
    low, middle, high = (median(step.mean for step in part) for part in parts)
    grown = high - low
    # What goes up and down has high and low values in each third.
    if quantiles((step.mean for step in parts[0]), n=4)[2] >= quantiles((step.mean for step in parts[2]), n=4)[0]:
        return None
    if grown < max(_MIB, _PART * low) * 2 / 3 or min(middle - low, high - middle) < _PART * grown:
        return None
    return Trend(settled[0].t, settled[0].mean, settled[-1].mean)
