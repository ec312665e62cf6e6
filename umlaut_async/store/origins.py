"""What the numbers of a run are a share of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select

from umlaut_async.store.metric_names import MetricKey
from umlaut_async.store.models import Result, Series, Span, source_column
from umlaut_async.store.ranges import of_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Shares", "memory_shares"]

Shares: TypeAlias = dict[tuple[str, str, MetricKey], float]
"""By name and kind of the stage, and by metric."""


def memory_shares(session: Session, run_uuid: str) -> Shares:
    """Return the highest memory of each stage and metric in percent of what its process may use.

    That is the same in all results of a process, so one of them tells it.
    """
    metric = Result.type, Result.description, source_column()
    stage = Span.name, Span.kind
    peaks = session.execute(
        select(*stage, *metric, func.max(Result.value), func.min(Result.id))
        .join(Span, Span.id == Result.span)
        .outerjoin(Series, Series.id == Result.series_id)
        .where(of_run(session, Result.id, run_uuid), Result.type == "memory", Result.value > 0)
        .group_by(*stage, *metric, Result.process_id)
    ).all()
    known = {row[-1] for row in peaks}
    examples = session.execute(select(Result.id, Result.value, Result.data).where(Result.id.in_(known)))
    percent_of_one = {number: _share(data) / value for number, value, data in examples}
    shares: Shares = {}
    for name, kind, *key, peak, example in peaks:
        if share := peak * percent_of_one[example]:
            which = name, kind, MetricKey(*key)
            shares[which] = max(share, shares.get(which, 0))
    return shares


def _share(data: object) -> float:
    share = data.get("share") if isinstance(data, dict) else None
    return share if isinstance(share, (int, float)) else 0
