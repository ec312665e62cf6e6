"""A comparison as a person reads it: in a terminal, in Markdown, and as the lines of a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.analysis.wording import COLUMNS, NUMBERS, advice, cells, change_text, heading, p_text
from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from umlaut_async.analysis.comparing import Comparison
    from umlaut_async.analysis.gate import Finding

DISPENSABLE = ("95 % interval", "base", "new")
"""What a narrow terminal leaves out, in this order: change and verdict come last."""
_NARROWEST_VERDICT = 18


def parts(found: Comparison) -> Iterator[RenderableType]:
    """Give what is printed in a terminal: what the runs are, how they differ, the rows, and how to see more."""
    from rich.text import Text

    from umlaut_async.cli.tables import table

    for line in heading(found):
        yield Text(line)
    made = table(COLUMNS, right=NUMBERS)
    made.columns[0].no_wrap = True  # a name that goes on in the next line is no name to copy
    made.columns[-1].min_width = _NARROWEST_VERDICT
    for row in found.shown:
        *texts, verdict = cells(row)
        style = {True: "green", False: "red", None: ""}[row.better]
        made.add_row(*texts, Text(verdict, style=style))
    yield from ("", made)
    if said := advice(found):
        yield from ("", Text(said))


def gate_lines(found: Comparison, findings: Sequence[Finding], doubts: Sequence[str]) -> Iterator[str]:
    """Give the lines of a gate: what failed, what cannot be told, and how many rules were kept."""
    rows = {row.label: row for row in found.rows}
    for doubt in doubts:
        yield f"CANNOT TELL: {doubt}"
    for finding in findings:
        name = safe(finding.label or finding.rule.metric)
        if finding.outcome == "failed":
            row = rows[finding.label]
            yield f"FAIL {name}: {change_text(row, row.change)}, {p_text(row)} (--fail-on {safe(finding.rule.text)!r})"
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
    yield f"|{'|'.join('---:' if column in NUMBERS else '---' for column in COLUMNS)}|"
    for row in found.shown:
        name, *others = cells(row)
        yield f"| {' | '.join((_code(name), *map(_escaped, others)))} |"
    if said := advice(found):
        yield from ("", _escaped(said))
    if findings:
        yield ""
        yield from (f"- {_code(line)}" for line in gate_lines(found, findings, doubts))


def _code(text: str) -> str:
    """Return a text as code, in which Markdown and HTML mean nothing and no person is mentioned."""
    return f"`{_escaped(text) or ' '}`"


def _escaped(text: str) -> str:
    # Units and names are any text, but what they would need to be more than that is not worth keeping.
    return text.replace("`", "'").replace("|", "¦").replace("<", "‹").replace(">", "›").replace("\\", "/")  # noqa: RUF001
