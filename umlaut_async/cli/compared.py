"""A comparison as a person reads it: in a terminal, in Markdown, and as the lines of a gate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from umlaut_async.cli.runs import SHORT_UUID
from umlaut_async.cli.text import MISSING, number, quantity, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from umlaut_async.analysis.comparing import Comparison, Group
    from umlaut_async.analysis.comparison import Row, Side
    from umlaut_async.analysis.differences import Difference
    from umlaut_async.analysis.gate import Finding

COLUMNS = ("metric", "base", "new", "change", "95 % interval", "verdict")
_NUMBERS = frozenset(COLUMNS[1:5])
_NARROWEST = dict(zip(COLUMNS, (12, 9, 9, 7, 10, 14), strict=True))
# What the name of the row says already.
_SILENT_UNITS = frozenset({"loss", "accuracy"})
_LONGEST_VALUE = 60
_SHOWN = 12


def parts(found: Comparison) -> Iterator[RenderableType]:
    """Give what is printed in a terminal: what the runs are, how they differ, the rows, and how to see more."""
    from rich.text import Text

    from umlaut_async.cli.tables import table

    for line in heading(found):
        yield Text(line)
    made = table(COLUMNS, right=_NUMBERS)
    for column in made.columns:
        # In a narrow terminal numbers go on in the next line rather than that a verdict is not seen.
        column.no_wrap, column.overflow, column.min_width = False, "fold", _NARROWEST[str(column.header)]
    for row in found.rows:
        if not row.dull:
            *texts, verdict = cells(row)
            style = {True: "green", False: "red", None: ""}[row.better]
            made.add_row(*texts, Text(verdict, style=style))
    yield from ("", made)
    if advice := _advice(found):
        yield from ("", Text(advice))


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
    differences = [*found.differences.found]
    yield from (f"  {difference_text(difference)}" for difference in differences[:_SHOWN])
    if len(differences) > _SHOWN:
        yield f"  and {len(differences) - _SHOWN} more differences: --json"
    rows = "1 row" if found.tested == 1 else f"{found.tested} rows"
    yield f"one number for each run; Welch's t-test, on logarithms where changes are shares; {rows} compared"


def _group(group: Group) -> str:
    runs = "1 run" if len(group.runs) == 1 else f"{len(group.runs)} runs"
    text = f"{safe(group.selector)}, {runs}"
    if not group.left_out:
        return text
    left_out = ", ".join(f"{safe(run.uuid[:SHORT_UUID])} ({safe(run.status)})" for run in group.left_out[:_SHOWN])
    return f"{text}; left out: {left_out}{', …' if len(group.left_out) > _SHOWN else ''}"


def difference_text(difference: Difference) -> str:
    """Return a difference of the environments as one line."""
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
        verdict_text(row),
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


def verdict_text(row: Row) -> str:
    """Return the verdict in words, with what it rests on."""
    from umlaut_async.analysis.comparison import Verdict

    within = f"±{number(100 * row.margin)} %" if row.relative else f"±{number(row.margin, 2)}"
    match row.verdict:
        case Verdict.HIGHER | Verdict.LOWER:
            judged = {True: " (better)", False: " (worse)", None: ""}[row.better]
            return f"{row.verdict.value.upper()}{judged}, {_p(row)}"
        case Verdict.SAME:
            return "the same" if row.constant else f"same, within {within}"
        case Verdict.SINGLE_RUN:
            return "single run, no verdict"
        case Verdict.MISSING:
            return row.reason
    if row.reason:
        return f"inconclusive: {row.reason}"
    if row.noise is None or row.margin == 0:
        return f"inconclusive, {_p(row)}"
    runs = "more than 1,000" if row.runs_needed is None else f"about {row.runs_needed:,}"
    return f"inconclusive: {runs} runs a side to see {within.removeprefix('±')}"


def _p(row: Row) -> str:
    p = row.p_adjusted or 0.0
    return "p < 0.0001" if p < 0.0001 else f"p = {number(p, 2)}"


def _advice(found: Comparison) -> str:
    if min(len(found.base.runs), len(found.new.runs)) > 1:
        return ""
    return "A single run says nothing of the noise. Run each side at least 5 times, in turns, and give its runs a tag."


def gate_lines(found: Comparison, findings: Sequence[Finding], doubts: Sequence[str]) -> Iterator[str]:
    """Give the lines of a gate: what failed, what cannot be told, and how many rules were kept."""
    rows = {row.label: row for row in found.rows}
    for doubt in doubts:
        yield f"CANNOT TELL: {doubt}"
    for finding in findings:
        name = safe(finding.label or finding.rule.metric)
        if finding.outcome == "failed":
            row = rows[finding.label]
            yield f"FAIL {name}: {change_text(row, row.change)}, {_p(row)} (--fail-on {safe(finding.rule.text)!r})"
        elif finding.outcome != "passed":
            yield f"CANNOT TELL {name}: {safe(finding.reason)} (--fail-on {safe(finding.rule.text)!r})"
    if findings:
        failed, passed = (sum(each.outcome == outcome for each in findings) for outcome in ("failed", "passed"))
        untold = len(findings) - failed - passed
        yield f"gate: {failed} failed, {untold} cannot be told, {passed} without a regression shown"


def markdown(found: Comparison, findings: Sequence[Finding], doubts: Sequence[str]) -> Iterator[str]:
    """Give the lines of a comparison in Markdown."""
    for line in heading(found):
        yield f"- {_code(line.strip())}"
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'|'.join('---:' if column in _NUMBERS else '---' for column in COLUMNS)}|"
    for row in found.rows:
        if not row.dull:
            name, *others = cells(row)
            yield f"| {' | '.join((_code(name), *map(_escaped, others)))} |"
    if findings:
        yield ""
        yield from (f"- {_code(line)}" for line in gate_lines(found, findings, doubts))


def _code(text: str) -> str:
    """Return a text as code, in which Markdown and HTML mean nothing and no person is mentioned."""
    return f"`{_escaped(text) or ' '}`"


def _escaped(text: str) -> str:
    # Units and names are any text, but what they would need to be more than that is not worth keeping.
    return text.replace("`", "'").replace("|", "¦").replace("<", "‹").replace(">", "›").replace("\\", "/")  # noqa: RUF001
