"""`umlaut doctor`: which metrics are recorded on this machine, and what the others need."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import click

from umlaut_async import __version__
from umlaut_async.cli.database import as_json
from umlaut_async.cli.text import MISSING, duration, quantity, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from umlaut_async.diagnosis import Finding
    from umlaut_async.store.journal import Journal

_STATUS_STYLES = {"works": "ok", "unavailable": "cancelled", "fails": "error"}
_NAMES = {"umlaut_async": "umlaut_async", "python": "Python", "sqlite": "SQLite", "nvidia_driver": "NVIDIA driver"}


@click.command()
@click.option("--json", "as_data", is_flag=True, help="Print JSON; the cost of a reading is in seconds.")
@click.pass_context
def doctor(context: click.Context, as_data: bool) -> None:
    """Say which metrics are recorded on this machine, what the others need, and how databases in this folder are kept.

    The exit code is 1 if something could not be read although nothing is missing; missing hardware, drivers and rights
    are no failure.
    """
    from umlaut_async.diagnosis import diagnose, versions
    from umlaut_async.store.journal import choose

    hanging = set[str]()
    findings = diagnose(hanging=hanging)
    found = {"umlaut_async": __version__} | versions(hanging)
    journal = choose(os.path.join(os.curdir, "any.db"))
    if as_data:
        metrics = [dataclasses.asdict(each) for each in findings]
        click.echo(as_json({"metrics": metrics, "store": journal._asdict(), "versions": found}))
    else:
        from umlaut_async.cli.tables import console

        out = console()
        out.print(_table(findings))
        for line in ("", *_needs(findings), _store(journal), "", _versions(found)):
            out.print(line)
    if any(finding.status == "fails" for finding in findings):
        context.exit(1)


def _table(findings: Sequence[Finding]) -> Table:
    from umlaut_async.cli.tables import status_text, table

    columns = ("metric", "type", "recorded", "source", "provenance", "resolution", "cost per read")
    made = table(columns, right=frozenset({"resolution", "cost per read"}))
    for finding in findings:
        step = finding.resolution
        made.add_row(
            finding.metric,
            finding.type,
            status_text(_STATUS_STYLES[finding.status], "yes" if finding.status == "works" else finding.status),
            finding.source,
            finding.provenance,
            MISSING if step is None else quantity(step.value, step.unit),
            duration(finding.cost),
        )
    return made


def _needs(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each reason why metrics, or parts of them, are not recorded, with what helps."""
    metrics: dict[tuple[str | None, str | None], list[str]] = {}
    for finding in findings:
        if finding.status != "works":
            metrics.setdefault((finding.reason, finding.cure), []).append(finding.metric)
        for lack in finding.lacks:
            without = f"recorded without {lack['part']}: {lack['reason']}"
            metrics.setdefault((without, lack["cure"]), []).append(finding.metric)
    for (reason, cure), names in metrics.items():
        helps = f". To record: {cure}" if cure else ""
        yield safe(f"{', '.join(names)}: {reason}{helps}", longest=1000)
    if metrics:
        yield ""


def _store(journal: Journal) -> str:
    if journal.file_system is not None:
        kept = f"with a rollback journal and every commit synced, since the folder is on {journal.file_system}"
    elif journal.lock:
        kept = (
            "with a write-ahead log. This version of SQLite can lose data where several processes write one database, "
            "so ours take turns by a lock file. SQLite 3.51.3 and later need none"
        )
    else:
        kept = "with a write-ahead log. This version of SQLite needs no lock between processes"
    return safe(f"Databases in this folder are kept {kept}.", longest=1000)


def _versions(found: dict[str, str | None]) -> str:
    named = ((_NAMES.get(name, ""), version or "none") for name, version in found.items())
    return safe(" · ".join(f"{name} {version}".strip() for name, version in named))
