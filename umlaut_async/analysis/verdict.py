"""What stands out in a run, in one sentence, with the rule that led to it; nothing where nothing does.

The rules are asked in the order in which causes come before their symptoms: a stage that waits for its loader is idle
too, but the loader is the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.text import duration, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from umlaut_async.analysis.evidence import Blocks, Growth
    from umlaut_async.analysis.stages import StageRow

LARGE = 0.3
"""The part of a run from which on a stage matters to how it uses the machine."""
NOTABLE = 0.1
"""The part of a run from which on a loss is worth a word."""
INPUT = 0.25
PER_ITEM = 50e3
GPU_BUSY = 90
FULL = 85
SEVERAL_CORES = 120
IDLE = 20
STORAGE_CPU = 60
STORAGE_RATE = 1
OUTLIER = 4
WARM_UP = 5
LOST = 0.2
UNTRACKED = 0.5
FEWEST_FAILURES = 3


class Verdict(NamedTuple):
    """One thing that stands out."""

    kind: str
    stage: str | None
    """The stage that it is about; None for the run as a whole."""
    sentence: str
    rule: str


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    wall: int
    """The time of the run, in nanoseconds."""
    untracked: float
    stages: list[StageRow]
    """By number."""
    cores: float | None = None
    """How many the process could use."""
    blocks: Blocks | None = None
    growth: Growth | None = None

    def part(self, time: float) -> float:
        """Return what a time is of the run."""
        return time / self.wall if self.wall else 0.0

    def large(self) -> list[StageRow]:
        """Return the stages that were open for much of the run, the one that had most of it for itself first."""
        found = [stage for stage in self.stages if self.part(stage.budget.open) >= LARGE]
        return sorted(found, key=lambda stage: -stage.budget.share)


def verdicts(facts: Facts) -> list[Verdict]:
    """Return what stands out, the most telling first."""
    return [verdict for rule in RULES for verdict in [next(rule(facts), None)] if verdict is not None]


def _failing(facts: Facts) -> Iterator[Verdict]:
    for stage in sorted(facts.stages, key=lambda stage: stage.time):
        count = stage.statuses.get("error", 0)
        if count >= FEWEST_FAILURES and stage.failed:
            part = stage.failed / stage.time * facts.part(stage.budget.open)
            if part >= LARGE:
                yield Verdict(
                    "failing",
                    stage.name,
                    f"{_name(stage)} fails: {count:,} of {stage.calls:,} calls ended in an error, which took "
                    f"{_percent(part)} of the run",
                    f"failing calls take {_percent(LARGE)} of the run and more",
                )


def _blocked_while_others_wait(facts: Facts) -> Iterator[Verdict]:
    if facts.blocks is None or facts.part(facts.blocks.time) < NOTABLE or facts.blocks.stage is None:
        return
    stage = facts.stages[facts.blocks.stage]
    if stage.budget.overlapped >= stage.budget.alone:
        rule = f"the event loop is blocked for {_percent(NOTABLE)} of the run and more while other calls are open"
        yield _blocked(facts, facts.blocks, rule)


def _blocked_alone(facts: Facts) -> Iterator[Verdict]:
    if facts.blocks is not None and facts.part(facts.blocks.time) >= LARGE:
        yield _blocked(facts, facts.blocks, f"the event loop is blocked for {_percent(LARGE)} of the run and more")


def _blocked(facts: Facts, blocks: Blocks, rule: str) -> Verdict:
    stage = None if blocks.stage is None else facts.stages[blocks.stage]
    times = "once" if blocks.number == 1 else f"{blocks.number:,} times, up to {_time(blocks.worst)} at once"
    spent = f"{_percent(facts.part(blocks.time))} of the run, {times}"
    if stage is None:
        return Verdict("loop-blocked", None, f"the event loop is blocked: {spent}", rule)
    return Verdict("loop-blocked", stage.name, f"{_name(stage)} blocks the event loop: {spent}", rule)


def _input_bound(facts: Facts) -> Iterator[Verdict]:
    rule = f"a stage waits for its input for {_percent(INPUT)} of its time and more"
    sources = {source.name: source for source in facts.stages}
    for stage in facts.large():
        for waited in stage.waited[:1]:
            source = _innermost(sources, waited.source)
            if waited.share < INPUT or facts.part(stage.budget.open) * waited.share < NOTABLE:
                continue
            if source.entries and waited.time / source.entries <= PER_ITEM:
                continue
            gpu = stage.over_time("gpu")
            also = "" if gpu is None else f"; the GPU is busy for {number(gpu, 2)} %"
            yield Verdict(
                "input-bound",
                stage.name,
                f"{_name(stage)} is input-bound: {_percent(waited.share)} of its time waits in {_name(source)}{also}",
                rule,
            )
    consumed = {waited.source for stage in facts.stages for waited in stage.waited}
    for stage in facts.large():
        producing = stage.producing
        if producing is not None and stage.name not in consumed and stage.time:
            share = producing / stage.time
            if share >= INPUT and not (stage.entries and producing / stage.entries <= PER_ITEM):
                yield Verdict(
                    "input-bound",
                    stage.name,
                    f"what consumes {_name(stage)} is input-bound: {_percent(share)} of the time it waits there",
                    rule,
                )


def _innermost(sources: dict[str, StageRow], name: str) -> StageRow:
    """Return the loader that a loader itself waits for most of its time, if there is one."""
    seen = {name}
    stage = sources[name]
    while stage.waited and stage.producing and stage.waited[0].time >= 0.6 * stage.producing:
        inner = stage.waited[0].source
        if inner in seen:
            break
        seen.add(inner)
        stage = sources[inner]
    return stage


def _growing(facts: Facts) -> Iterator[Verdict]:
    if facts.growth is not None:
        first, last, stage = facts.growth
        who = f"memory grows in `{stage[0]}`" if stage else "memory grows"
        yield Verdict(
            "memory-growth",
            stage[0] if stage else None,
            f"{who}: from {number(first)} to {number(last)} MiB, and it does not come back",
            "memory is larger in each third of the run than in the one before, and by a quarter in the end",
        )


def _gpu_starved(facts: Facts) -> Iterator[Verdict]:
    for stage in [stage for stage in facts.large() if stage.over_time("gpu") is not None][:1]:
        gpu, cpu = stage.over_time("gpu") or 0.0, stage.over_time("cpu")
        if gpu < GPU_BUSY:
            also = "" if cpu is None else f", the CPU for {number(cpu, 2)} % of one core"
            yield Verdict(
                "gpu-starved",
                stage.name,
                f"{_name(stage)} starves the GPU: it is busy for {number(gpu, 2)} % of the time{also}",
                f"the GPU is busy for less than {GPU_BUSY} % of the stage that uses it most",
            )


def _warming_up(facts: Facts) -> Iterator[Verdict]:
    for stage in _by_longest_call(facts.stages):
        durations = stage.durations
        if durations is None or durations.p50 is None or stage.calls < WARM_UP:
            continue
        if durations.first >= WARM_UP * durations.p50 and facts.part(durations.first - durations.p50) >= LOST:
            yield Verdict(
                "warm-up",
                stage.name,
                f"the first call of {_name(stage)} takes {_time(durations.first)}, the others {_time(durations.p50)}: "
                f"{_percent(facts.part(durations.first - durations.p50))} of the run warms up",
                f"a first call takes {WARM_UP} times as long as the others, and {_percent(LOST)} of the run and more",
            )


def _outlying(facts: Facts) -> Iterator[Verdict]:
    for stage in _by_longest_call(facts.stages):
        durations = stage.durations
        if durations is None or durations.p50 is None or durations.longest is None or stage.calls < WARM_UP:
            continue
        lost = facts.part(durations.longest - durations.p50)
        if durations.longest >= OUTLIER * durations.p50 and lost >= LOST:
            yield Verdict(
                "outlier",
                stage.name,
                f"one call of {_name(stage)} holds up the run: it takes {_time(durations.longest)}, half of the others "
                f"less than {_time(durations.p50)}",
                f"a call takes {OUTLIER} times as long as half of the others, and {_percent(LOST)} of the run and more",
            )


def _by_longest_call(stages: Iterable[StageRow]) -> list[StageRow]:
    """Return stages, those first whose calls are short: an inner stage explains the outer one."""
    return sorted(stages, key=lambda stage: stage.time)


def _cpu_bound(facts: Facts) -> Iterator[Verdict]:
    for stage in facts.large():
        cpu = stage.over_time("cpu")
        if cpu is None:
            continue
        where = f"for {_percent(facts.part(stage.budget.open))} of the run"
        if facts.cores is not None and cpu >= FULL * facts.cores:
            yield Verdict(
                "cpu-bound",
                stage.name,
                f"{_name(stage)} is CPU-bound: {_cores(facts.cores)} full ({number(cpu)} %) {where}",
                f"{FULL} % of all cores and more are in use",
            )
        elif FULL <= cpu <= SEVERAL_CORES:
            of = "" if facts.cores is None else f" of {number(facts.cores)}"
            yield Verdict(
                "one-core",
                stage.name,
                f"{_name(stage)} keeps one core{of} full and no other one ({number(cpu)} %) {where}",
                f"{FULL} to {SEVERAL_CORES} % of one core are in use, and there are more",
            )


def _storage_bound(facts: Facts) -> Iterator[Verdict]:
    for stage in facts.large():
        rate, cpu = stage.over_time("io"), stage.over_time("cpu")
        if rate is not None and cpu is not None and rate >= STORAGE_RATE and cpu < STORAGE_CPU and _owns(facts, stage):
            yield Verdict(
                "storage-bound",
                stage.name,
                f"{_name(stage)} waits for storage: it moves {number(rate)} MiB/s with the CPU at {number(cpu, 2)} %",
                f"{STORAGE_RATE} MiB/s and more are read or written with less than {STORAGE_CPU} % of one core",
            )


def _idle(facts: Facts) -> Iterator[Verdict]:
    for stage in facts.large():
        cpu, gpu = stage.over_time("cpu"), stage.over_time("gpu")
        if cpu is not None and cpu < IDLE and (gpu is None or gpu < IDLE) and _owns(facts, stage):
            yield Verdict(
                "idle",
                stage.name,
                f"{_name(stage)} is idle: it waits for {_percent(facts.part(stage.budget.share))} of the run with the "
                f"CPU at {number(cpu, 2)} %",
                f"{_percent(LARGE)} of the run and more go by in a stage with less than {IDLE} % of one core in use",
            )


def _untracked(facts: Facts) -> Iterator[Verdict]:
    part = facts.part(facts.untracked)
    if part >= UNTRACKED and facts.stages:
        yield Verdict(
            "untracked",
            None,
            f"{_percent(part)} of the run is in no stage: supervise what runs there",
            f"{_percent(UNTRACKED)} of the run and more are in no stage",
        )


RULES: tuple[Callable[[Facts], Iterator[Verdict]], ...] = (
    _failing,
    _blocked_while_others_wait,
    _input_bound,
    _growing,
    _gpu_starved,
    _warming_up,
    _outlying,
    _cpu_bound,
    _blocked_alone,
    _storage_bound,
    _idle,
    _untracked,
)


def _owns(facts: Facts, stage: StageRow) -> bool:
    """Return whether much of the run is in a stage itself, and not in what it calls."""
    return facts.part(stage.budget.share) >= LARGE


def _name(stage: StageRow) -> str:
    return f"`{stage.name}`"


def _percent(part: float) -> str:
    return f"{round(100 * part)} %"


def _time(nanoseconds: float) -> str:
    return duration(nanoseconds / 1e9)


def _cores(cores: float) -> str:
    return "the only core is" if cores <= 1 else f"all {number(cores)} cores are"
