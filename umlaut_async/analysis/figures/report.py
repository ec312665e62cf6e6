"""Pages about runs: a figure alone, or all that is known of one run or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.analysis.bottleneck import bottleneck
from umlaut_async.analysis.figures.drawing import drawn
from umlaut_async.analysis.figures.explained import budget, slowest_calls, stages, verdict_box
from umlaut_async.analysis.figures.figure import build
from umlaut_async.analysis.figures.markup import Markup, details, element, joined, table
from umlaut_async.analysis.figures.page import page
from umlaut_async.analysis.figures.tracked_values import tracked_values
from umlaut_async.store import queries
from umlaut_async.text import MISSING, duration, event_text, moment, safe, tag_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.analysis.figures.figure import Figure
    from umlaut_async.store.queries import EventGroup, RunInfo

__all__ = ["figure_page", "report_page"]

_SHORT = 8
_MOST_BESIDE = 8
_MOST_EVENTS = 200
_MOST_FACTS = 300
_OF_MISSING = ("description", "type", "reason", "cure")


def figure_page(figure: Figure) -> str:
    """Return a page that shows one figure."""
    return page(_title(figure.run), element("section", _heading(figure.run), drawn(figure)))


def report_page(session: Session, runs: Sequence[RunInfo]) -> str:
    """Return a page about runs."""
    times: list[dict[str, int]] = [{} for _ in runs]
    sections = [_section(session, run, f"run{at}", times[at]) for at, run in enumerate(runs)]
    if len(runs) == 1:
        return page(_title(runs[0]), *sections)
    heading = element("h1", f"{len(runs)} runs")
    return page(f"{len(runs)} runs", heading, _contents(runs), _beside(runs, times), *sections)


def _title(run: RunInfo) -> str:
    return f"{safe(run.name)} {safe(run.uuid[:_SHORT])}"


def _contents(runs: Sequence[RunInfo]) -> Markup:
    rows = [
        (
            element("a", f"{safe(run.name)} {safe(run.uuid[:_SHORT])}", href=f"#run{at}"),
            moment(run.started),
            _wall_time(run),
            run.status,
            run.description,
            tag_list(run.tags),
        )
        for at, run in enumerate(runs)
    ]
    return table("The runs of this report", ["run", "started", "time", "status", "description", "tags"], rows)


def _beside(runs: Sequence[RunInfo], times: Sequence[dict[str, int]]) -> Markup:
    """Return the times of the stages in several runs beside each other; of many runs `umlaut compare` tells more."""
    stages = list(dict.fromkeys(stage for each in times for stage in each))
    if not stages or len(runs) > _MOST_BESIDE:
        return Markup("")
    rows = [
        ("run time", *map(_wall_time, runs)),
        *((stage, *(duration(each[stage] / 1e9) if stage in each else MISSING for each in times)) for stage in stages),
    ]
    headings = ["stage", *(run.uuid[:_SHORT] for run in runs)]
    caption = "The time in the calls of each stage; umlaut compare says which differences are more than noise"
    return table(caption, headings, rows, numbers=range(1, len(headings)))


def _section(session: Session, run: RunInfo, anchor: str, times: dict[str, int]) -> Markup:
    """Return all that is known of a run, and note the time of its stages."""
    view = bottleneck(session, run)
    for stage in view.table.stages:
        times[stage.name] = times.get(stage.name, 0) + stage.time
    figure = build(session, run)
    events = queries.events(session, run.uuid)
    return element(
        "section",
        _heading(run),
        verdict_box(view.verdicts),
        element("h2", "Where the time went"),
        budget(view, [row.name for row in figure.rows]),
        drawn(figure),
        stages(view),
        slowest_calls(view),
        tracked_values(queries.trackers(session, run.uuid)),
        _events(events),
        _environment(run),
        id=anchor,
    )


def _heading(run: RunInfo) -> Markup:
    facts = {
        "run": run.uuid,
        "status": run.status,
        "started": moment(run.started),
        "time": _wall_time(run),
        "description": run.description,
        "tags": tag_list(run.tags),
    }
    return joined([element("h1", run.name or "a run without a name"), _facts(facts)])


def _facts(facts: dict[str, Any]) -> Markup:
    entries = (joined([element("dt", name), element("dd", value)]) for name, value in facts.items() if value)
    return element("dl", *entries, class_="facts")


def _wall_time(run: RunInfo) -> str:
    return "has not ended" if run.ended is None else duration((run.ended - run.started) / 1e9)


def _events(events: Sequence[EventGroup]) -> Markup:
    missing = [
        event
        for event in events
        if event.kind == "unavailable" and isinstance(event.data, dict) and event.data.keys() >= {*_OF_MISSING}
    ]
    others = [event for event in events if event not in missing]
    parts = []
    if missing:
        rows = [tuple(event.data[name] for name in _OF_MISSING) for event in missing]
        headings = ["not recorded", "type", "why not", "to record it"]
        parts += [element("h2", "Not recorded"), table("Metrics without numbers, and why", headings, rows)]
    if others:
        shown = [
            (event.kind, f"{event.count:,}", moment(event.first), event_text(event.message, event.data))
            for event in others
        ]
        made = table(
            "What one must know before trusting the numbers",
            ["event", "count", "first seen", "what happened"],
            shown[:_MOST_EVENTS],
            numbers=(1,),
        )
        parts += [element("h2", "Events"), made]
    return joined(parts)


def _environment(run: RunInfo) -> Markup:
    parts = []
    for name, known in (("Environment", run.environment), ("Collector", run.collector)):
        rows = [row for row, _ in zip(_flat(known, ""), range(_MOST_FACTS), strict=False)]
        if rows:
            parts.append(details(name, table(name, ["name", "value"], rows)))
    return joined([element("h2", "What it ran on"), *parts]) if parts else Markup("")


def _flat(value: Any, name: str) -> Iterator[tuple[str, object]]:
    """Give the texts and numbers in nested data with their names."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else safe(key))
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for at, item in enumerate(value):
            yield from _flat(item, f"{name}[{at}]")
    elif value not in (None, [], ""):
        yield name, ", ".join(map(safe, value)) if isinstance(value, list) else value
