"""`umlaut runs`: one line for each run of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from umlaut_async.cli.database import as_json, reading
from umlaut_async.cli.parameters import DB, RUNS, AgeParam
from umlaut_async.cli.text import duration, moment, safe, tag_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from umlaut_async.store.queries import RunInfo

SHORT_UUID = 8


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS, required=False)
@click.option("--tag", help="Only runs with this tag.")
@click.option("--name", help="Only runs of this name; * stands for any letters.")
@click.option("--status", type=click.Choice(["running", "ok", "error", "lost"]), help="Only runs that ended so.")
@click.option("--newer-than", type=AgeParam(), help="Only runs that began since: 12h, 7d, or a date as 2026-11-24.")
@click.option("--older-than", type=AgeParam(), help="Only runs that began before.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the newest.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON; times are integer nanoseconds since the epoch.")
def runs(
    db: str,
    run: str | None,
    tag: str | None,
    name: str | None,
    status: str | None,
    newer_than: int | None,
    older_than: int | None,
    limit: int | None,
    as_data: bool,
) -> None:
    """List the runs in the database DB, the newest first; with RUN those that it means, in its order.

    RUN is last, last~2, the beginning of a uuid, a name, tag:x, @baseline, or several of these with commas.
    """
    from umlaut_async.analysis.filters import RunFilter
    from umlaut_async.analysis.selectors import select
    from umlaut_async.store import queries

    wanted = RunFilter(tag, name, status, newer_than, older_than, limit)
    with reading(db) as session:
        known = queries.runs(session, details=False) if run is None else select(session, run)
        found = wanted.apply(known)
        if as_data:
            click.echo(as_json({"runs": [run_fields(run) for run in found]}))
        elif found:
            from umlaut_async.cli.tables import console, show_part

            show_part(console(), _table(found))
        else:
            click.echo("No run is like that." if known else "There are no runs yet.")


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
            tag_list(run.tags),
        )
    return made
