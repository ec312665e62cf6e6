"""Scripts of a run: what happens in its processes, between these and the collector, and when the collector stores.

A script is played by `play` through the package, and read by `reading` without it. What it measures is known at each
moment: the sources are functions of the time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TypeAlias

from hypothesis import strategies as st

STEP = 100_000
"""The nanoseconds of a step, by which the clock moves: the least distance of two edge readings that are both stored."""
START = 1_000 * STEP
EPOCH = 1_700_000_000_000_000_000
"""When the clock of the script stood at 0."""
MOST_PROCESSES, MOST_TASKS = 4, 3
LONGEST = 80


@dataclass(frozen=True)
class Source:
    """What is measured, at one interval."""

    name: str
    interval: int
    """In steps."""
    counter: bool = False
    far: bool = False
    """Whether it is read elsewhere than in the calls, which ask for their edges."""
    fails: bool = False
    """Whether some readings of it fail."""


NEAR = Source("near", 10)
SLOW = Source("near", 100)
FLAKY = Source("flaky", 10, fails=True)
COUNTER = Source("counter", 10, counter=True)
FAR = Source("far", 10, far=True)
TALLY = Source("tally", 20, counter=True, far=True)
SOURCES = (NEAR, SLOW, FLAKY, COUNTER, FAR, TALLY)


@dataclass(frozen=True)
class Measure:
    """A metric of a stage."""

    description: str
    reduction: str
    source: Source | None = None


@dataclass(frozen=True)
class StageKind:
    """A stage."""

    name: str
    measures: tuple[Measure, ...]


TIME = Measure("the time", "time")
STAGES = (
    StageKind("plain", (TIME, Measure("the latency", "latency"))),
    StageKind("mean", (TIME, Measure("the mean", "mean", NEAR))),
    StageKind("peak", (Measure("the peak", "peak", NEAR), TIME, Measure("the slow mean", "mean", SLOW))),
    StageKind("rate", (TIME, Measure("the rate", "cpu", COUNTER), Measure("the mean", "mean", NEAR))),
    StageKind("flaky", (Measure("the flaky mean", "mean", FLAKY),)),
    StageKind("far", (TIME, Measure("the far mean", "mean", FAR))),
    StageKind("tally", (Measure("the tally", "difference", TALLY), Measure("the far mean", "mean", FAR))),
)


def value_at(source: Source, t: int) -> int | None:
    """Return what a source holds at a moment; None where it cannot be read then. Two intervals have one source."""
    step = t // STEP
    noise = step * 7_919 % 1_009
    if source.fails and noise % 3 == 0:
        return None
    if source.counter:
        # Nothing that grows as the clock does: a rate would be the same everywhere.
        return step * 1_009 + noise
    return noise - 500


@dataclass(frozen=True)
class Pass:
    """The clock moves on."""

    steps: int


@dataclass(frozen=True)
class Fork:
    """A process is forked in a task of another one, and begins to connect to the collector."""

    process: int
    task: int


@dataclass(frozen=True)
class Spawn:
    """A task begins another one, which takes over what the first is in."""

    process: int
    task: int


@dataclass(frozen=True)
class Begin:
    """A call begins."""

    process: int
    task: int
    stage: int


@dataclass(frozen=True)
class Track:
    """The innermost call of a task gets entries."""

    process: int
    task: int
    entries: int


@dataclass(frozen=True)
class End:
    """The innermost call of a task ends."""

    process: int
    task: int
    status: str


@dataclass(frozen=True)
class Log:
    """A value of the user is recorded."""

    process: int
    value: int


@dataclass(frozen=True)
class Tick:
    """A source is read for a sample, which takes so many steps; missed where the source is just being read."""

    process: int
    source: int
    took: int


@dataclass(frozen=True)
class Answer:
    """What is being read elsewhere for edges of calls is read now; nothing where nothing is."""

    process: int
    source: int


@dataclass(frozen=True)
class Send:
    """A process sends what it has."""

    process: int


@dataclass(frozen=True)
class Deliver:
    """So many of the parcels that a process has sent, the oldest first, come to the collector; its end is the last."""

    process: int
    parcels: int


@dataclass(frozen=True)
class Round:
    """The collector takes and stores what has come."""


@dataclass(frozen=True)
class Flush:
    """A process asks for all of it to be on disk; that of the collector is answered at once, by a round."""

    process: int


@dataclass(frozen=True)
class Leave:
    """A process ends its part of the run: it says so with the next parcel."""

    process: int


@dataclass(frozen=True)
class Die:
    """A process is killed: what it has sent arrives, and nothing else."""

    process: int
    how: str


Event: TypeAlias = (
    "Pass | Fork | Spawn | Begin | Track | End | Log | Tick | Answer | Send | Deliver | Round | Flush | Leave | Die"
)


@dataclass(frozen=True)
class Script:
    """What happens in a run, between its beginning and its end in the process of the collector."""

    events: tuple[Event, ...]
    block: int
    """How many samples are packed together, and how many of them stay in memory for calls."""


@dataclass
class _Process:
    alive: bool = True
    records: bool = True
    tasks: list[int] = field(default_factory=lambda: [0])
    """How many calls are open in each task."""
    sources: set[Source] = field(default_factory=set)


def fitting(wishes: list[list[Event]]) -> tuple[Event, ...]:
    """Return those of the events that can be, their processes, tasks and sources being those that there are."""
    processes = [_Process()]
    events: list[Event] = []
    for wish in itertools.chain.from_iterable(wishes):
        event = _fitted(wish, processes)
        if event is not None:
            events.append(event)
    return tuple(events)


def _fitted(wish: Event, processes: list[_Process]) -> Event | None:
    if isinstance(wish, Pass | Round):
        return wish
    number = wish.process % len(processes)
    process = processes[number]
    if isinstance(wish, Deliver):
        return Deliver(number, wish.parcels) if number else None
    if not process.alive:
        return None
    if isinstance(wish, Send):
        return Send(number) if number else None
    if isinstance(wish, Die):
        if not number:
            return None
        process.alive = process.records = False
        return Die(number, wish.how)
    if not process.records:
        return None
    return _of_recording(wish, number, process, processes)


def _of_recording(wish: Event, number: int, process: _Process, processes: list[_Process]) -> Event | None:
    if isinstance(wish, Fork | Spawn | Begin | Track | End):
        return _of_task(wish, number, wish.task % len(process.tasks), process, processes)
    if isinstance(wish, Log):
        return Log(number, wish.value)
    if isinstance(wish, Tick | Answer):
        sources = [each for each in SOURCES if each in process.sources and (each.far or isinstance(wish, Tick))]
        if not sources:
            return None
        source = SOURCES.index(sources[wish.source % len(sources)])
        return Answer(number, source) if isinstance(wish, Answer) else Tick(number, source, wish.took)
    if isinstance(wish, Flush):
        return Flush(number)
    if isinstance(wish, Leave) and number:
        process.records = False
        return Leave(number)
    return None


def _of_task(
    wish: Fork | Spawn | Begin | Track | End, number: int, task: int, process: _Process, processes: list[_Process]
) -> Event | None:
    if isinstance(wish, Fork):
        if len(processes) == MOST_PROCESSES:
            return None
        processes.append(_Process())
        return Fork(number, task)
    if isinstance(wish, Spawn):
        if len(process.tasks) == MOST_TASKS:
            return None
        process.tasks.append(0)
        return Spawn(number, task)
    if isinstance(wish, Begin):
        process.tasks[task] += 1
        stage = wish.stage % len(STAGES)
        process.sources |= {each.source for each in STAGES[stage].measures if each.source is not None}
        return Begin(number, task, stage)
    busy = [each for each, calls in enumerate(process.tasks) if calls]
    if not busy:
        return None
    task = busy[wish.task % len(busy)]
    if isinstance(wish, Track):
        return Track(number, task, wish.entries)
    process.tasks[task] -= 1
    return End(number, task, wish.status)


def _wishes() -> st.SearchStrategy[list[Event]]:
    process, task = st.sampled_from([0, 0, 1, 1, 1, 2, 3]), st.integers(0, MOST_TASKS - 1)
    stage, source = st.integers(0, len(STAGES) - 1), st.integers(0, len(SOURCES) - 1)
    status = st.sampled_from(["ok", "ok", "error", "cancelled", "closed"])
    took, steps = st.sampled_from([0, 0, 0, 1, 3]), st.integers(1, 30)
    kinds: list[tuple[int, st.SearchStrategy[Event]]] = [
        (7, st.builds(Begin, process, task, stage)),
        (10, st.builds(End, process, task, status)),
        (8, st.builds(Tick, process, source, took)),
        (8, st.builds(Pass, steps)),
        (6, st.builds(Answer, process, source)),
        (6, st.builds(Send, process)),
        (5, st.builds(Deliver, process, st.integers(1, 3))),
        (3, st.builds(Fork, process, task)),
        (3, st.builds(Spawn, process, task)),
        (3, st.builds(Track, process, task, st.integers(0, 3))),
        (2, st.builds(Log, process, st.integers(-9, 9))),
        (2, st.builds(Round)),
        (2, st.builds(Flush, process)),
        (1, st.builds(Leave, process)),
        (1, st.builds(Die, process, st.sampled_from(["killed by SIGKILL", "killed by SIGTERM"]))),
    ]
    single = st.sampled_from([kind for weight, kind in kinds for _ in range(weight)]).flatmap(lambda kind: kind)
    samples = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), took), min_size=1, max_size=12)
    stretch = st.builds(_stretch, process, task, stage, samples, status)
    killed = st.builds(_killed, process, task, stage)
    one = single.map(lambda event: [event])
    return st.sampled_from([*[one] * 26, *[stretch] * 4, killed]).flatmap(lambda kind: kind)


def _stretch(process: int, task: int, stage: int, samples: list[tuple[int, int, int]], status: str) -> list[Event]:
    """Return a call, or two, of some samples, which would hardly come about event by event."""
    answers: list[Event] = [Answer(process, 0), Answer(process, 1)] * 2
    ticks: list[Event] = []
    for steps, source, took in samples:
        ticks += [Pass(steps), Tick(process, source, took)]
    # Its edges are read at once, or late, or first where it has ended.
    begun: list[Event] = [Begin(process, task, stage)] * (1 + len(samples) % 2)
    ended: list[Event] = [End(process, task, status)] * len(begun)
    return [*begun, *answers[: 2 * (len(samples) % 3)], *ticks, *ended, Pass(samples[0][0]), *answers]


def _killed(process: int, task: int, stage: int) -> list[Event]:
    """Return the death of a process in a call of which the collector knows."""
    known: list[Event] = [Begin(process, task, stage), Send(process), Deliver(process, 9)]
    return [*known, Pass(1), Die(process, "killed by SIGTERM"), Deliver(process, 1), Round()]


def _scripts() -> st.SearchStrategy[Script]:
    wish = _wishes()
    # Lists alone would be short, and little happens in a short script.
    lists = st.integers(1, LONGEST).flatmap(lambda length: st.lists(wish, min_size=length, max_size=length))
    first: list[list[Event]] = [[Fork(0, 0), Deliver(1, 1)]]
    return st.builds(
        lambda joined, wishes, block: Script(fitting([*first[:joined], *wishes]), block),
        st.booleans(),
        lists,
        st.sampled_from([4, 4096]),
    )


scripts = _scripts()
"""Makes scripts."""
