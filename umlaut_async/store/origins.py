"""How the highest memory of stages is known, and what it is a share of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlalchemy import String, case, cast, func, select, type_coerce

from umlaut_async.metrics.resources import EXACT, HIGHEST_SAMPLE
from umlaut_async.store.metric_names import MetricKey
from umlaut_async.store.models import Result, Series, Span, source_column
from umlaut_async.store.ranges import of_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Peak", "Peaks", "memory_peaks"]


class Peak(NamedTuple):
    """What is known of the highest memory of a stage."""

    share: float | None
    """In percent of what its process may use."""
    how: str | None
    """Whether it is exact, or only the highest sample: what was held between two is not seen."""


Peaks: TypeAlias = dict[tuple[str, str, MetricKey], Peak]
"""By name and kind of the stage, and by metric."""


def memory_peaks(session: Session, run_uuid: str) -> Peaks:
    """Return what is known of the highest memory of each stage and metric.

    What a process may use is the same in all of its results, so one of them tells it.
    """
    metric = Result.type, Result.description, source_column()
    stage = Span.name, Span.kind
    is_text = session.get_bind().dialect.name == "sqlite"
    text = type_coerce(Result.data, String) if is_text else cast(Result.data, String)
    exact, sampled = (
        func.max(case((text.like(f'%"peak":%"{how}"%'), Result.value))) for how in (EXACT, HIGHEST_SAMPLE)
    )
    found = session.execute(
        select(*stage, *metric, func.max(Result.value), exact, sampled, func.min(Result.id))
        .join(Span, Span.id == Result.span)
        .outerjoin(Series, Series.id == Result.series_id)
        .where(of_run(session, Result.id, run_uuid), Result.type == "memory", Result.value > 0)
        .group_by(*stage, *metric, Result.process_id)
    ).all()
    known = {row[-1] for row in found}
    examples = session.execute(select(Result.id, Result.value, Result.data).where(Result.id.in_(known)))
    percent_of_one = {number: _share(data) / value for number, value, data in examples}
    peaks: Peaks = {}
    highest_yet: dict[tuple[str, str, MetricKey], float] = {}
    for name, kind, *key, highest, exact_value, sampled_value, example in found:
        which = name, kind, MetricKey(*key)
        before = peaks.get(which, Peak(None, None))
        share = max(highest * percent_of_one[example], before.share or 0) or None
        how = EXACT if highest == exact_value else HIGHEST_SAMPLE if highest == sampled_value else None
        if highest < highest_yet.get(which, 0):
            how = before.how
        highest_yet[which] = max(highest, highest_yet.get(which, 0))
        peaks[which] = Peak(share, how)
    return peaks


def _share(data: object) -> float:
    share = data.get("share") if isinstance(data, dict) else None
    return share if isinstance(share, (int, float)) else 0
