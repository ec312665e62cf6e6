"""The stages of a run beside each other: the time of each and of its calls, what it waited for and what it used."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import nlargest
from math import isclose
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.budget import StageBudget, budget
from umlaut_async.analysis.timeline import NOBODY, Timeline
from umlaut_async.analysis.unknown_parents import OF_TASKS, UnknownParents, unknown_parents
from umlaut_async.garbage import without_garbage_collection
from umlaut_async.store import stage_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.stage_queries import Used, UsedByStage

SLOWEST = 10
YIELDING = frozenset({"generator", "async generator", "iterate", "async iterate"})
_OPEN = ("running", "lost")
"""The status of calls that have not ended, as far as is known."""
_SAME = 1e-6
"""Entries are worked out from rates and durations, so equal ones may differ by so much."""
_JOULE = 1e6
"""In µJ."""


class Durations(NamedTuple):
    """How long the calls of a stage took that have ended, in nanoseconds, the first one apart."""

    first: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: int | None
    second_longest: int | None


class Waited(NamedTuple):
    """The time that a stage waited for a generator or a loader that it consumes."""

    source: str
    """The name of that stage."""
    time: int
    """The nanoseconds inside the producer."""
    share: float
    """What that is of the time of the calls of the stage."""


@dataclass(frozen=True)
class StageRow:
    """All calls of one name and kind."""

    name: str
    kind: str
    calls: int
    statuses: dict[str, int]
    time: int
    """The sum of the durations of the calls that ended, in nanoseconds."""
    failed: int
    """What of that is of calls that ended in an error."""
    budget: StageBudget
    durations: Durations | None
    """None where no call has ended."""
    producing: int | None = None
    """Of generators and iterations: the nanoseconds inside the producer."""
    waited: tuple[Waited, ...] = ()
    """The longest first."""
    used: dict[str, Used] = field(default_factory=dict)
    """By name of the metric: its type, and what tells it from others of that type."""
    unknown_parents: UnknownParents | None = None
    """The calls, if any, that may have run in another stage: nobody knows."""

    @property
    def single(self) -> float:
        """What a sum over its calls is to be multiplied by if each moment shall count once, however many are open."""
        return min(1.0, self.budget.open / self.time) if self.time else 1.0

    @property
    def entries(self) -> float | None:
        """How many entries it processed; None where two metrics of a type have counted different things."""
        for type_ in ("latency", "throughput"):
            counted = [used.entries for used in self.of_type(type_) if used.entries is not None]
            if counted:
                return counted[0] if all(isclose(each, counted[0], rel_tol=_SAME) for each in counted) else None
        return None

    @property
    def energy(self) -> float | None:
        """The energy of the CPU and GPU in Joule, as far as it was measured.

        It is that of the whole machine: of calls that are open at once each has measured the same, so they share it;
        and metrics with the same source have measured the same.
        """
        known: dict[tuple[str, str], float] = {}
        for used in (*self.of_type("energy"), *self.of_type("gpuenergy")):
            if used.total is not None:
                source = used.type, used.source
                known[source] = max(used.total, known.get(source, used.total))
        return sum(known.values()) / _JOULE * self.single if known else None

    @property
    def energy_per_entry(self) -> float | None:
        """The energy for one entry in Joule."""
        return self.energy / self.entries if self.energy is not None and self.entries else None

    @property
    def waiting(self) -> float | None:
        """What all that it waited for is of the time of its calls."""
        return sum(waited.share for waited in self.waited) if self.waited else None

    def of_type(self, type_: str) -> list[Used]:
        """Return its metrics of one type, in the order in which it has them."""
        return stage_queries.of_type(self.used, type_)

    def over_time(self, type_: str) -> float | None:
        """Return the mean of a metric over its time, of several of its type the highest.

        The CPU or I/O of a process is a part of that of its tree, and a stage is not idle while one of its GPUs works.
        """
        return max((used.over_time for used in self.of_type(type_) if used.over_time is not None), default=None)


class SlowCall(NamedTuple):
    """One of the slowest calls."""

    id: int
    stage: str
    started: int
    """The nanoseconds from the start of the run."""
    duration: int
    status: str
    inside: str | None
    """The stage of the call that made it."""
    unknown_parent: bool = False
    """Whether it may be inside of another call, which nobody knows."""


@dataclass(frozen=True)
class StageTable:
    """The stages of a run, in the order of their first calls, and what of its time is theirs."""

    began: int
    """The start of the run or of its first call, in nanoseconds since the epoch."""
    wall: int
    """The nanoseconds to its end, or as far as it is known."""
    untracked: float
    """Those in which no call was at work."""
    critical_untracked: float
    """Those of the critical path in which none was."""
    stages: list[StageRow]
    slowest: list[SlowCall]
    timeline: Timeline


def stage_table(session: Session, run: RunInfo) -> StageTable:
    """Return the stages of a run."""
    # What a run used that has ended changes no more: it can be added up in the meantime, on another core.
    asked = stage_queries.used_beside if run.ended is not None else stage_queries.used_here
    with without_garbage_collection(), asked(session, run.uuid) as used:
        return _stage_table(session, run, used)


def _stage_table(session: Session, run: RunInfo, ask_what_was_used: Callable[[], UsedByStage]) -> StageTable:
    columns = stage_queries.call_columns(session, run.uuid)
    ids, parents, names, kinds, tasks, started, durations, producing, statuses = columns
    began = min(run.started, min(started, default=run.started))
    starts = [moment - began for moment in started]
    known = max(map(add, starts, (duration or 0 for duration in durations)), default=0)
    # What still runs, or was lost, lasts for as long as anything is known of it.
    wall = max((run.ended or stage_queries.last_moment(session, run.uuid) or began) - began, known)
    numbers: dict[tuple[str, str], int] = {}
    of_calls = [numbers.setdefault(stage, len(numbers)) for stage in zip(names, kinds, strict=True)]
    ended: dict[int, list[int]] = defaultdict(list)
    for stage, duration in zip(of_calls, durations, strict=True):
        if duration is not None:
            ended[stage].append(duration)
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for (stage, status), count in Counter(zip(of_calls, statuses, strict=True)).items():
        counts[stage][status] = count
    failed: Counter[int] = Counter()
    if "error" in statuses:
        for stage, status, duration in zip(of_calls, statuses, durations, strict=True):
            if status == "error":
                failed[stage] += duration or 0
    yielding = {stage for (_, kind), stage in numbers.items() if kind in YIELDING}
    inside: list[int | None] = [None] * len(of_calls)
    producing_time: dict[int, int] = {}
    if yielding:
        for position, (stage, duration, time) in enumerate(zip(of_calls, durations, producing, strict=True)):
            if stage not in yielding:
                continue
            if time is not None:
                inside[position] = max(0, time)
                if duration is not None:
                    producing_time[stage] = producing_time.get(stage, 0) + max(0, time)
            elif statuses[position] in _OPEN:
                inside[position] = 0  # As far as is known, it was at work in what it calls alone.
    ends = [
        wall if duration is None else start + duration if duration > 0 else start
        for start, duration in zip(starts, durations, strict=True)
    ]
    timeline = Timeline.of_columns((ids, parents, of_calls, tasks, starts, ends, inside), wall, len(numbers))
    divided = budget(timeline)
    waited = _waited(timeline, [name for name, _ in numbers], durations)
    of_tasks = {stage for (_, kind), stage in numbers.items() if kind in OF_TASKS}
    unknown = unknown_parents(timeline, of_tasks)
    of_stages = _of_stages(timeline, unknown, [name for name, _ in numbers])
    used = ask_what_was_used()
    stages = [
        StageRow(
            name,
            kind,
            sum(counts[stage].values()),
            counts[stage],
            sum(ended[stage]),
            failed[stage],
            divided.stages[stage],
            durations_of(ended[stage]),
            producing_time.get(stage),
            _shares(waited.get(stage, {}), sum(ended[stage])),
            used.get((name, kind), {}),
            of_stages.get(stage),
        )
        for (name, kind), stage in numbers.items()
    ]
    slowest = _slowest(timeline, stages, statuses, unknown)
    return StageTable(began, wall, divided.untracked, divided.critical_untracked, stages, slowest, timeline)


def durations_of(ended: Sequence[int]) -> Durations | None:
    """Return what is typical of some durations; the first is apart, since it may hold what is done only once."""
    if not ended:
        return None
    others = sorted(ended[1:])
    if not others:
        return Durations(ended[0], None, None, None, None, None)
    half, most, nearly_all = (percentile(others, part) for part in (0.5, 0.95, 0.99))
    return Durations(ended[0], half, most, nearly_all, others[-1], others[-2] if len(others) > 1 else None)


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which a part of the others lies, between neighbours in proportion."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _waited(timeline: Timeline, names: Sequence[str], durations: Sequence[int | None]) -> dict[int, Counter[str]]:
    """Return the nanoseconds that calls of each stage, once ended, had waited for generators, by the names of these."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for position in timeline.yielding:
        parent = timeline.parents[position]
        if parent != NOBODY and durations[parent] is not None:
            found[timeline.stages[parent]][names[timeline.stages[position]]] += timeline.producing[position] or 0
    return found


def _shares(waited: Counter[str] | dict[str, int], time: int) -> tuple[Waited, ...]:
    ordered = sorted(waited.items(), key=lambda item: -item[1])
    return tuple(Waited(name, spent, spent / time) for name, spent in ordered) if time else ()


def _of_stages(timeline: Timeline, unknown: dict[int, int], names: Sequence[str]) -> dict[int, UnknownParents]:
    times: Counter[int] = Counter()
    perhaps: dict[int, Counter[str]] = defaultdict(Counter)
    for call, outer in unknown.items():
        stage = timeline.stages[call]
        times[stage] += timeline.ends[call] - timeline.starts[call]
        perhaps[stage][names[timeline.stages[outer]]] += 1
    return {
        stage: UnknownParents(found.total(), times[stage], found.most_common(1)[0][0])
        for stage, found in perhaps.items()
    }


def _slowest(
    timeline: Timeline, stages: Sequence[StageRow], statuses: Sequence[str], unknown: Collection[int]
) -> list[SlowCall]:
    starts, ends = timeline.starts, timeline.ends
    slowest = nlargest(SLOWEST, range(len(timeline)), key=lambda position: ends[position] - starts[position])
    return [
        SlowCall(
            timeline.ids[position],
            stages[timeline.stages[position]].name,
            starts[position],
            ends[position] - starts[position],
            statuses[position],
            None if timeline.parents[position] == NOBODY else stages[timeline.stages[timeline.parents[position]]].name,
            position in unknown,
        )
        for position in slowest
    ]
