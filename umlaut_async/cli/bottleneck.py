"""The bottleneck view of a run as text and as JSON: verdict, budget, stages and resources, slowest calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from umlaut_async.cli.text import MISSING, duration, number, percent, quantity, safe
from umlaut_async.metrics.resources import HIGHEST_SAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from umlaut_async.analysis.bottleneck import Bottleneck
    from umlaut_async.analysis.stages import StageRow, StageTable
    from umlaut_async.store.origins import Peaks
    from umlaut_async.store.stage_queries import Used

# Of a stage whose calls ended in several ways the gravest is its status.
_GRAVEST_FIRST = ("error", "lost", "abandoned", "cancelled", "running", "closed", "ok")
# What the other columns show already.
_SHOWN_METRICS = frozenset({"time", "latency", "throughput", "cpu", "memory"})
_BAR = 20
_AT_LEAST = "≥"
# What JSON says of a metric: the mean of its calls, and that over their time, which is what is shown of rates.
_FIELDS = ("type", "description", "unit", "n", "mean", "over_time", "min", "max", "total", "provenance")


def view_parts(view: Bottleneck, peaks: Peaks) -> Iterator[RenderableType]:
    """Yield what is printed of a run that has calls.

    Args:
        view: What was found.
        peaks: What is known of the highest memory of the stages.
    """
    from rich.text import Text

    if view.verdicts:
        verdict = view.verdicts[0]
        yield from ("", Text(safe(f"▶ {verdict.sentence}", longest=500), style="bold"))
        yield f"  rule: {safe(verdict.rule, longest=500)}"
    table = view.table
    yield from ("", _budget_table(table), *_unknown_parents(table.stages), "", _stage_table(table.stages, peaks))
    yield from _peak_note(table, peaks)
    if any(used.type not in _SHOWN_METRICS for stage in table.stages for used in stage.used.values()):
        yield from ("", _metric_table(table.stages))
    if any(stage.durations for stage in table.stages):
        yield from ("", _duration_table(table.stages))
    yield from ("", _slowest_table(table))


def view_fields(view: Bottleneck, peaks: Peaks) -> dict[str, Any]:
    """Return what JSON says of the calls of a run; times are integer nanoseconds.

    Args:
        view: What was found.
        peaks: What is known of the highest memory of the stages.
    """
    table = view.table
    return {
        "verdicts": [verdict._asdict() for verdict in view.verdicts],
        "budget": {
            "wall": table.wall,
            "untracked": round(table.untracked),
            "critical_untracked": round(table.critical_untracked),
        },
        "stages": [_stage_fields(stage, peaks) for stage in table.stages],
        "slowest": [call._asdict() | {"started": table.began + call.started} for call in table.slowest],
    }


def _stage_fields(stage: StageRow, peaks: Peaks) -> dict[str, Any]:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "calls": stage.calls,
        "status": _status(stage),
        "statuses": stage.statuses,
        "time": stage.time,
        "budget": {
            "share": round(stage.budget.share),
            **{name: round(time) for name, time in stage.budget._asdict().items()},
        },
        "durations": _rounded(stage.durations._asdict()) if stage.durations else None,
        "producing": stage.producing,
        "waited": [waited._asdict() for waited in stage.waited],
        "unknown_parents": None if stage.unknown_parents is None else stage.unknown_parents._asdict(),
        "entries": stage.entries,
        "energy": stage.energy,
        "energy_per_entry": stage.energy_per_entry,
        "metrics": {
            name: {field: getattr(used, field) for field in _FIELDS}
            | {"sources": [used.source]}
            | (_peak_fields(stage, peaks, used) if used.type == "memory" else {})
            for name, used in stage.used.items()
        },
    }


def _rounded(times: dict[str, float | None]) -> dict[str, int | None]:
    return {name: None if time is None else round(time) for name, time in times.items()}


def _budget_table(table: StageTable) -> RenderableType:
    from umlaut_async.cli.tables import table as new_table

    columns = ("where the time went", "share", "", "alone", "overlapped", "elsewhere", "critical path")
    made = new_table(columns, right=frozenset(columns) - {columns[0], ""})
    for stage in table.stages:
        budget = stage.budget
        made.add_row(
            safe(stage.name),
            *_share(budget.share, table.wall),
            *map(_time, (budget.alone, budget.overlapped, budget.elsewhere)),
            _share(stage.budget.critical, table.wall)[0],
        )
    made.add_row(
        "(in no stage)",
        *_share(table.untracked, table.wall),
        _time(table.untracked),
        MISSING,
        MISSING,
        _share(table.critical_untracked, table.wall)[0],
    )
    return made


def _unknown_parents(stages: Sequence[StageRow]) -> Iterator[str]:
    for stage in stages:
        if stage.unknown_parents is not None:
            yield safe(stage.unknown_parents.sentence(stage.name), longest=500)


def _share(time: float, wall: int) -> tuple[str, str]:
    if not wall:
        return MISSING, ""
    part = time / wall
    return percent(part, 1), "█" * round(_BAR * part)


def _time(nanoseconds: float | None) -> str:
    return MISSING if not nanoseconds else duration(nanoseconds / 1e9)


def _stage_table(stages: Sequence[StageRow], peaks: Peaks) -> RenderableType:
    from umlaut_async.cli.tables import status_text, table

    more = [(name, cell) for name, cell in _MORE.items() if any(cell(stage) != MISSING for stage in stages)]
    numbers = ("calls", "time", "per call", "entries/s", "CPU", "memory", *_MORE)
    columns = ("stage", *numbers[:6], *(name for name, _ in more), "status")
    made = table(columns, right=frozenset(numbers))
    for stage in stages:
        ended = stage.calls - stage.statuses.get("running", 0)
        made.add_row(
            safe(stage.name),
            f"{stage.calls:,}",
            duration(stage.time / 1e9 if ended else None),
            duration(stage.time / 1e9 / ended if ended else None),
            _told(stage, "throughput", lambda used: number(used.over_time)),
            _told(stage, "cpu", _mean),
            _told(stage, "memory", partial(_memory, stage, peaks)),
            *(cell(stage) for _, cell in more),
            status_text(_status(stage), _status_counts(stage)),
        )
    return made


_MORE: dict[str, Callable[[StageRow], str]] = {
    "wait": lambda stage: percent(stage.waiting),
    "GPU": lambda stage: _told(stage, "gpu", _mean),
    "I/O": lambda stage: _told(stage, "io", _mean),
    "energy": lambda stage: quantity(stage.energy, "J"),
    "per entry": lambda stage: quantity(stage.energy_per_entry, "J"),
}
"""Columns that are there where a stage has something in them."""


def _told(stage: StageRow, type_: str, show: Callable[[Used], str]) -> str:
    from umlaut_async.analysis.measures import told

    return told(stage.of_type(type_), show, "\n")


def _memory(stage: StageRow, peaks: Peaks, used: Used) -> str:
    share, how = _peak_of(stage, peaks, used)
    at_least = f"{_AT_LEAST} " if how == HIGHEST_SAMPLE else ""
    return at_least + _value(used, used.max) + ("" if share is None else f" ({quantity(share, '%')})")


def _peak_of(stage: StageRow, peaks: Peaks, used: Used) -> tuple[float | None, str | None]:
    return peaks.get((stage.name, stage.kind, used.key), (None, None))


def _peak_fields(stage: StageRow, peaks: Peaks, used: Used) -> dict[str, Any]:
    share, how = _peak_of(stage, peaks, used)
    return {"share": share, "peak": how}


def _peak_note(table: StageTable, peaks: Peaks) -> Iterator[str]:
    shown = (_peak_of(stage, peaks, used) for stage in table.stages for used in stage.of_type("memory"))
    if any(how == HIGHEST_SAMPLE for _, how in shown):
        yield f"{_AT_LEAST} the highest sample: what memory was held between two is not seen"


def _mean(used: Used) -> str:
    from umlaut_async.analysis.measures import mean_of

    return _value(used, mean_of(used))


def _value(used: Used, value: float | None) -> str:
    return used.provenance if used.n == 0 else quantity(value, used.unit)


def _metric_table(stages: Sequence[StageRow]) -> RenderableType:
    from umlaut_async.cli.tables import table

    columns = ("stage", "metric", "calls", "mean", "lowest", "highest")
    made = table(columns, right=frozenset(columns[2:]))
    for stage in stages:
        for name, used in stage.used.items():
            if used.type not in _SHOWN_METRICS:
                values = _mean(used), _value(used, used.min), _value(used, used.max)
                made.add_row(safe(stage.name), safe(name), f"{used.n:,}", *values)
    return made


def _duration_table(stages: Sequence[StageRow]) -> RenderableType:
    from umlaut_async.cli.tables import table

    columns = ("time of a call", "first", "half under", "95 % under", "99 % under", "longest")
    made = table(columns, right=frozenset(columns[1:]))
    for stage in stages:
        if stage.durations is not None:
            made.add_row(safe(stage.name), *map(_time, stage.durations[: len(columns) - 1]))
    return made


def _slowest_table(view: StageTable) -> RenderableType:
    from umlaut_async.analysis.unknown_parents import UNKNOWN_PARENT
    from umlaut_async.cli.tables import status_text, table

    columns = ("slowest calls", "time", "began after", "inside", "status")
    made = table(columns, right=frozenset(columns[1:3]))
    for call in view.slowest:
        made.add_row(
            safe(call.stage),
            duration(call.duration / 1e9),
            duration(call.started / 1e9),
            (UNKNOWN_PARENT if call.unknown_parent else MISSING) if call.inside is None else safe(call.inside),
            status_text(call.status),
        )
    return made


def _status(stage: StageRow) -> str:
    return next((status for status in _GRAVEST_FIRST if status in stage.statuses), next(iter(stage.statuses)))


def _status_counts(stage: StageRow) -> str:
    if len(stage.statuses) == 1:
        return _status(stage)
    return ", ".join(f"{count:,} {status}" for status, count in sorted(stage.statuses.items(), key=_by_count))


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    status, count = item
    return -count, status
