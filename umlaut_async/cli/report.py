"""`umlaut report`: runs as one page that can be read anywhere."""

from __future__ import annotations

import click

from umlaut_async.cli.database import reading
from umlaut_async.cli.output import check_output, opened
from umlaut_async.cli.parameters import DB, RUNS
from umlaut_async.cli.progress import waiting


@click.command()
@click.argument("db", type=DB)
@click.argument("runs", type=RUNS, nargs=-1)
@click.option("-o", "--output", required=True, metavar="OUT", help="The file to write; - is standard output.")
def report(db: str, runs: tuple[str, ...], output: str) -> None:
    """Write a report of runs in the database DB: one file, which needs no network and no JavaScript.

    RUNS are beginnings of uuids, names, last~2, tag:x or @baseline; without any the newest run is reported.
    """
    from umlaut_async.analysis.figures.report import report_page
    from umlaut_async.analysis.selectors import select

    check_output(output, db)
    with reading(db) as session, waiting("making the report"):
        chosen = {run.uuid: run for selector in runs or ("last",) for run in select(session, selector)}
        page = report_page(session, list(chosen.values()))
    with opened(output) as target:
        target.write(page)
