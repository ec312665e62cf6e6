"""The rules of the verdict about how the stages that matter use the machine: its GPU, its cores and its storage."""

from __future__ import annotations

from math import inf
from statistics import fmean
from typing import TYPE_CHECKING

from umlaut_async.analysis.facts import Found
from umlaut_async.text import number, percent

if TYPE_CHECKING:
    from umlaut_async.analysis.facts import Facts

MOST = 0.6
"""The part of a run from which on a full CPU is what limits it: for the rest of the time it waits for other things."""
GPU_BUSY = 90
GPU_MOST = 0.8
"""Of the GPU time of the stage with most of it: a stage inside of that one has little less."""
FULL = 85
SEVERAL_CORES = 120
IDLE = 20
STORAGE_CPU = 60
STORAGE_RATE = 1


def gpu_starved(facts: Facts) -> Found | None:
    """Look for a stage that leaves the GPU without work, of those that use it the one that does most."""
    used = [(stage, gpu) for stage in facts.large() if (gpu := stage.over_time("gpu")) is not None]
    most = max((gpu * stage.budget.open for stage, gpu in used), default=0.0)
    for stage, gpu in used:
        if gpu * stage.budget.open >= GPU_MOST * most:
            cpu = stage.over_time("cpu")
            also = "" if cpu is None else f", the CPU for {number(cpu, 2)} % of one core"
            starves = f"`{stage.name}` starves the GPU: it is busy for {number(gpu, 2)} % of the time{also}"
            return Found(stage.name, starves) if gpu < GPU_BUSY else None
    return None


def all_cores(facts: Facts) -> Found | None:
    """Look for what keeps all cores full."""
    if facts.cores is None:
        return None
    cores = "the only core is" if facts.cores <= 1 else f"all {number(facts.cores)} cores are"
    return _busy(facts, FULL * facts.cores, inf, ("is CPU-bound", "are CPU-bound"), f": {cores} full")


def one_core(facts: Facts) -> Found | None:
    """Look for what keeps one core full, where there are more."""
    of = "" if facts.cores is None else f" of {number(facts.cores)}"
    what = f" one core{of} full and no other one"
    return None if all_cores(facts) else _busy(facts, FULL, SEVERAL_CORES, ("keeps", "keep"), what)


def _busy(facts: Facts, least: float, most: float, verb: tuple[str, str], what: str) -> Found | None:
    """Return the stage, or several, that keep the CPU so busy for most of the run.

    A stage may keep it full each time that it is open and yet not be what limits the run: while a service with many
    clients answers one of them, the others wait for the network.
    """
    busy = [stage for stage in facts.large() if least <= (stage.over_time("cpu") or 0) <= most]
    one = [stage for stage in busy if facts.part(stage.budget.open) >= MOST][:1]
    # Several may be open at once, but of what is their own each moment counts once.
    part = facts.part(one[0].budget.open if one else sum(stage.budget.share for stage in busy))
    if part < MOST:
        return None
    found = one or busy
    cpu = fmean([stage.over_time("cpu") or 0 for stage in found], [stage.budget.open for stage in found])
    names = " and ".join(f"`{stage.name}`" for stage in found)
    who = f"{names} {verb[len(found) > 1]}"
    return Found(found[0].name, f"{who}{what} ({number(cpu)} %) for {percent(part)} of the run")


def storage_bound(facts: Facts) -> Found | None:
    """Look for a stage that reads or writes much, and waits for that or for what else is far away."""
    for stage in facts.own():
        rate, cpu = stage.over_time("io"), stage.over_time("cpu")
        if rate is not None and cpu is not None and rate >= STORAGE_RATE and cpu < STORAGE_CPU:
            moves = f"it moves {number(rate)} MiB/s with the CPU at {number(cpu, 2)} %"
            return Found(stage.name, f"`{stage.name}` waits for storage or the network: {moves}")
    return None


def idle(facts: Facts) -> Found | None:
    """Look for a stage that only waits."""
    for stage in facts.own():
        cpu, gpu = stage.over_time("cpu"), stage.over_time("gpu")
        if cpu is not None and cpu < IDLE and (gpu is None or gpu < IDLE):
            waits = f"it waits for {percent(facts.part(stage.budget.share))} of the run"
            return Found(stage.name, f"`{stage.name}` is idle: {waits} with the CPU at {number(cpu, 2)} %")
    return None
