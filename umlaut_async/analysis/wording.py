"""A comparison in words, for terminals, Markdown and notebooks: what was compared, the cells of rows, and advice."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from umlaut_async.analysis.card import table_html
from umlaut_async.analysis.comparison import Verdict
from umlaut_async.analysis.gate import MIN_RUNS
from umlaut_async.analysis.tables import Table
from umlaut_async.text import MISSING, number, quantity, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from umlaut_async.analysis.comparing import Comparison, Group
    from umlaut_async.analysis.comparison import Row, Side
    from umlaut_async.analysis.differences import Difference

__all__ = ["COLUMNS", "NUMBERS", "advice", "cells", "change_text", "heading", "html", "p_text"]

COLUMNS = ("metric", "base", "new", "change", "95 % interval", "verdict")
NUMBERS = frozenset(COLUMNS[1:5])
# What the name of the row says already.
_SILENT_UNITS = frozenset({"loss", "accuracy"})
_LONGEST_VALUE = 60
_SHOWN = 12
_SHOWN_ROWS = 100
_SHORT_UUID = 8


def heading(found: Comparison) -> Iterator[str]:
    """Give the lines above the rows."""
    yield f"base: {_group(found.base)}"
    yield f"new:  {_group(found.new)}"
    said = {
        "same": "all on the same machine",
        "different": "NOT all on the same machine: the numbers may differ for no reason of the program",
        "unknown": "not known whether on the same machine",
    }
    yield said[found.differences.machine]
    if found.turns != "mixed" and min(len(found.base.runs), len(found.new.runs)) > 1:
        first, last = ("base", "new") if found.turns == "base first" else ("new", "base")
        yield f"all {first} runs are older than all {last} ones: what changed on the machine counts as a change"
    differences = [*found.differences.found]
    yield from (f"  {_difference_text(difference)}" for difference in differences[:_SHOWN])
    if len(differences) > _SHOWN:
        yield f"  and {len(differences) - _SHOWN} more differences: --json"
    rows = "1 row" if found.tested == 1 else f"{found.tested} rows"
    yield f"one number for each run; Welch's t-test, on logarithms where changes are shares; {rows} compared"


def _group(group: Group) -> str:
    runs = "1 run" if len(group.runs) == 1 else f"{len(group.runs)} runs"
    text = f"{safe(group.selector)}, {runs}"
    if not group.left_out:
        return text
    left_out = ", ".join(f"{safe(run.uuid[:_SHORT_UUID])} ({safe(run.status)})" for run in group.left_out[:_SHOWN])
    return f"{text}; left out: {left_out}{', …' if len(group.left_out) > _SHOWN else ''}"


def _difference_text(difference: Difference) -> str:
    before, after = (
        ", ".join(safe(value, longest=_LONGEST_VALUE) or "none" for value in values[:_SHOWN])
        for values in (difference.base, difference.new)
    )
    return f"{safe(difference.what)}: {before} → {after}"


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, in the order of `COLUMNS`."""
    return (
        safe(row.label) + (" (estimated)" if row.estimated else ""),
        _side(row, row.base),
        _side(row, row.new),
        change_text(row, row.change),
        MISSING if row.low is None else f"[{change_text(row, row.low)}, {change_text(row, row.high)}]",
        _verdict_text(row),
    )


def _side(row: Row, side: Side) -> str:
    if not side.values:
        return MISSING
    unit = "" if row.unit in _SILENT_UNITS else row.unit
    text = quantity(side.center, unit)
    if side.spread:
        text += f" ±{number(100 * side.spread, 2)} %" if row.relative else f" ±{number(side.spread, 2)}"
    if side.reached < len(side.values):
        text += f" {side.reached} of {len(side.values)} reached"
    return text if len(side.values) == side.runs else f"{text} ({len(side.values)} of {side.runs} runs)"


def change_text(row: Row, change: float | None) -> str:
    """Return a change of a row with its sign."""
    if change is None or math.isinf(change):
        return MISSING
    sign = "+" if change > 0 else ""
    if not row.relative:
        return f"{sign}{number(change)}"
    percent = 100 * change
    if abs(percent) < 0.05:
        return "0.0 %"
    return f"{sign}{number(percent) if abs(percent) >= 10 else f'{percent:.1f}'} %"


def _verdict_text(row: Row) -> str:
    within = f"±{number(100 * row.margin)} %" if row.relative else f"±{number(row.margin, 2)}"
    match row.verdict:
        case Verdict.HIGHER | Verdict.LOWER:
            judged = {True: " (better)", False: " (worse)", None: ""}[row.better]
            return f"{row.verdict.value.upper()}{judged}, {p_text(row)}"
        case Verdict.SAME:
            return "the same" if row.constant else f"same, within {within}"
        case Verdict.SINGLE_RUN:
            return "single run, no verdict"
        case Verdict.MISSING:
            return row.reason
    if row.reason:
        return f"inconclusive: {row.reason}"
    if row.noise is None or row.margin == 0:
        return f"inconclusive, {p_text(row)}"
    runs = "more than 1,000" if row.runs_needed is None else f"about {row.runs_needed:,}"
    return f"inconclusive: {runs} runs a side to see {within.removeprefix('±')}"


def p_text(row: Row) -> str:
    """Return how likely so large a difference is by chance, false discoveries controlled."""
    p = row.p_adjusted or 0.0
    return "p < 0.0001" if p < 0.0001 else f"p = {number(p, 2)}"


def advice(found: Comparison) -> str:
    """Return what would make more of the rows certain; nothing where there are runs enough."""
    fewest = min(len(found.base.runs), len(found.new.runs))
    if fewest >= MIN_RUNS:
        return ""
    why = "A single run says nothing of the noise" if fewest == 1 else f"Fewer than {MIN_RUNS} runs a side show little"
    return f"{why}. Run each side at least {MIN_RUNS} times, in turns, and give its runs a tag."


def html(found: Comparison) -> str:
    """Return it for a notebook, in which every stored text is only text."""
    rows = [cells(row) for row in found.shown]
    table = table_html(Table.of_rows("comparison", dict.fromkeys(COLUMNS, "text"), rows), _SHOWN_ROWS)
    return f"<div><p>{'<br>'.join(map(escape, heading(found)))}</p>{table}<p>{escape(advice(found))}</p></div>"
