"""What tells the metrics of a stage from each other: one number is of one description and of one source."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MetricKey", "name_of", "tell_apart"]


class MetricKey(NamedTuple):
    """Which metric of a stage is meant."""

    type: str
    description: str
    source: str


def tell_apart(metrics: Iterable[MetricKey]) -> dict[MetricKey, str]:
    """Say of each metric of a stage what tells it from the others of its type; nothing of one that is alone."""
    of_type: dict[str, list[MetricKey]] = {}
    for metric in dict.fromkeys(metrics):
        of_type.setdefault(metric.type, []).append(metric)
    found: dict[MetricKey, str] = {}
    for alike in of_type.values():
        descriptions = [metric.description for metric in alike]
        told: set[str] = set()
        for metric in alike if len(alike) > 1 else ():
            known = metric.description if len(set(descriptions)) > 1 else ""
            if not known or descriptions.count(metric.description) > 1:
                known = ", ".join(filter(None, (known, metric.source)))
            # Users may call one metric as another one is called with its source.
            known = f"{known}, no. {len(told) + 1}" if known in told else known
            told.add(known)
            found[metric] = known
        if len(alike) == 1:
            found[alike[0]] = ""
    return found


def name_of(type_: str, told: str) -> str:
    """Return what a metric is called within its stage, given what tells it from the others of its type."""
    return f"{type_} ({told})" if told else type_
