"""What runs come to, in the text form that Prometheus scrapes: for short jobs, as a file that a collector reads.

A scrape has one value of each kind, so samples have no place here. Times are seconds, sizes bytes, shares 1 and not
100 %, energies joules, as Prometheus wants them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.store import queries

if TYPE_CHECKING:
    from umlaut_async.analysis.exports.comma_separated import Target
    from umlaut_async.analysis.exports.source import Source
    from umlaut_async.store.queries import RunInfo, Stage

__all__ = ["write"]

_NANO = 1e9


class _Unit(NamedTuple):
    name: str
    scale: float


_UNITS = {
    "sec": _Unit("seconds", 1),
    "Seconds/entry": _Unit("seconds_per_entry", 1),
    "Entries/second": _Unit("entries_per_second", 1),
    "%": _Unit("ratio", 0.01),
    "MiB": _Unit("bytes", 2**20),
    "MiB/s": _Unit("bytes_per_second", 2**20),
    "Watt": _Unit("watts", 1),
    "W": _Unit("watts", 1),
    "µJ": _Unit("joules", 1e-6),
}
_NAME = re.compile("[a-z]+")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class _Families:
    """Values by what they are of: all of one family stand together, as the format demands, and each only once."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[str, float]]] = {}

    def add(self, name: str, kind: str, told: str, value: float, /, **labels: str) -> None:
        """Add a value, or replace the one with the same labels."""
        written = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
        self._families.setdefault(name, (kind, told, {}))[2][written] = value

    def write(self, target: Target) -> None:
        """Write all families."""
        for name, (kind, told, numbers) in self._families.items():
            target.write(f"# HELP {name} {told}\n# TYPE {name} {kind}\n")
            for labels, value in numbers.items():
                target.write(f"{name}{{{labels}}} {_number(value)}\n")


def write(source: Source, target: Target, table: str | None = None) -> None:
    """Write the totals of runs."""
    families = _Families()
    for run in source.runs:
        _run(families, run)
        for stage in queries.stages(source.session, run.uuid):
            _stage(families, run, stage)
        for tracked in queries.trackers(source.session, run.uuid):
            if tracked.value is not None:
                labels = {"method": tracked.method, "type": tracked.type, "description": tracked.description}
                told = "What was recorded outside of calls, the last value of each."
                families.add("umlaut_recorded", "gauge", told, tracked.value, run=run.uuid, **labels, unit=tracked.unit)
        for event in queries.events(source.session, run.uuid):
            labels = {"run": run.uuid, "kind": event.kind, "message": event.message}
            families.add("umlaut_events_total", "counter", "What one must know of a run.", event.count, **labels)
    families.write(target)


def _run(families: _Families, run: RunInfo) -> None:
    about = {"name": run.name, "status": run.status, "description": run.description}
    families.add("umlaut_run_info", "gauge", "A run.", 1, run=run.uuid, **about)
    started = run.started / _NANO
    families.add("umlaut_run_start_time_seconds", "gauge", "When a run began.", started, run=run.uuid)
    if run.ended is not None:
        seconds = (run.ended - run.started) / _NANO
        families.add("umlaut_run_duration_seconds", "gauge", "How long a run took.", seconds, run=run.uuid)


def _stage(families: _Families, run: RunInfo, stage: Stage) -> None:
    labels = {"run": run.uuid, "stage": stage.name, "kind": stage.kind}
    for status, count in stage.statuses.items():
        families.add("umlaut_calls_total", "counter", "Calls of a stage.", count, **labels, status=status)
    told = "The sum of the durations of the calls of a stage that ended."
    families.add("umlaut_call_seconds_total", "counter", told, stage.time / _NANO, **labels)
    for metric in stage.metrics.values():
        type_ = metric.type
        own = labels | ({"description": metric.description, "source": metric.source} if metric.told else {})
        unit = _UNITS.get(metric.unit)
        if metric.mean is None or metric.min is None or metric.max is None:
            continue
        if unit is None or not _NAME.fullmatch(type_):
            name, scale, about = "umlaut_result", 1.0, own | {"type": type_, "unit": metric.unit}
        else:
            name, scale, about = f"umlaut_call_{type_}_{unit.name}", unit.scale, own
        told = "Over the calls of a stage."
        for statistic, value in (("min", metric.min), ("mean", metric.mean), ("max", metric.max)):
            families.add(name, "gauge", told, value * scale, **about, statistic=statistic)
        if metric.unit == "µJ" and unit is not None and name != "umlaut_result":
            total = metric.mean * metric.n * scale
            families.add(
                f"umlaut_{type_}_{unit.name}_total", "counter", "The sum over the calls of a stage.", total, **own
            )


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else '+'}Inf"
