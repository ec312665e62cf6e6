"""The bottleneck view of a run: what stands out, where its time went, what its stages used, and its slowest calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.analysis import evidence
from umlaut_async.analysis.facts import Facts
from umlaut_async.analysis.stages import stage_table
from umlaut_async.analysis.verdict import verdicts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from umlaut_async.analysis.stages import StageTable
    from umlaut_async.analysis.verdict import Verdict
    from umlaut_async.store.queries import RunInfo


class Bottleneck(NamedTuple):
    """Where the time of a run went, and why."""

    verdicts: list[Verdict]
    """The most telling first; empty where nothing stands out."""
    table: StageTable


def bottleneck(session: Session, run: RunInfo) -> Bottleneck:
    """Look for what stands out in a run."""
    table = stage_table(session, run)
    types = {used.type for stage in table.stages for used in stage.used.values()}
    facts = Facts(
        table.wall,
        table.untracked,
        table.stages,
        usable_cores(run.environment),
        evidence.blocks(session, run.uuid, table) if "looplag" in types else None,
        evidence.growth(session, run, table) if "memory" in types else None,
    )
    return Bottleneck(verdicts(facts), table)


def usable_cores(environment: Any) -> float | None:
    """Return how many cores a run could use, as far as its environment says."""
    match environment:
        case {"limits": {"usable_cpus": float() | int() as cores}} if cores > 0:
            return float(cores)
        case {"cpu": {"allowed": int() as cores}} | {"cpu": {"count": int() as cores}} if cores > 0:
            return float(cores)
    return None
