"""What stands out in a run, in one sentence, with the rule that led to it; nothing where nothing does.

`RULES` is the whole of it: what each looks for is a function of the facts alone. They are asked in the order in which
causes come before their symptoms: a stage that waits for its loader is idle too, but the loader is the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis import machine
from umlaut_async.analysis.facts import LARGE, Found
from umlaut_async.text import duration, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from umlaut_async.analysis.evidence import Blocks
    from umlaut_async.analysis.facts import Facts
    from umlaut_async.analysis.stages import Durations, StageRow

NOTABLE = 0.1
"""The part of a run from which on a loss is worth a word."""
INPUT = 0.25
PER_ITEM = 50e3
INNER = 0.6
OUTLIER = 4
APART = 2
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


class Rule(NamedTuple):
    """One rule."""

    kind: str
    text: str
    """What it says, as it is shown beside what it has found."""
    look: Callable[[Facts], Found | None]
    """Looks for it, and returns the first that it finds."""


def verdicts(facts: Facts) -> list[Verdict]:
    """Return what stands out, the most telling first."""
    found = ((rule, rule.look(facts)) for rule in RULES)
    return [Verdict(rule.kind, what.stage, what.sentence, rule.text) for rule, what in found if what is not None]


def _failing(facts: Facts) -> Found | None:
    for stage in facts.innermost():
        count = stage.statuses.get("error", 0)
        part = stage.failed / stage.time * facts.part(stage.budget.open) if stage.time else 0.0
        if count >= FEWEST_FAILURES and part >= LARGE:
            calls = f"{count:,} of {stage.calls:,} calls ended in an error"
            return Found(stage.name, f"{_name(stage)} fails: {calls}, which took {_percent(part)} of the run")
    return None


def _blocked_while_others_wait(facts: Facts) -> Found | None:
    if facts.blocks is None or facts.blocks.stage is None or facts.part(facts.blocks.time) < NOTABLE:
        return None
    budget = facts.stages[facts.blocks.stage].budget
    return _blocked(facts, facts.blocks) if budget.overlapped >= budget.alone else None


def _blocked_alone(facts: Facts) -> Found | None:
    if facts.blocks is None or facts.part(facts.blocks.time) < LARGE:
        return None
    # Said once is enough.
    return None if _blocked_while_others_wait(facts) else _blocked(facts, facts.blocks)


def _blocked(facts: Facts, blocks: Blocks) -> Found:
    times = "once" if blocks.number == 1 else f"{blocks.number:,} times, up to {_time(blocks.worst)} at once"
    spent = f"{_percent(facts.part(blocks.time))} of the run, {times}"
    if blocks.stage is None:
        return Found(None, f"the event loop is blocked: {spent}")
    stage = facts.stages[blocks.stage]
    return Found(stage.name, f"{_name(stage)} blocks the event loop: {spent}")


def _input_bound(facts: Facts) -> Found | None:
    return _waiting_for_input(facts) or _making_others_wait(facts)


def _waiting_for_input(facts: Facts) -> Found | None:
    sources = {source.name: source for source in facts.stages}
    for stage in facts.large():
        for waited in stage.waited[:1]:
            source = _loader(sources, waited.source)
            part = facts.part(stage.budget.open) * waited.share
            if waited.share >= INPUT and part >= NOTABLE and not _comes_at_once(waited.time, source):
                gpu = stage.over_time("gpu")
                also = "" if gpu is None else f"; the GPU is busy for {number(gpu, 2)} %"
                waits = f"{_percent(waited.share)} of its time waits in {_name(source)}"
                return Found(stage.name, f"{_name(stage)} is input-bound: {waits}{also}")
    return None


def _making_others_wait(facts: Facts) -> Found | None:
    """Return a loader that is waited for outside of all stages."""
    consumed = {waited.source for stage in facts.stages for waited in stage.waited}
    for stage in facts.large():
        if stage.producing is not None and stage.name not in consumed and stage.time:
            share = stage.producing / stage.time
            # One that computes all the time is at work itself: it may yield no more than its progress.
            computes = (stage.over_time("cpu") or 0) >= machine.FULL
            if share >= INPUT and not computes and not _comes_at_once(stage.producing, stage):
                what = f"what consumes {_name(stage)} is input-bound"
                return Found(stage.name, f"{what}: {_percent(share)} of the time it waits there")
    return None


def _comes_at_once(waited: float, source: StageRow) -> bool:
    return bool(source.entries) and waited / (source.entries or 1) <= PER_ITEM


def _loader(sources: dict[str, StageRow], name: str) -> StageRow:
    """Return the loader that a loader itself waits for most of its time, if there is one."""
    seen = {name}
    stage = sources[name]
    while stage.waited and stage.producing and stage.waited[0].time >= INNER * stage.producing:
        inner = stage.waited[0].source
        if inner in seen:
            break
        seen.add(inner)
        stage = sources[inner]
    return stage


def _growing(facts: Facts) -> Found | None:
    if facts.growth is None:
        return None
    first, last, stage, waits = facts.growth
    where = f" in `{stage[0]}`" if stage else ""
    also = "; what is recorded and not stored yet may be a part of it" if waits else ""
    grows = f"memory grows{where}: from {number(first)} to {number(last)} MiB, and it does not come back{also}"
    return Found(stage[0] if stage else None, grows)


def _warming_up(facts: Facts) -> Found | None:
    for stage, durations, half in _of_many_calls(facts):
        lost = facts.part(durations.first - half)
        if durations.first >= WARM_UP * half and lost >= LOST:
            first = f"the first call of {_name(stage)} takes {_time(durations.first)}, the others {_time(half)}"
            return Found(stage.name, f"{first}: {_percent(lost)} of the run warms up")
    return None


def _outlying(facts: Facts) -> Found | None:
    for stage, durations, half in _of_many_calls(facts):
        longest = durations.longest or 0
        usual = max(OUTLIER * half, APART * max(durations.first, durations.second_longest or 0))
        if longest >= usual and facts.part(longest - half) >= LOST:
            takes = f"it takes {_time(longest)}, half of the others less than {_time(half)}"
            return Found(stage.name, f"one call of {_name(stage)} holds up the run: {takes}")
    return None


def _of_many_calls(facts: Facts) -> Iterator[tuple[StageRow, Durations, float]]:
    """Yield the stages with calls enough to say what is usual, the durations of these, and half of them."""
    for stage in facts.innermost():
        durations = stage.durations
        if durations is not None and durations.p50 is not None and stage.calls >= WARM_UP:
            yield stage, durations, durations.p50


def _of_unknown_parent(facts: Facts) -> Found | None:
    for stage in facts.large():
        unknown = stage.unknown_parents
        if unknown is not None and facts.part(stage.single * unknown.time) >= LARGE:
            whose = f"nobody knows whether {_name(stage)} is the work of `{unknown.perhaps}`"
            cure = "hand it over by an executor or by contextvars.copy_context().run"
            return Found(stage.name, f"unknown parent: {whose}, since its threads know no call; {cure}")
    return None


def _untracked(facts: Facts) -> Found | None:
    part = facts.part(facts.untracked)
    if part < UNTRACKED or not facts.stages:
        return None
    return Found(None, f"{_percent(part)} of the run is in no stage: supervise what runs there")


def _name(stage: StageRow) -> str:
    return f"`{stage.name}`"


def _percent(part: float) -> str:
    return f"{round(100 * part)} %"


def _time(nanoseconds: float) -> str:
    return duration(nanoseconds / 1e9)


RULES = (
    Rule("failing", f"failing calls take {_percent(LARGE)} of the run and more", _failing),
    Rule(
        "loop-blocked",
        f"the event loop is blocked for {_percent(NOTABLE)} of the run and more while other calls are open",
        _blocked_while_others_wait,
    ),
    Rule("input-bound", f"a stage waits for its input for {_percent(INPUT)} of its time and more", _input_bound),
    Rule(
        "memory-growth",
        "memory is larger in each third of the run than in the one before, and by a quarter in the end",
        _growing,
    ),
    Rule(
        "gpu-starved",
        f"the GPU is busy for less than {machine.GPU_BUSY} % of the stage that uses it most",
        machine.gpu_starved,
    ),
    Rule(
        "warm-up",
        f"a first call takes {WARM_UP} times as long as the others, and {_percent(LOST)} of the run and more",
        _warming_up,
    ),
    Rule(
        "outlier",
        f"a call takes {OUTLIER} times as long as half of the others, {APART} times as long as each of them, and "
        f"{_percent(LOST)} of the run and more",
        _outlying,
    ),
    Rule(
        "cpu-bound",
        f"{machine.FULL} % of all cores and more are in use for {_percent(machine.MOST)} of the run",
        machine.all_cores,
    ),
    Rule(
        "one-core",
        f"{machine.FULL} to {machine.SEVERAL_CORES} % of one core are in use for {_percent(machine.MOST)} of the run, "
        "and there are more",
        machine.one_core,
    ),
    Rule("loop-blocked", f"the event loop is blocked for {_percent(LARGE)} of the run and more", _blocked_alone),
    Rule(
        "unknown-parent",
        f"calls in threads that know no call, which may be the work of another stage, take {_percent(LARGE)} of the run"
        " and more",
        _of_unknown_parent,
    ),
    Rule(
        "storage-bound",
        f"{machine.STORAGE_RATE} MiB/s and more are read or written with less than {machine.STORAGE_CPU} % of one core",
        machine.storage_bound,
    ),
    Rule(
        "idle",
        f"{_percent(LARGE)} of the run and more go by in a stage with less than {machine.IDLE} % of one core in use",
        machine.idle,
    ),
    Rule("untracked", f"{_percent(UNTRACKED)} of the run and more are in no stage", _untracked),
)
