"""Calls whose parent is unknown: they began in a thread to which nobody handed the call that it works for.

A thread that is started by hand knows nothing of whoever started it. What runs there while another thread is in a call
may be the work of that call, or have nothing to do with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.timeline import NOBODY
from umlaut_async.store.models import process_of
from umlaut_async.text import duration

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from umlaut_async.analysis.timeline import Timeline

UNKNOWN_PARENT = "unknown parent"
MAIN = "MainThread"
OF_TASKS = frozenset({"coroutine", "async generator", "async iterate", "async with"})
"""The kinds of stages that run in tasks, to which the context is always handed."""


class UnknownParents(NamedTuple):
    """The calls of a stage whose parent is unknown."""

    calls: int
    time: int
    """The sum of their durations, in nanoseconds."""
    perhaps: str
    """The stage in whose calls most of them may have run."""

    def sentence(self, stage: str) -> str:
        """Return what a reader must know of the time of the stage."""
        count = "1 call" if self.calls == 1 else f"{self.calls:,} calls"
        spent = f"{count} of `{stage}` ({duration(self.time / 1e9)} in all)"
        return f"{UNKNOWN_PARENT}: {spent} began in threads that know no call, perhaps as work of `{self.perhaps}`"


class _Open(NamedTuple):
    end: int
    task: Hashable
    call: int


def unknown_parents(timeline: Timeline, of_tasks: Collection[int]) -> dict[int, int]:
    """Return the calls whose parent is unknown, each with one of another stage in which it may have run.

    Args:
        timeline: The calls.
        of_tasks: The numbers of the stages whose kind is one of `OF_TASKS`.
    """
    ids, tasks, starts, ends = timeline.ids, timeline.tasks, timeline.starts, timeline.ends
    parents, stages = timeline.parents, timeline.stages
    known = {MAIN, *(task for task, stage in zip(tasks, stages, strict=True) if stage in of_tasks)}
    if known.issuperset(tasks):
        return {}
    found: dict[int, int] = {}
    in_threads = [False] * len(timeline)
    """Whether a call, or what it lies in, began in a thread that knew of none. It is nobody's parent but there."""
    last: dict[int, list[_Open]] = {}
    """Of each process the calls that end last, of two tasks at the most."""
    for call in timeline.in_order:
        process, task, parent = process_of(ids[call]), tasks[call], parents[call]
        of_process = last.setdefault(process, [])
        in_threads[call] = in_threads[parent] if parent != NOBODY else task not in known and str(task)[:5] != "Task-"
        if not in_threads[call]:
            mine = [each for each in of_process if each.task == task]
            if not mine or mine[0].end < ends[call]:
                others = [each for each in of_process if each.task != task]
                last[process] = sorted([*others, _Open(ends[call], task, call)], reverse=True)[:2]
        elif parent == NOBODY:
            around = (each.call for each in of_process if each.end > starts[call] and each.task != task)
            outer = next((each for each in around if stages[each] != stages[call]), None)
            if outer is not None:
                found[call] = outer
    return found
