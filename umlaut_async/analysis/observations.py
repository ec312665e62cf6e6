"""One number for each stage and metric of a run: what comparisons compare."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.analysis.measures import CALLS, ERRORS, TIMED_TTA, measure
from umlaut_async.store import queries, totals

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo, Tracked
    from umlaut_async.store.totals import MetricTotal

__all__ = ["Observed", "Quantity", "observe"]

SECOND = 1e9


class Quantity(NamedTuple):
    """What was observed."""

    stage: str
    """Empty for what belongs to the run as a whole."""
    type: str
    description: str = ""
    """Where a stage has several metrics of a type, and of what was tracked; where needed, the source as well."""


class Observed(NamedTuple):
    """What it was in one run."""

    value: float
    """Not finite where the run recorded that, such as the loss of a training that diverged."""
    unit: str
    reached: bool = True
    """False of a time to accuracy: the accuracy was not reached in as many seconds."""
    estimated: bool = False


def observe(session: Session, run: RunInfo) -> dict[Quantity, Observed]:
    """Return what a run comes to: itself, its stages in the order of their first calls, then what was tracked."""
    found: dict[Quantity, Observed] = {}
    if run.ended is not None:
        found[Quantity("", "time")] = Observed((run.ended - run.started) / SECOND, "sec")
    metrics = totals.metric_totals(session, run.uuid)
    same = Counter((metric.stage, metric.type, metric.description) for metric in metrics)
    for stage in totals.stage_totals(session, run.uuid):
        # The time of a stage is known with and without a metric for it.
        if stage.time is not None:
            found[Quantity(stage.name, "time")] = Observed(stage.time / SECOND, "sec")
        for metric in metrics:
            if metric.stage == stage.name and metric.type != "time" and (value := _of_calls(metric)) is not None:
                name = metric.description
                if same[metric.stage, metric.type, name] > 1:
                    name = ", ".join(filter(None, (name, metric.source)))
                quantity = Quantity(stage.name, metric.type, name)
                found[quantity] = Observed(value, metric.unit, estimated=metric.provenance == "estimated")
        found[Quantity(stage.name, CALLS)] = Observed(stage.calls, "")
        found[Quantity(stage.name, ERRORS)] = Observed(stage.errors, "")
    outside: dict[Quantity, list[Observed]] = {}
    for tracked in queries.trackers(session, run.uuid):
        if (observed := _of_tracked(tracked, run)) is not None:
            outside.setdefault(Quantity(tracked.method, tracked.type, tracked.description), []).append(observed)
    return found | {quantity: _together(quantity.type, values) for quantity, values in outside.items()}


def _of_calls(metric: MetricTotal) -> float | None:
    match measure(metric.type).combine:
        case "sum":
            return metric.total
        case "max":
            return metric.highest
        case "by time" if metric.time and metric.by_time is not None:
            return metric.by_time / metric.time
        case "by entries" if metric.time_of_positive and metric.time_by_value:
            return metric.time_of_positive / metric.time_by_value
        case _:
            return metric.total / metric.n


def _together(type_: str, values: list[Observed]) -> Observed:
    """Return what values outside of calls come to; in databases of UMLAUT all values are."""
    last, numbers = values[-1], [observed.value for observed in values]
    match measure(type_).combine:
        case "sum":
            return last._replace(value=sum(numbers))
        case "max":
            return last._replace(value=max(numbers))
        case "by time" | "by entries":
            return last._replace(value=sum(numbers) / len(numbers))
        case _:
            # What is tracked again and again, as after each epoch, is at the end what the run comes to.
            return last


def _of_tracked(tracked: Tracked, run: RunInfo) -> Observed | None:
    data = tracked.data
    if tracked.value is not None:
        return Observed(tracked.value, "sec" if tracked.type == TIMED_TTA else tracked.unit)
    if tracked.type == TIMED_TTA and isinstance(data, dict) and data.get("reached") is False:
        return Observed(max(0.0, (tracked.recorded - run.started) / SECOND), "sec", reached=False)
    if tracked.type in ("loss", "tta") and isinstance(data, list) and data and all(map(_is_number, data)):
        # The best accuracy, but the last loss: a training that diverged at its end must not look well.
        numbers = list(map(_float, data))
        return Observed(_best(numbers) if tracked.type == "tta" else numbers[-1], tracked.unit)
    return Observed(_float(data), tracked.unit) if _is_number(data) else None


def _best(accuracies: list[float]) -> float:
    return max((accuracy for accuracy in accuracies if not math.isnan(accuracy)), default=math.nan)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of JSON may have any length
        return math.inf if value > 0 else -math.inf
