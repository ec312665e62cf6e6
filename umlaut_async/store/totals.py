"""What the calls of one run come to, by stage and metric: the database adds up, so that a run may have many calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import case, func, select

from umlaut_async.store.models import Result, Series, Span, source_column
from umlaut_async.store.ranges import of_run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["MetricTotal", "StageTotal", "metric_totals", "stage_totals"]


class StageTotal(NamedTuple):
    """The calls of a stage."""

    name: str
    calls: int
    errors: int
    time: int | None
    """The sum of the durations of the calls that ended, in nanoseconds; None if none did."""


class MetricTotal(NamedTuple):
    """The values of one metric over the calls of a stage; there is at least one."""

    stage: str
    type: str
    description: str
    source: str
    unit: str
    n: int
    total: float
    highest: float
    time: int | None
    """The sum of the durations of the calls that have a value, in nanoseconds."""
    by_time: float | None
    """The sum of value × duration."""  # noqa: RUF001
    time_by_value: float | None
    """The sum of duration / value where that is positive."""
    time_of_positive: int | None
    """The sum of the durations of these calls, in nanoseconds."""
    provenance: str
    """That of the least certain value: estimated before measured."""


def stage_totals(session: Session, run_uuid: str) -> list[StageTotal]:
    """Return the calls of a run by stage."""
    query = (
        select(
            Span.name,
            func.count(),
            func.count(case((Span.status == "error", 1))),
            func.sum(Span.duration),
        )
        .where(of_run(session, Span.id, run_uuid))
        .group_by(Span.name)
        .order_by(func.min(Span.started), Span.name)
    )
    return [StageTotal(*row) for row in session.execute(query)]


def metric_totals(session: Session, run_uuid: str) -> list[MetricTotal]:
    """Return the values of a run that belong to calls, by stage and metric."""
    positive = Result.value > 0
    query = (
        select(
            Span.name,
            Result.type,
            Result.description,
            source_column(),
            func.min(Result.unit),
            func.count(),
            func.sum(Result.value),
            func.max(Result.value),
            func.sum(Span.duration),
            func.sum(Result.value * Span.duration),
            func.sum(case((positive, Span.duration / Result.value))),
            func.sum(case((positive, Span.duration))),
            # The alphabet orders them as needed.
            func.min(Result.provenance),
        )
        .join(Span, Span.id == Result.span)
        .outerjoin(Series, Series.id == Result.series_id)
        .where(of_run(session, Result.id, run_uuid), Result.value.is_not(None))
        .group_by(Span.name, Result.type, Result.description, source_column())
        .order_by(func.min(Span.started), Span.name, Result.type, Result.description, func.min(Result.id))
    )
    return [MetricTotal._make(row) for row in session.execute(query)]
