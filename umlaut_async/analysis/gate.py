"""Rules that a comparison must not break, such as `time:5%,min=50ms`: broken, kept, or not to be told."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from umlaut_async.analysis import statistics
from umlaut_async.analysis.comparison import Verdict, is_named
from umlaut_async.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from umlaut_async.analysis.comparison import Row

__all__ = ["MIN_RUNS", "Finding", "Outcome", "Rule", "check", "parse_rule"]

MIN_RUNS = 5
"""With fewer runs a side even Welch's test sees only large changes, so that passing would mean little."""
BLIND = 4
"""Runs that are likely to miss a change of so many times the limit show nothing by not showing one."""

Outcome: TypeAlias = Literal["failed", "passed", "cannot tell", "nothing to compare"]
"""There is nothing to compare where a side lacks the metric or is not finite: more runs would not help, so nothing lets
that pass."""


class Amount(NamedTuple):
    """An amount in a unit; without one in that of the row."""

    value: float
    unit: str


class Rule(NamedTuple):
    """How much worse a metric may get."""

    text: str
    metric: str
    """A type of metric, or the name of a row; `*` stands for any letters."""
    share: float | None
    """The least change that breaks it, as a share of the base."""
    amount: Amount | None
    """Likewise in the unit of the metric."""
    least: Amount | None
    """A floor: changes that are smaller never break it."""

    def matches(self, row: Row) -> bool:
        """Return whether it is a rule for this row."""
        return is_named(row.quantity, self.metric)


class Finding(NamedTuple):
    """What became of a rule at one row."""

    rule: Rule
    label: str
    """The row; empty where there is none."""
    outcome: Outcome
    reason: str


_RULE = re.compile(r"(?P<metric>.+):(?P<limit>[^:,]+)(?:,min=(?P<least>[^:,]+))?", re.DOTALL)
_AMOUNT = re.compile(r"(?P<value>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[^\W\d]*|%)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_MEBIBYTES = {
    "B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 2.0**10, "TiB": 2.0**20,
    "kB": 1e3 / 2**20, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20, "TB": 1e12 / 2**20,
}  # fmt: skip
_MICROJOULES = {"µJ": 1.0, "uJ": 1.0, "mJ": 1e3, "J": 1e6, "kJ": 1e9, "MJ": 1e12, "Wh": 3.6e9, "kWh": 3.6e12}
_WATTS = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
_UNITS = {
    "sec": _SECONDS,
    "Seconds/entry": _SECONDS,
    "MiB": _MEBIBYTES,
    "µJ": _MICROJOULES,
    "Watt": _WATTS,
    "W": _WATTS,
}
_KNOWN = {unit for units in _UNITS.values() for unit in units}


def parse_rule(text: str) -> Rule:
    """Return the rule of a text such as `time:5%`, `train/time:5%,min=50ms` or `accuracy:0.01`.

    Raises:
        ArgumentError: It is no rule.
    """
    match = _RULE.fullmatch(text.strip())
    limit = match and _amount(match["limit"])
    least = _amount(match["least"]) if match and match["least"] is not None else None
    if not match or not limit or (match["least"] is not None and (not least or least.unit == "%")):
        raise ArgumentError(
            f"{text!r} is no rule; write METRIC:LIMIT or METRIC:LIMIT,min=AMOUNT, such as 'time:5%' or "
            "'train/time:5%,min=50ms'"
        )
    if limit.unit == "%":
        return Rule(text, match["metric"], limit.value / 100, None, least)
    return Rule(text, match["metric"], None, limit, least)


def _amount(text: str) -> Amount | None:
    match = _AMOUNT.fullmatch(text.strip())
    if not match or match["unit"] not in {"", "%", *_KNOWN}:
        return None
    return Amount(float(match["value"]), match["unit"])


def _in_unit(amount: Amount, row: Row, rule: Rule) -> float:
    """Return an amount in the unit of a row.

    Raises:
        ArgumentError: It is an amount of something else.
    """
    if not amount.unit:
        return amount.value
    factor = _UNITS.get(row.unit, {}).get(amount.unit)
    if factor is None:
        raise ArgumentError(f"the rule {rule.text!r} does not fit {row.label}, whose unit is {row.unit or 'none'}")
    return amount.value * factor


def check(
    rules: Iterable[Rule], rows: Sequence[Row], *, min_runs: int = MIN_RUNS, strict: bool = False
) -> list[Finding]:
    """Return what becomes of each rule at each of its rows. What is not shown to be kept or broken cannot be told.

    Args:
        rules: The rules.
        rows: The rows of the comparison.
        min_runs: With fewer runs on a side no rule is called kept.
        strict: Whether a rule is only broken when the whole 95 % interval is beyond the limit.

    Raises:
        ArgumentError: The amount of a rule does not fit the unit of its rows.
    """
    found = []
    for rule in rules:
        matching = [row for row in rows if rule.matches(row)]
        if not matching:
            found.append(Finding(rule, "", "nothing to compare", "neither side has such a metric"))
        found += (Finding(rule, row.label, *_check(rule, row, min_runs, strict)) for row in matching)
    return found


def _check(rule: Rule, row: Row, min_runs: int, strict: bool) -> tuple[Outcome, str]:
    limit = _limit(rule, row)
    if row.verdict is Verdict.MISSING:
        return "nothing to compare", row.reason
    if row.verdict is Verdict.SINGLE_RUN:
        return "cannot tell", "a single run on a side has no verdict"
    if row.reason:
        never_reached = row.base.reached < len(row.base.values)
        return ("cannot tell" if never_reached else "nothing to compare"), row.reason
    if row.significant and row.change and _worse(row, row.change) > 0:
        bound = row.change if row.low is None or row.high is None or not strict else _nearest(row)
        if _worse(row, bound) >= limit:
            return "failed", ""
    for name, side in (("base", row.base), ("new", row.new)):
        if len(side.values) < side.runs:
            return "cannot tell", f"only {len(side.values)} of {side.runs} {name} runs have it"
        if len(side.values) < min_runs:
            return "cannot tell", f"{len(side.values)} {name} runs; at least {min_runs} on each side are needed"
        unreached = len(side.values) - side.reached
        if name == "new" and unreached and side.reached / len(side.values) < row.base.reached / len(row.base.values):
            return "cannot tell", f"{unreached} of {side.runs} new runs never reached it"
    if row.noise is None:
        unknown = row.base.center is None and row.new.center is None
        return ("cannot tell", "on both sides fewer than half of the runs reached it") if unknown else ("passed", "")
    seen = statistics.detectable(row.noise, len(row.base.values), len(row.new.values))
    seen = math.expm1(seen) if row.relative and seen < 100 else seen
    furthest = max(_worse(row, bound) for bound in (row.low, row.high) if bound is not None)
    if furthest >= limit and seen > BLIND * (limit or row.margin):
        return "cannot tell", f"too noisy: {_size(row, seen)} and more would be seen, the limit is {_size(row, limit)}"
    return "passed", ""


def _size(row: Row, change: float) -> str:
    return f"{100 * change:.3g} %" if row.relative else f"{change:.3g} {row.unit}".rstrip()


def _limit(rule: Rule, row: Row) -> float:
    """Return the limit of a rule as the changes of a row are given: as a share, or in its unit."""
    center = abs(row.base.center or 0.0)
    amounts = [_in_unit(amount, row, rule) for amount in (rule.amount, rule.least) if amount is not None]
    if row.relative:
        shares = [amount / center if center else math.inf for amount in amounts]
        return max([*shares, *([] if rule.share is None else [rule.share])])
    return max([*amounts, *([] if rule.share is None else [rule.share * center])])


def _worse(row: Row, change: float) -> float:
    """Return a change so that worse is positive; where it is not known what is better, any change may be worse."""
    if row.measure.better is None:
        return abs(change)
    return change if row.measure.better == "lower" else -change


def _nearest(row: Row) -> float:
    """Return the end of the interval that is nearest to no change."""
    if row.low is None or row.high is None:
        return 0.0
    return min((row.low, row.high), key=abs) if row.low * row.high > 0 else 0.0
