"""`umlaut compare`: whether one group of runs is really better than another, and a gate for continuous integration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from umlaut_async.cli.database import as_json, reading
from umlaut_async.cli.parameters import DB, RUNS
from umlaut_async.cli.progress import waiting
from umlaut_async.errors import ArgumentError, UmlautError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.analysis.comparing import Comparison, Group
    from umlaut_async.analysis.comparison import Row, Side
    from umlaut_async.analysis.gate import Finding, Rule

REGRESSION = 1
CANNOT_TELL = 3


class CannotTellError(click.ClickException):
    """There is nothing to compare. The exit code of other failures would pass for that of a regression."""

    exit_code = CANNOT_TELL


def _parsed_rules(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> list[Rule]:
    from umlaut_async.analysis.gate import parse_rule

    try:
        return [parse_rule(text) for text in texts]
    except ArgumentError as error:
        raise click.BadParameter(str(error), context, parameter) from error


def _parsed_share(context: click.Context, parameter: click.Parameter, text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise click.BadParameter(f"{text!r} is no share; write 5% or 0.05", context, parameter)
    return share


@click.command()
@click.argument("db", type=DB)
@click.argument("base", type=RUNS)
@click.argument("new", type=RUNS)
@click.option("-m", "--metric", "metrics", multiple=True, help="Only this type of metric or row; * for any letters.")
@click.option("--margin", callback=_parsed_share, default="5%", show_default=True, help="What counts as the same.")
@click.option(
    "--fail-on",
    "rules",
    callback=_parsed_rules,
    multiple=True,
    metavar="METRIC:LIMIT[,min=AMOUNT]",
    help="Exit with 1 if a metric is shown to be so much worse: 'time:5%', 'train/time:5%,min=50ms', 'memory:100MiB'.",
)
@click.option("--strict", is_flag=True, help="Fail only where the whole 95 % interval is beyond the limit.")
@click.option(
    "--min-runs",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="The runs a side that --fail-on needs to pass.",
)
@click.option("--allow-inconclusive", is_flag=True, help="Pass rules where the runs are too few, too noisy or failed.")
@click.option("--allow-different-host", is_flag=True, help="Let --fail-on judge runs of different machines.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table, as for the summary of a CI job.")
@click.pass_context
def compare(
    context: click.Context,
    db: str,
    base: str,
    new: str,
    metrics: Sequence[str],
    margin: float,
    rules: Sequence[Rule],
    strict: bool,
    min_runs: int,
    allow_inconclusive: bool,
    allow_different_host: bool,
    as_data: bool,
    markdown: bool,
) -> None:
    """Compare the runs NEW with the runs BASE of the database DB, stage by stage and metric by metric.

    BASE and NEW each mean one or better several runs, which count as repetitions: tag:x, @baseline, a name, last~2, the
    beginning of a uuid, or several of these with commas.

    With --fail-on the exit code is 0 if no regression is shown, 1 if one is, and 3 if that cannot be told: without a
    base, with too few runs, failed runs or other machines. Without it, it is 0 wherever there is something to compare.
    """
    from umlaut_async.analysis.comparing import compare as compare_runs
    from umlaut_async.analysis.gate import check

    if as_data and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    try:
        with reading(db) as session, waiting("comparing"):
            found = compare_runs(session, base, new, margin=margin, metrics=metrics)
            if metrics and (unmet := [rule for rule in rules if not any(map(rule.matches, found.rows))]):
                _refuse_left_out(unmet, compare_runs(session, base, new).rows)
    except UmlautError as error:
        raise CannotTellError(str(error)) from error
    try:
        findings = check(rules, found.rows, min_runs=min_runs, strict=strict)
    except ArgumentError as error:
        raise click.BadParameter(str(error), param_hint="--fail-on") from error
    doubts = _doubts(found, allow_different_host, allow_inconclusive) if rules else []
    code = _exit_code(findings, doubts, allow_inconclusive)
    _print(found, findings, doubts, code, as_data=as_data, markdown=markdown)
    context.exit(code)


def _refuse_left_out(rules: Sequence[Rule], rows: Sequence[Row]) -> None:
    """Refuse a rule that there are rows for, but not among those that were asked for."""
    for rule in rules:
        if any(map(rule.matches, rows)):
            raise click.UsageError(f"-m leaves out what --fail-on {rule.text!r} is about; add it with another -m")


def _doubts(found: Comparison, allow_different_host: bool, allow_inconclusive: bool) -> list[str]:
    """Return why no rule at all can be judged."""
    doubts = []
    if not allow_different_host and found.differences.machine != "same":
        known = (
            "ran on different machines" if found.differences.machine == "different" else "do not say on which machine"
        )
        doubts.append(f"the runs {known}; --allow-different-host judges them nevertheless")
    left_out = [*found.base.left_out, *found.new.left_out]
    if left_out and not allow_inconclusive:
        count = "one run" if len(left_out) == 1 else f"{len(left_out)} runs"
        doubts.append(f"{count} did not end well; --allow-inconclusive leaves such runs out")
    return doubts


def _exit_code(findings: Sequence[Finding], doubts: Sequence[str], allow_inconclusive: bool) -> int:
    outcomes = {finding.outcome for finding in findings}
    if doubts:
        return CANNOT_TELL
    if "failed" in outcomes:
        return REGRESSION
    untold = {"nothing to compare"} if allow_inconclusive else {"nothing to compare", "cannot tell"}
    return CANNOT_TELL if outcomes & untold else 0


def _print(
    found: Comparison, findings: Sequence[Finding], doubts: Sequence[str], code: int, *, as_data: bool, markdown: bool
) -> None:
    from umlaut_async.cli import compared

    if as_data:
        click.echo(as_json(_document(found, findings, doubts, code)))
    elif markdown:
        click.echo("\n".join(compared.markdown(found, findings, doubts)))
    else:
        from umlaut_async.cli.tables import console, show_part

        out = console()
        for part in compared.parts(found):
            show_part(out, part, compared.DISPENSABLE)
    for line in compared.gate_lines(found, findings, doubts):
        click.echo(line, err=True)


def _document(found: Comparison, findings: Sequence[Finding], doubts: Sequence[str], code: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "base": _group(found.base),
        "new": _group(found.new),
        "machine": found.differences.machine,
        "turns": found.turns,
        "differences": [difference._asdict() for difference in found.differences.found],
        "margin": found.margin,
        "tested": found.tested,
        "rows": [_row(row) for row in found.shown],
    }
    if findings:
        rules = [
            {"rule": finding.rule.text, "row": finding.label, "outcome": finding.outcome, "reason": finding.reason}
            for finding in findings
        ]
        document["gate"] = {"rules": rules, "doubts": [*doubts], "exit_code": code}
    return document


def _group(group: Group) -> dict[str, Any]:
    return {
        "selector": group.selector,
        "runs": [run.uuid for run in group.runs],
        "left_out": [{"uuid": run.uuid, "status": run.status} for run in group.left_out],
    }


def _row(row: Row) -> dict[str, Any]:
    plain = ("label", "unit", "relative", "margin", "change", "low", "high", "p", "p_adjusted", "runs_needed", "better")
    return {
        **row.quantity._asdict(),
        **{name: getattr(row, name) for name in plain},
        "base": _side(row.base),
        "new": _side(row.new),
        "verdict": row.verdict.value,
        "estimated": row.estimated,
        "reason": row.reason,
    }


def _side(side: Side) -> dict[str, Any]:
    return {**side._asdict(), "values": [*side.values], "median": side.median}
