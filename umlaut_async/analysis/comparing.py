"""Two groups of the runs of a database, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from umlaut_async.analysis.comparison import MARGIN, Row, compare_groups
from umlaut_async.analysis.differences import Differences, Setting, differences
from umlaut_async.analysis.observations import observe
from umlaut_async.analysis.selectors import NoRunError, SelectorError, select
from umlaut_async.analysis.tables import Table
from umlaut_async.errors import ArgumentError
from umlaut_async.store import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.analysis.tables import Kind
    from umlaut_async.store.queries import RunInfo

__all__ = ["Comparison", "Group", "compare"]

_COLUMNS: dict[str, Kind] = {
    "metric": "text", "unit": "text", "base": "number", "new": "number", "base_runs": "integer", "new_runs": "integer",
    "relative": "data", "change": "number", "low": "number", "high": "number", "p": "number", "p_adjusted": "number",
    "verdict": "text", "better_or_worse": "text", "reason": "text",
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Runs that count as repetitions of one another."""

    selector: str
    runs: tuple[RunInfo, ...]
    """Those that ended well."""
    left_out: tuple[RunInfo, ...]
    """Those that failed, were lost or are still running: their numbers are not those of the whole pipeline."""


@dataclass(frozen=True)
class Comparison:
    """What comparing two groups of runs says."""

    base: Group
    new: Group
    differences: Differences
    margin: float
    rows: tuple[Row, ...]

    @property
    def tested(self) -> int:
        """How many rows were tested: false discoveries are controlled over so many."""
        return sum(row.p is not None and not row.constant for row in self.rows)

    @property
    def shown(self) -> list[Row]:
        """The rows without numbers of calls and errors that are the same in all runs."""
        return [row for row in self.rows if not row.dull]

    @property
    def turns(self) -> Literal["base first", "new first", "mixed"]:
        """Whether all runs of one side are older than all of the other, so that time itself may tell them apart."""
        base, new = ([run.started for run in group.runs] for group in (self.base, self.new))
        if max(base) < min(new):
            return "base first"
        return "new first" if max(new) < min(base) else "mixed"

    def __repr__(self) -> str:
        sides = (f"{group.selector!r} ({len(group.runs)} runs)" for group in (self.base, self.new))
        return f"<Comparison of {' with '.join(sides)}: {len(self.shown)} rows>"

    def _repr_html_(self) -> str:
        from umlaut_async.analysis.wording import html

        return html(self)

    def to_table(self) -> Table:
        """Return the rows that are shown as a table, which pandas, polars and Arrow take."""
        rows = [
            (
                row.label, row.unit, row.base.center, row.new.center, len(row.base.values), len(row.new.values),
                row.relative, row.change, row.low, row.high, row.p, row.p_adjusted, row.verdict.value,
                {True: "better", False: "worse", None: None}[row.better], row.reason or None,
            )
            for row in self.shown
        ]  # fmt: skip
        return Table.of_rows("comparison", _COLUMNS, rows)


def compare(
    session: Session, base: str, new: str, *, margin: float = MARGIN, metrics: Sequence[str] = ()
) -> Comparison:
    """Compare two groups of runs.

    Args:
        session: A database opened for reading, as by `Results.session`.
        base: The runs that are the measure of the others, as `Results.runs` selects them.
        new: The runs that are compared with them.
        margin: The share by which things may differ and be called the same.
        metrics: Only these types of metrics or rows, `*` standing for any letters; by default all of them.

    Raises:
        ArgumentError: The margin is no positive number, or there is no such metric.
        SelectorError: A selector means no run that ended well, may mean several things, or both mean the same run.
        MissingExtraError: scipy is not installed.
    """
    if not 0 < margin < float("inf"):
        raise ArgumentError(f"the margin must be a positive number, not {margin}")
    before, after = _group(session, base), _group(session, new)
    shared = [run.uuid for run in before.runs if run.uuid in {other.uuid for other in after.runs}]
    if shared:
        raise SelectorError(f"{base!r} and {new!r} both mean the run {shared[0]}; a run cannot be compared with itself")
    rows = compare_groups(
        [observe(session, run) for run in before.runs],
        [observe(session, run) for run in after.runs],
        margin=margin,
        metrics=metrics,
    )
    if metrics and not rows:
        raise ArgumentError(f"no run has a metric {', '.join(metrics)}")
    found = differences(*([_setting(session, run) for run in group.runs] for group in (before, after)))
    return Comparison(before, after, found, margin, tuple(rows))


def _setting(session: Session, run: RunInfo) -> Setting:
    searches = queries.trackers(session, run.uuid, "hyperparameters")
    return Setting(run.environment, [search.data for search in searches])


def _group(session: Session, selector: str) -> Group:
    found = select(session, selector)
    runs = tuple(run for run in found if run.status == "ok")
    left_out = tuple(run for run in found if run.status != "ok")
    if not runs:
        said = ", ".join(f"{run.uuid[:8]} ({run.status})" for run in left_out[:5])
        raise NoRunError(f"{selector!r} means no run that ended well: {said}")
    return Group(selector, runs, left_out)
