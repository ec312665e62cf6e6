"""The bottleneck view of a run on a page: what stands out, where the time went, what its stages used, slowest calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.analysis.figures.drawing import COLOURS, figure_block, legend, line
from umlaut_async.analysis.figures.markup import Markup, details, element, joined, table
from umlaut_async.analysis.measures import mean_of, told
from umlaut_async.analysis.unknown_parents import UNKNOWN_PARENT
from umlaut_async.text import MISSING, duration, number, percent, quantity, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umlaut_async.analysis.bottleneck import Bottleneck
    from umlaut_async.analysis.stages import StageRow, StageTable
    from umlaut_async.analysis.verdict import Verdict
    from umlaut_async.store.stage_queries import Used

__all__ = ["budget", "slowest_calls", "stages", "verdict_box"]

_NAMED = COLOURS - 1
_GREATEST = 1000
_UNTRACKED = "in no stage"


def verdict_box(found: Sequence[Verdict]) -> Markup:
    """Return what stands out in a run, with the rules that say so; nothing where nothing does."""
    if not found:
        return Markup("")
    first, *others = found
    parts = [element("b", first.sentence), element("small", f"Rule: {safe(first.rule, longest=_GREATEST)}")]
    if others:
        rows = [(verdict.sentence, verdict.rule) for verdict in others]
        parts.append(details("What else stands out", table("What else stands out", ["what", "rule"], rows)))
    return element("div", *parts, class_="verdict")


def budget(view: Bottleneck, order: Sequence[str]) -> Markup:
    """Return where the time of a run went: shares that add up to the whole.

    Args:
        view: What was found.
        order: The names of the stages in the order in which colours are given to them elsewhere.
    """
    found = view.table
    if not found.stages or not found.wall:
        return Markup("")
    shares = [(stage.name, stage.budget.share / found.wall) for stage in found.stages]
    largest = sorted(shares, key=lambda share: -share[1])
    parts = largest[:_NAMED]
    rest = sum(share for _, share in largest[_NAMED:])
    if rest:
        parts.append((f"{len(largest) - _NAMED} other stages", rest))
    untracked = found.untracked / found.wall
    said = ", ".join(f"{safe(name)} {percent(share, 1)}" for name, share in [*parts, (_UNTRACKED, untracked)])
    places = {name: at for at, name in enumerate(order)}
    colours = [f"c{places.get(name, _NAMED) % COLOURS}" for name, _ in parts]
    if untracked > 0:
        parts.append((_UNTRACKED, untracked))
        colours.append("none")
    label = element("div", legend([name for name, _ in parts], colours))
    bar = line(label, element("div", _stacked(parts, colours, said), class_="plot", style="height:2.25rem"))
    unknown = [
        element("p", safe(stage.unknown_parents.sentence(stage.name), longest=_GREATEST))
        for stage in found.stages
        if stage.unknown_parents is not None
    ]
    return figure_block("Budget", f"{said}.", bar, *unknown, details("Data: budget", _budget_table(found)))


def stages(view: Bottleneck) -> Markup:
    """Return the stages beside what they used, and each metric of each."""
    found = view.table.stages
    if not found:
        return Markup("")
    shown = {name: cell for name, cell in _CELLS.items() if any(cell(stage) != MISSING for stage in found)}
    rows = [(stage.name, *(cell(stage) for cell in shown.values())) for stage in found]
    wide = table("Stages and what they used", ["stage", *shown], rows, numbers=range(1, len(shown) + 1))
    each = [
        (
            stage.name,
            name,
            f"{used.n:,}",
            *(
                quantity(value, used.unit) if used.n else "not recorded"
                for value in (mean_of(used), used.min, used.max)
            ),
            used.provenance,
        )
        for stage in found
        for name, used in stage.used.items()
    ]
    headings = ["stage", "metric", "calls", "mean", "lowest", "highest", "how known"]
    metrics = table("Each metric over the calls of each stage", headings, each, numbers=range(2, 6))
    parts = [element("h2", "Stages"), wide]
    return joined([*parts, details("Each metric of each stage", metrics)] if each else parts)


def slowest_calls(view: Bottleneck) -> Markup:
    """Return the calls that took longest."""
    rows = [
        (
            call.stage,
            duration(call.duration / 1e9),
            "0 s" if call.started == 0 else duration(call.started / 1e9),
            (UNKNOWN_PARENT if call.unknown_parent else MISSING) if call.inside is None else call.inside,
            call.status,
        )
        for call in view.table.slowest
    ]
    if not rows:
        return Markup("")
    headings = ["stage", "time", "began after", "inside", "status"]
    return joined([element("h2", "Slowest calls"), table("The slowest calls", headings, rows, numbers=(1, 2))])


def _stacked(parts: Sequence[tuple[str, float]], colours: Sequence[str], said: str) -> Markup:
    bars, left = [], 0.0
    for (name, share), colour in zip(parts, colours, strict=True):
        width = 1000 * min(1.0, max(0.0, share))
        title = element("title", f"{safe(name)}: {percent(share, 1)}")
        shape = {"x": f"{left:.1f}", "y": "0", "width": f"{width:.1f}", "height": "100"}
        bars.append(element("rect", title, class_=f"bar {colour}", **shape))
        left += width
    label = f"Where the time went: {said}"
    fixed = {"viewBox": "0 0 1000 100", "preserveAspectRatio": "none", "role": "img"}
    return element("svg", element("title", label), *bars, aria_label=label, **fixed)


def _budget_table(found: StageTable) -> Markup:
    rows: list[tuple[str, ...]] = [
        (
            stage.name,
            percent(stage.budget.share / found.wall, 1),
            *map(_time, (stage.budget.alone, stage.budget.overlapped, stage.budget.elsewhere)),
            percent(stage.budget.critical / found.wall, 1),
        )
        for stage in found.stages
    ]
    untracked, critical = found.untracked, found.critical_untracked
    last = percent(untracked / found.wall, 1), _time(untracked), MISSING, MISSING, percent(critical / found.wall, 1)
    headings = ["stage", "share", "alone", "overlapped", "elsewhere", "critical path"]
    return table(
        "Shares of the time of the run", headings, [*rows, ("(in no stage)", *last)], numbers=range(1, len(headings))
    )


def _time(nanoseconds: float | None) -> str:
    return MISSING if not nanoseconds else duration(nanoseconds / 1e9)


def _typical(which: str) -> Callable[[StageRow], str]:
    return lambda stage: MISSING if stage.durations is None else _time(getattr(stage.durations, which))


def _used(type_: str, statistic: str) -> Callable[[StageRow], str]:
    def value(used: Used) -> str:
        return used.provenance if not used.n else quantity(getattr(used, statistic), used.unit)

    return lambda stage: told(stage.of_type(type_), value, "; ")


_CELLS: dict[str, Callable[[StageRow], str]] = {
    "calls": lambda stage: f"{stage.calls:,}",
    "time": lambda stage: _time(stage.time),
    "first call": _typical("first"),
    "p50": _typical("p50"),
    "p95": _typical("p95"),
    "p99": _typical("p99"),
    "wait": lambda stage: percent(stage.waiting),
    "entries/s": lambda stage: told(stage.of_type("throughput"), lambda used: number(used.over_time), "; "),
    "CPU": _used("cpu", "over_time"),
    "peak memory": _used("memory", "max"),
    "GPU": _used("gpu", "over_time"),
    "I/O": _used("io", "over_time"),
    "energy": lambda stage: quantity(stage.energy, "J"),
    "energy per entry": lambda stage: quantity(stage.energy_per_entry, "J"),
}
"""Columns, each of which is there where a stage has something in it."""
