"""`umlaut runs`: one line for each run of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from umlaut_async.cli.database import as_json, reading
from umlaut_async.cli.text import duration, moment, safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from umlaut_async.store.queries import RunInfo

SHORT_UUID = 8


@click.command()
@click.argument("db")
@click.option("--json", "as_data", is_flag=True, help="Print JSON; times are integer nanoseconds since the epoch.")
def runs(db: str, as_data: bool) -> None:
    """List the runs in the database DB, the newest first."""
    from umlaut_async.store import queries

    with reading(db) as session:
        found = queries.runs(session)
        if as_data:
            click.echo(as_json({"runs": [run_fields(run) for run in found]}))
        elif found:
            from umlaut_async.cli.tables import console

            console().print(_table(found))
        else:
            click.echo("There are no runs yet.")


def run_fields(run: RunInfo) -> dict[str, Any]:
    """Return what JSON says of every run."""
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "tags": run.tags,
        "started": run.started,
        "ended": run.ended,
        "status": run.status,
    }


def wall_time(run: RunInfo) -> float | None:
    """Return how many seconds a run took, if it has ended."""
    return None if run.ended is None else (run.ended - run.started) / 1e9


def tag_list(run: RunInfo) -> str:
    """Return the tags of a run as text."""
    return ", ".join(safe(tag) for tag in run.tags or ())


def _table(found: Iterable[RunInfo]) -> Table:
    from umlaut_async.cli.tables import status_text, table

    made = table(("run", "name", "description", "started", "time", "status", "tags"), right=frozenset({"time"}))
    for run in found:
        made.add_row(
            safe(run.uuid[:SHORT_UUID]),
            safe(run.name),
            safe(run.description),
            moment(run.started),
            duration(wall_time(run)),
            status_text(run.status),
            tag_list(run),
        )
    return made
