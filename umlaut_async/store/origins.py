"""Where the numbers of a run come from, and what they are a share of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select

from umlaut_async.store.models import Result, Series, Span, source_of
from umlaut_async.store.ranges import of_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

StageKey: TypeAlias = tuple[str, str]
"""The name and the kind of a stage."""


class Sources:
    """The sources of the metrics of a run.

    Args:
        session: Where the run is.
        run_uuid: Which one.
    """

    def __init__(self, session: Session, run_uuid: str) -> None:
        series = session.execute(
            select(Series.id, Series.type, Series.source).where(of_run(session, Series.id, run_uuid))
        ).all()
        by_id = {number: source for number, _, source in series}
        self._of_stages: dict[tuple[StageKey, str], set[str]] = {}
        self._of_types: dict[str, set[str]] = {}
        for _, measure_type, source in series:
            self._of_types.setdefault(measure_type, set()).add(source)
        results = (
            select(Span.name, Span.kind, Result.type, Result.series_id)
            .join(Span, Span.id == Result.span)
            .where(of_run(session, Result.id, run_uuid))
            .distinct()
        )
        for name, kind, measure_type, series_id in session.execute(results):
            source = source_of(None if series_id is None else by_id.get(series_id), in_a_call=True)
            self._of_stages.setdefault(((name, kind), measure_type), set()).add(source)

    def of(self, stage: StageKey, measure_type: str) -> list[str]:
        """Return the sources of a metric of a stage; those of all stages, where this one has no values of it."""
        return sorted(self._of_stages.get((stage, measure_type)) or self._of_types.get(measure_type) or [])


def memory_shares(session: Session, run_uuid: str) -> dict[StageKey, float]:
    """Return the highest memory of each stage in percent of what its process may use.

    That is the same in all results of a process, so one of them tells it.
    """
    peaks = session.execute(
        select(Span.name, Span.kind, Result.process_id, func.max(Result.value), func.min(Result.id))
        .join(Span, Span.id == Result.span)
        .where(of_run(session, Result.id, run_uuid), Result.type == "memory", Result.value > 0)
        .group_by(Span.name, Span.kind, Result.process_id)
    ).all()
    known = {row[-1] for row in peaks}
    examples = session.execute(select(Result.id, Result.value, Result.data).where(Result.id.in_(known)))
    percent_of_one = {number: _share(data) / value for number, value, data in examples}
    shares: dict[StageKey, float] = {}
    for name, kind, _, peak, example in peaks:
        if share := peak * percent_of_one[example]:
            shares[name, kind] = max(share, shares.get((name, kind), 0))
    return shares


def _share(data: object) -> float:
    share = data.get("share") if isinstance(data, dict) else None
    return share if isinstance(share, (int, float)) else 0
