"""`umlaut export`: runs in the formats of other programs."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NamedTuple

import click

from umlaut_async.cli.database import reading
from umlaut_async.cli.old_databases import export_old
from umlaut_async.cli.output import STDOUT, check_output, opened
from umlaut_async.cli.parameters import DB, RUNS
from umlaut_async.cli.progress import counting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo


class _Format(NamedTuple):
    module: str
    suffix: str
    parts: tuple[str, ...] = ()
    """What a folder gets a file for, and what may be chosen."""
    alone: str | None = None
    """The part that is written where one file may hold only one; None where it may hold all."""
    binary: bool = False


_TABLES = ("runs", "processes", "calls", "results", "series", "samples", "events")
_FORMATS = {
    "csv": _Format("comma_separated", "csv", _TABLES),
    "jsonl": _Format("json_lines", "jsonl", _TABLES),
    "parquet": _Format("parquet", "parquet", _TABLES, binary=True),
    "chrome": _Format("chrome", "json"),
    "otlp": _Format("otlp", "jsonl", ("traces", "metrics", "logs"), alone="traces"),
    "prometheus": _Format("prometheus", "prom"),
}
_OLD = "umlaut"


@click.command()
@click.argument("db", type=DB)
@click.argument("run", metavar="[RUN]", type=RUNS, required=False)
@click.option("-f", "--format", "form", type=click.Choice([*_FORMATS, _OLD]), required=True, help="What to write.")
@click.option(
    "-o", "--output", "out", metavar="OUT", help="The file to write, or the folder; - is standard output, the default."
)
@click.option(
    "-t", "--table", metavar="NAME", help="Only this table, such as samples; of otlp traces, metrics or logs."
)
def export(db: str, run: str | None, form: str, out: str | None, table: str | None) -> None:
    """Write runs in the database DB in another format, with every sample and every digit.

    RUN is the beginning of a uuid, a name, last~2, tag:x, @baseline, or several of these with commas; without it all
    runs are written.

    \b
    csv, jsonl, parquet   tables: runs, processes, calls, results, series, samples, events. A folder, or a new name that
                          ends with a slash, gets a file for each; one file holds them all.
    chrome                a trace for Perfetto and chrome://tracing.
    otlp                  OpenTelemetry's JSON lines. A folder gets traces, metrics and logs; one file holds traces.
    prometheus            what the runs come to as text, such as node_exporter collects.
    umlaut                the last form of the databases of UMLAUT itself, as a new file.

    Text in a file whose name ends with .gz is compressed.
    """
    if form == _OLD:
        export_old(db, run, out)
        return
    chosen = _FORMATS[form]
    if table is not None and table not in chosen.parts:
        raise click.UsageError(_no_such_table(form, chosen.parts))
    out = out or STDOUT
    if chosen.binary and out == STDOUT:
        raise click.UsageError(f"{form} is no text; name a file with -o OUT")
    if chosen.parts and (os.path.isdir(out) or out.endswith(os.sep)):
        parts: Sequence[str | None] = chosen.parts if table is None else [table]
        files = {os.path.join(out, f"{part}.{chosen.suffix}"): part for part in parts}
        _make_folder(out)
    else:
        files = {out: table or chosen.alone}
    for file in files:
        check_output(file, db)
    _write(db, run, chosen, files)
    if table is None and chosen.alone is not None and len(files) == 1:
        others = " and ".join(part for part in chosen.parts if part != chosen.alone)
        click.echo(
            f"umlaut: {form} has a file for each kind: this one has no {others}, which -t or a folder gets", err=True
        )


def _write(db: str, run: str | None, form: _Format, files: dict[str, str | None]) -> None:
    from umlaut_async.analysis.exports.source import Source

    write = importlib.import_module(f"umlaut_async.analysis.exports.{form.module}").write
    with reading(db) as session, counting("exporting") as progress:
        source = Source(session, _runs(session, run), progress)
        for file, part in files.items():
            with opened(file, binary=form.binary) as target:
                write(source, target, part)


def _runs(session: Session, selector: str | None) -> list[RunInfo]:
    from umlaut_async.analysis.selectors import select
    from umlaut_async.store import queries

    found = queries.runs(session) if selector is None else select(session, selector)
    return sorted(found, key=lambda run: (run.started, run.uuid))


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"the folder {path} cannot be made: {error.strerror or error}") from error


def _no_such_table(form: str, parts: Sequence[str]) -> str:
    return (
        f"{form} has the tables {', '.join(parts)}; choose one of them" if parts else f"{form} has no tables to choose"
    )
