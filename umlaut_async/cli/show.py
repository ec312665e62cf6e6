"""`umlaut show`: one run, what stands out in it, what was tracked, and what one must know to trust the numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from umlaut_async.cli.bottleneck import view_fields, view_parts
from umlaut_async.cli.database import as_json, reading
from umlaut_async.cli.parameters import DB, RUNS
from umlaut_async.cli.runs import SHORT_UUID, run_fields, wall_time
from umlaut_async.cli.text import MISSING, duration, event_text, moment, safe, tag_list
from umlaut_async.garbage import without_garbage_collection

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import EventGroup, RunInfo, Tracked

_NUMBERS = frozenset({"count"})

_OF_THE_USER = {"provenance": "measured", "sources": ["user"]}
_LOST = "lost"
"""The kind of the event that says how a run ended which nobody ended."""

_OF_MISSING = frozenset({"description", "type", "reason", "cure"})


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS, required=False)
@click.option("--json", "as_data", is_flag=True, help="Print JSON; times are integer nanoseconds since the epoch.")
def show(db: str, run: str | None, as_data: bool) -> None:
    """Show one run in the database DB.

    RUN is the beginning of its uuid, as `umlaut runs` lists it, its name, last~2, tag:x or @baseline; without it the
    newest run is shown.
    """
    with without_garbage_collection():
        if as_data:
            with reading(db) as session:
                click.echo(as_json(_document(session, run)))
        else:
            print_run(db, run)


def print_run(db_file: str | os.PathLike[str], run: str | None = None) -> None:
    """Print what `umlaut show` prints.

    Args:
        db_file: The database.
        run: Which run, as `analysis.selectors` says, by default the newest.

    Raises:
        SelectorError: This means no run, or several.
        StoreError: The database cannot be read.
    """
    from umlaut_async.cli.tables import console, show_part

    with reading(db_file) as session:
        parts = list(_parts(session, run))
    out = console()
    for part in parts:
        show_part(out, part)


def _document(session: Session, selector: str | None) -> dict[str, Any]:
    from umlaut_async.analysis.bottleneck import bottleneck
    from umlaut_async.analysis.selectors import select_one
    from umlaut_async.store import origins, queries
    from umlaut_async.store.endings import command_ends

    run = select_one(session, "last" if selector is None else selector)
    return {
        "run": {**run_fields(run), "environment": run.environment, "collector": run.collector},
        **view_fields(bottleneck(session, run), origins.memory_peaks(session, run.uuid)),
        "trackers": [dataclasses.asdict(tracked) | _OF_THE_USER for tracked in queries.trackers(session, run.uuid)],
        "commands": [end._asdict() for end in command_ends(session, run.uuid)],
        "events": [dataclasses.asdict(event) for event in queries.events(session, run.uuid)],
    }


def _parts(session: Session, selector: str | None) -> Iterator[RenderableType]:
    from umlaut_async.analysis.bottleneck import bottleneck
    from umlaut_async.analysis.selectors import select_one
    from umlaut_async.store import origins, queries
    from umlaut_async.store.endings import command_ends

    run = select_one(session, "last" if selector is None else selector)
    yield from _heading(run)
    for end in command_ends(session, run.uuid):
        yield safe(end.sentence(), longest=1000)
    events = queries.events(session, run.uuid)
    for event in events:
        if event.kind == _LOST:
            yield f"Lost: {safe(event.message, longest=1000)}."
    view = bottleneck(session, run)
    if view.table.stages:
        yield from view_parts(view, origins.memory_peaks(session, run.uuid))
    if trackers := queries.trackers(session, run.uuid):
        yield from ("", _tracker_table(trackers))
    if missing := [event for event in events if _is_missing(event)]:
        yield from ("", _missing_table(missing))
    if others := [event for event in events if event.kind != _LOST and not _is_missing(event)]:
        yield from ("", _event_table(others))


def _heading(run: RunInfo) -> Iterator[RenderableType]:
    from rich.text import Text

    from umlaut_async.cli.tables import status_text

    time = duration(wall_time(run))
    yield Text.assemble(
        (safe(run.name), "bold"),
        f" {safe(run.uuid[:SHORT_UUID])} · ",
        status_text(run.status),
        f" · {moment(run.started)}",
        "" if time == MISSING else f" · {time}",
    )
    described = " · ".join(filter(None, (safe(run.description), tag_list(run.tags))))
    if described:
        yield described


def _tracker_table(trackers: Sequence[Tracked]) -> RenderableType:
    from umlaut_async.analysis.tracked import tracked_text
    from umlaut_async.cli.tables import table

    method = any(tracked.method for tracked in trackers)
    made = table(["tracked", "type", "value", *(["method"] if method else [])])
    for tracked in trackers:
        cells = [safe(tracked.description), safe(tracked.type), tracked_text(tracked)]
        made.add_row(*cells, *([safe(tracked.method)] if method else []))
    return made


def _is_missing(event: EventGroup) -> bool:
    """Return whether an event says what a metric lacks on the machine of the run."""
    return event.kind == "unavailable" and isinstance(event.data, dict) and event.data.keys() >= _OF_MISSING


def _missing_table(events: Sequence[EventGroup]) -> RenderableType:
    from umlaut_async.cli.tables import table

    made = table(("not recorded", "type", "why not", "to record it"))
    for event in events:
        made.add_row(*(safe(event.data[name], longest=500) for name in ("description", "type", "reason", "cure")))
    return made


def _event_table(events: Sequence[EventGroup]) -> RenderableType:
    from umlaut_async.cli.tables import table

    made = table(["first seen", "count", "event", "what happened"], right=_NUMBERS)
    for event in events:
        message = event_text(event.message, event.data)
        made.add_row(moment(event.first), f"{event.count:,}", safe(event.kind), safe(message, longest=1000))
    return made
