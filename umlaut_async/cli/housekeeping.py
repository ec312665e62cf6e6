"""`umlaut tag`, `umlaut baseline`, `umlaut rm` and `umlaut vacuum`: what changes a database that was recorded."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from umlaut_async.cli.parameters import DB, RUNS, AgeParam
from umlaut_async.cli.progress import waiting
from umlaut_async.cli.runs import SHORT_UUID
from umlaut_async.store.reading import reading
from umlaut_async.text import duration, moment, safe, tag_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.store.queries import RunInfo


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS)
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option("-r", "--remove", multiple=True, metavar="TAG", help="Take this tag away; may be given several times.")
def tag(db: str, run: str, tags: Sequence[str], remove: Sequence[str]) -> None:
    """Add each TAG to the runs RUN of the database DB, and print the tags that they have then."""
    from umlaut_async.analysis.selectors import BASELINE, select
    from umlaut_async.store.housekeeping import change_tags

    if any(each.startswith(BASELINE) for each in tags):
        raise click.UsageError(f"Tags that begin with {BASELINE!r} name baselines; use `umlaut baseline`.")
    with reading(db) as session:
        found = select(session, run)
    changed = asyncio.run(change_tags(db, [each.uuid for each in found], add=tags, remove=remove))
    for each in found:
        click.echo(f"{safe(each.uuid[:SHORT_UUID])} {tag_list(changed.get(each.uuid, ())) or 'no tags'}")


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS)
@click.option("-n", "--name", default="baseline", show_default=True, help="What it is called: @NAME selects its runs.")
@click.option("--add", is_flag=True, help="Leave the runs that are the baseline already in it.")
def baseline(db: str, run: str, name: str, add: bool) -> None:
    """Make the runs RUN of the database DB the baseline that `umlaut compare DB @baseline NEW` compares with.

    Several runs, such as all of a tag, make a better baseline than one, since they show the noise from run to run.
    """
    from umlaut_async.analysis.selectors import baseline_tag, select
    from umlaut_async.store.housekeeping import change_tags

    name = name.removeprefix("@").strip()
    if not name or "," in name or "~" in name:
        raise click.UsageError("The name of a baseline has at least one letter, and neither a comma nor ~.")
    with reading(db) as session:
        found = select(session, run)
    asyncio.run(change_tags(db, [each.uuid for each in found], add=[baseline_tag(name)], alone=not add))
    for each in found:
        click.echo(f"{safe(each.uuid[:SHORT_UUID])} {safe(each.name)} @{safe(name)}")
    if unfit := sum(each.status != "ok" for each in found):
        said = "it" if len(found) == 1 else "one of them" if unfit == 1 else f"{unfit} of them"
        click.echo(f"umlaut: {said} did not end well, and will be left out of comparisons", err=True)


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS, required=False)
@click.option("--older-than", type=AgeParam(), help="Only runs that began before: 30d, 12h, or a date as 2026-11-24.")
@click.option("--status", type=click.Choice(["ok", "error", "lost", "running"]), help="Only runs that ended so.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def rm(context: click.Context, db: str, run: str | None, older_than: int | None, status: str | None, yes: bool) -> None:
    """Remove the runs RUN from the database DB, with all that was measured in them; asks before it does.

    `umlaut vacuum` makes the file smaller afterwards.
    """
    from umlaut_async.analysis.filters import RunFilter
    from umlaut_async.analysis.selectors import select
    from umlaut_async.store import queries
    from umlaut_async.store.housekeeping import remove_runs

    if run is None and older_than is None and status is None:
        raise click.UsageError("Missing argument 'RUN'; or say which with --older-than or --status.")
    with reading(db) as session:
        found = queries.runs(session, details=False) if run is None else select(session, run)
    found = RunFilter(status=status, before=older_than).apply(found)
    if not found:
        click.echo("umlaut: no run is like that; nothing was removed", err=True)
        return
    if not (yes or _confirmed(found)):
        raise click.ClickException("nothing was removed")
    with waiting(f"removing {_counted(found)}"):
        asyncio.run(remove_runs(db, [each.uuid for each in found]))
    for each in found:
        click.echo(f"removed {safe(each.uuid[:SHORT_UUID])} {safe(each.name)}")


@click.command()
@click.argument("db", type=DB)
def vacuum(db: str) -> None:
    """Make the file of the database DB as small as what is in it."""
    from umlaut_async.store.housekeeping import vacuum

    with waiting("writing the database anew"):
        before, after = asyncio.run(vacuum(db))
    click.echo(f"{safe(db)}: {before:,} bytes before, {after:,} bytes after")


def _confirmed(found: Sequence[RunInfo]) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(f"Removing {_counted(found)} needs --yes where nobody can be asked.")
    for run in found:
        took = "" if run.ended is None else f" · {duration((run.ended - run.started) / 1e9)}"
        shown = f"{safe(run.uuid[:SHORT_UUID])} {safe(run.name)} · {safe(run.status)} · {moment(run.started)}{took}"
        click.echo(shown, err=True)
    return click.confirm(f"Remove {_counted(found)} for good?", err=True)


def _counted(found: Sequence[RunInfo]) -> str:
    return "one run" if len(found) == 1 else f"{len(found):,} runs"
