"""UMLAUT's databases into ours by `umlaut import`, and ours into UMLAUT's for `umlaut export`."""

from __future__ import annotations

import click

from umlaut_async.cli.progress import counting


@click.command("import")
@click.argument("old")
@click.argument("new")
@click.option("--fix-swapped", is_flag=True, help="Exchange latency and throughput, which UMLAUT confused until 2023.")
def import_(old: str, new: str, fix_swapped: bool) -> None:
    """Add all runs of the database OLD, which UMLAUT wrote, to the database NEW.

    OLD may have any of the forms that UMLAUT had; it is only read. NEW is made if it is not there.
    """
    from umlaut_async.legacy.importer import import_database

    with counting("importing") as progress:
        done = import_database(old, new, fix_swapped=fix_swapped, progress=progress)
    click.echo(f"{_counted(done.runs, 'run')} with {_counted(done.measurements, 'measurement')} imported into {new}.")
    if done.unreadable:
        click.echo(f"{_counted(done.unreadable, 'measurement')} could not be read; events in {new} name them.")
    if done.swapped and not fix_swapped:
        swapped = _counted(done.swapped, "number")
        click.echo(f"{swapped} of latency and throughput were stored under each other's names; see --fix-swapped.")


def export_old(db: str, run_or_out: str | None, out: str | None) -> None:
    """Write runs in the last form of UMLAUT's databases.

    Args:
        db: The database.
        run_or_out: The only run to write; where `out` is None, the file to make.
        out: The file to make.

    Raises:
        click.UsageError: Neither says where to write to.
    """
    from umlaut_async.legacy.exporter import export_database

    run, out = (None, run_or_out) if out is None else (run_or_out, out)
    if out is None:
        raise click.UsageError("say where to write to: umlaut export DB --format umlaut OUT")
    uuid = None if run is None else _uuid(db, run)
    with counting("exporting") as progress:
        done = export_database(db, out, run_uuid=uuid, progress=progress)
    click.echo(f"{_counted(done.runs, 'run')} with {_counted(done.measurements, 'measurement')} exported to {out}.")
    left = [_counted(count, name.removesuffix("s")) for name, count in done.left_out.items()]
    left += ["tags", "environments", "provenances"] if done.runs else []
    if left:
        click.echo(f"Without a place in this format: {', '.join(left)}.")


def _uuid(db: str, selector: str) -> str:
    from umlaut_async.analysis.selectors import select_one
    from umlaut_async.store.reading import reading

    with reading(db) as session:
        return select_one(session, selector).uuid


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
