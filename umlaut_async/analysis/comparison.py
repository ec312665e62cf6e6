"""Two groups of runs compared: a verdict for each stage and metric, or why there is none. Values only, no database."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis import statistics
from umlaut_async.analysis.measures import CALLS, ERRORS, Measure, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from umlaut_async.analysis.observations import Observed, Quantity
    from umlaut_async.analysis.statistics import Difference

__all__ = ["MARGIN", "Row", "Side", "Verdict", "compare_groups", "is_named", "label"]

MARGIN = 0.05
"""Changes as small are called the same, if it is certain that they are as small."""
SCORE_MARGIN = 0.005
"""Likewise of what is better when higher and is compared by differences, such as accuracies."""

_LARGEST = 1e150


class Verdict(Enum):
    """What can be said of a row."""

    HIGHER = "higher"
    LOWER = "lower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    SINGLE_RUN = "single run"
    MISSING = "missing"


class Side(NamedTuple):
    """What one group of runs has of a row."""

    runs: int
    """How many runs the group has, with and without a value."""
    values: tuple[float, ...]
    reached: int
    """Of a time to accuracy: in how many runs the accuracy was reached; else how many values there are."""
    center: float | None
    """The mean that is compared: geometric where changes are ratios, the median where not all runs reached it."""
    spread: float | None
    """The standard deviation from run to run; as a share where changes are ratios."""

    @property
    def median(self) -> float | None:
        """The median of the values."""
        return median(self.values) if self.values else None


@dataclass(frozen=True)
class Row:
    """One stage and metric, compared."""

    quantity: Quantity
    label: str
    unit: str
    measure: Measure
    base: Side
    new: Side
    relative: bool
    """Whether `change` and its interval are shares of the base; else they are in the unit of the row."""
    margin: float
    """What counts as the same, in the same way."""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    noise: float | None = None
    """The standard deviation from run to run, of the logarithms where changes are ratios."""
    p: float | None = None
    p_adjusted: float | None = None
    """After control of false discoveries over all rows."""
    verdict: Verdict = Verdict.INCONCLUSIVE
    estimated: bool = False
    reason: str = ""
    """Why there is no verdict, where that is not noise."""

    @property
    def constant(self) -> bool:
        """Whether all runs have the same value."""
        return len({*self.base.values, *self.new.values}) < 2

    @property
    def dull(self) -> bool:
        """Whether it only counts, and counts the same in all runs: nothing to show."""
        return self.constant and self.quantity.type in (CALLS, ERRORS)

    @property
    def significant(self) -> bool:
        """Whether the difference is more than noise, false discoveries controlled."""
        return self.p_adjusted is not None and self.p_adjusted <= statistics.ALPHA

    @property
    def runs_needed(self) -> int | None:
        """How many runs a side would show a change as large as the margin; None if too many, or if it is not known."""
        if self.noise is None or self.margin == 0:
            return None
        return statistics.runs_needed(self.noise, math.log1p(self.margin) if self.relative else self.margin)

    @property
    def better(self) -> bool | None:
        """Whether a change is for the better; None without a change, and where it depends."""
        if self.verdict not in (Verdict.HIGHER, Verdict.LOWER) or self.measure.better is None:
            return None
        return bool(self.verdict.value == self.measure.better)


def compare_groups(
    base: Sequence[Mapping[Quantity, Observed]],
    new: Sequence[Mapping[Quantity, Observed]],
    *,
    margin: float = MARGIN,
    metrics: Sequence[str] = (),
) -> list[Row]:
    """Compare what was observed in two groups of runs.

    Args:
        base: Of each run of the first group what it comes to.
        new: Likewise of the second group.
        margin: The share by which things may differ and be called the same.
        metrics: Only rows of these types or names, `*` standing for any letters; by default all of them.
    """
    base, new = _matched([*base, *new], len(base))
    quantities = dict.fromkeys(quantity for run in (*base, *new) for quantity in run)
    rows = [
        _row(quantity, [run.get(quantity) for run in base], [run.get(quantity) for run in new], margin)
        for quantity in quantities
        if not metrics or any(is_named(quantity, pattern) for pattern in metrics)
    ]
    return _judged(rows)


def is_named(quantity: Quantity, pattern: str) -> bool:
    """Return whether a pattern means this: by its type or its name, with `*` for any letters."""
    return fnmatchcase(quantity.type, pattern) or fnmatchcase(label(quantity), pattern)


def _matched(
    runs: Sequence[Mapping[Quantity, Observed]], bases: int
) -> tuple[list[dict[Quantity, Observed]], list[dict[Quantity, Observed]]]:
    """Return the runs without the descriptions that tell nothing apart: a renamed metric is the same metric."""
    needed: set[tuple[str, str]] = set()
    for run in runs:
        seen: dict[tuple[str, str], str] = {}
        for stage, type_, description in run:
            if not stage or seen.setdefault((stage, type_), description) != description:
                needed.add((stage, type_))

    def name(quantity: Quantity) -> Quantity:
        return quantity if quantity[:2] in needed else quantity._replace(description="")

    found = [{name(quantity): observed for quantity, observed in run.items()} for run in runs]
    return found[:bases], found[bases:]


def _row(quantity: Quantity, base: list[Observed | None], new: list[Observed | None], margin: float) -> Row:
    found = [observed for observed in (*base, *new) if observed is not None]
    how = measure(quantity.type)
    censored = not all(observed.reached for observed in found)
    relative = how.ratio and all(observed.value > 0 for observed in found)
    first, second = _side(base, relative, censored), _side(new, relative, censored)
    row = Row(
        quantity,
        label(quantity),
        found[0].unit,
        how,
        first,
        second,
        relative,
        _margin(how, relative, margin, first.center),
        estimated=any(observed.estimated for observed in found),
    )
    if not (first.values and second.values):
        return replace(row, verdict=Verdict.MISSING, reason=f"only in {'base' if first.values else 'new'}")
    if len({observed.unit for observed in found}) > 1:
        return replace(row, reason=f"in different units: {', '.join(sorted({observed.unit for observed in found}))}")
    if not all(_is_usual(observed.value) for observed in found):
        return replace(row, reason=_not_finite(first, second))
    row = replace(row, change=_change(row))
    if len(first.values) < 2 or len(second.values) < 2:
        return replace(row, verdict=Verdict.SINGLE_RUN)
    if censored:
        return _with_log_rank(row, base, new)
    return _with_welch(row)


def label(quantity: Quantity) -> str:
    """Return what a row is called."""
    stage, type_, description = quantity
    if stage:
        return f"{stage}/{type_}" + (f" ({description})" if description else "")
    return description or ("run time" if type_ == "time" else type_)


def _side(observed: list[Observed | None], relative: bool, censored: bool) -> Side:
    found = [one for one in observed if one is not None]
    values = tuple(one.value for one in found)
    reached = sum(one.reached for one in found)
    if not values or not all(map(_is_usual, values)):
        return Side(len(observed), values, reached, None, None)
    if censored:
        return Side(len(observed), values, reached, _median_time(found), None)
    if relative:
        logarithms = [math.log(value) for value in values]
        spread = _share(stdev(logarithms)) if len(values) > 1 else None
        return Side(len(observed), values, reached, math.exp(fmean(logarithms)), spread)
    return Side(len(observed), values, reached, fmean(values), stdev(values) if len(values) > 1 else None)


def _median_time(found: list[Observed]) -> float | None:
    return statistics.median_time([(one.value, one.reached) for one in found])


def _margin(how: Measure, relative: bool, margin: float, center: float | None) -> float:
    if relative:
        return margin
    if how.better == "higher" and not how.ratio:
        return SCORE_MARGIN
    return 0.0 if center is None else margin * abs(center)


def _not_finite(base: Side, new: Side) -> str:
    sides = {"base": base, "new": new}
    said = [
        f"{count} of {len(side.values)} {name}"
        for name, side in sides.items()
        if (count := sum(not _is_usual(value) for value in side.values))
    ]
    return f"not finite, or too large: {', '.join(said)}"


def _is_usual(value: float) -> bool:
    """Return whether one can calculate with a number: the square of what is larger would be no number."""
    return abs(value) < _LARGEST


def _change(row: Row) -> float | None:
    before, after = row.base.center, row.new.center
    if before is None or after is None:
        return None
    return _share(math.log(after) - math.log(before)) if row.relative else after - before


def _with_welch(row: Row) -> Row:
    if not row.relative:
        return _with(row, statistics.welch(row.base.values, row.new.values))
    logarithms = ([math.log(value) for value in side.values] for side in (row.base, row.new))
    found = statistics.welch(*logarithms)
    shares = (_share(value) for value in (found.change, found.low, found.high))
    return _with(row, found._replace(**dict(zip(("change", "low", "high"), shares, strict=True))))


def _share(logarithm: float) -> float:
    try:
        return math.expm1(logarithm)
    except OverflowError:
        return math.inf


def _with(row: Row, found: Difference) -> Row:
    return replace(row, change=found.change, low=found.low, high=found.high, noise=found.noise, p=found.p)


def _with_log_rank(row: Row, base: list[Observed | None], new: list[Observed | None]) -> Row:
    """Compare times some of which are only known to be longer. There is no interval, so it is never the same."""
    groups = ([(one.value, one.reached) for one in side if one is not None] for side in (base, new))
    p, longer = statistics.log_rank(*groups)
    if row.base.reached + row.new.reached == 0:
        return replace(row, reason="never reached")
    if row.change is None and longer:
        # Of a side that seldom reached it the median is unknown; which side took longer is not.
        return replace(row, p=p, change=math.copysign(math.inf, longer))
    return replace(row, p=p)


def _judged(rows: list[Row]) -> list[Row]:
    """Return the rows with verdicts. What has neither noise nor a difference was not tested, and costs no power."""
    adjusted = iter(statistics.adjusted([row.p for row in rows if row.p is not None and not row.constant]))
    return [
        row if row.p is None else _with_verdict(replace(row, p_adjusted=row.p if row.constant else next(adjusted)))
        for row in rows
    ]


def _with_verdict(row: Row) -> Row:
    if row.low is not None and row.high is not None and -row.margin <= row.low and row.high <= row.margin:
        return replace(row, verdict=Verdict.SAME)
    if row.significant and row.change:
        return replace(row, verdict=Verdict.HIGHER if row.change > 0 else Verdict.LOWER)
    return row
