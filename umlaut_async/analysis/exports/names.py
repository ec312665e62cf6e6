"""What the values of calls are called, so that two metrics of one type keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.store.metric_names import MetricKey, tell_apart
from umlaut_async.store.models import CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from umlaut_async.store.run_queries import CallRow, ResultRow, SeriesRow

__all__ = ["names_of"]


def names_of(
    calls: Iterable[CallRow], results: Iterable[ResultRow], series: Iterable[SeriesRow]
) -> Callable[[ResultRow], tuple[MetricKey, str]]:
    """Return a function that says of a value of a call which metric it is of, and what tells that from others.

    That is the same in all calls of a stage: one of them may lack a value that others have.
    """
    stages = {call.id: (call.name, call.kind) for call in calls}
    sources: Mapping[int | None, str] = {each.id: each.source for each in series}

    def key(result: ResultRow) -> MetricKey:
        return MetricKey(result.type, result.description, sources.get(result.series_id, CLOCK))

    metrics: dict[tuple[str, str], dict[MetricKey, None]] = {}
    for result in results:
        if result.span in stages:
            metrics.setdefault(stages[result.span], {})[key(result)] = None
    told = {stage: tell_apart(found) for stage, found in metrics.items()}

    def name(result: ResultRow) -> tuple[MetricKey, str]:
        metric = key(result)
        stage = None if result.span is None else stages.get(result.span)
        return metric, "" if stage is None else told[stage][metric]

    return name
