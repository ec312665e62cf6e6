"""What a command used, as a table on standard error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from umlaut_async.cli.database import reading
from umlaut_async.cli.text import MISSING, duration, quantity, safe
from umlaut_async.store.models import Process, Result, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["print_summary"]

_KIND = "command"


def print_summary(db_file: str, run_uuid: str, status: int) -> None:
    """Print what the command used that this process has measured.

    Args:
        db_file: The database.
        run_uuid: The run.
        status: How the command ended, as of `waitpid`.
    """
    from rich.console import Console

    from umlaut_async.cli.tables import status_text, table

    query = (
        select(Span.name, Result.description, Result.value, Result.unit, Result.provenance, Result.data)
        .join(Result, Result.span == Span.id)
        .join(Process, Process.id == Span.process_id)
        .where(Process.run_uuid == run_uuid, Process.pid == os.getpid(), Span.kind == _KIND)
        .order_by(Result.id)
    )
    with reading(db_file) as session:
        found = session.execute(query).all()
    made = table(("metric", "value", "more"), right=frozenset({"value"}))
    for _, description, value, unit, provenance, data in found:
        shown = MISSING if value is None else quantity(value, unit)
        more = [_more(data or {})] if value is not None else []
        made.add_row(
            safe(description), shown, " · ".join(filter(None, [*more, "" if provenance == "measured" else provenance]))
        )
    out = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if found:
        out.print(safe(found[0].name))
    out.print(made)
    code = os.waitstatus_to_exitcode(status)
    out.print(status_text("error" if code else "ok", f"exit code {code}" if code >= 0 else f"killed by signal {-code}"))


def _more(data: Mapping[str, Any]) -> str:
    """Return what is kept beside the value that a person wants to see."""
    if "seconds" in data:
        return (
            f"{duration(data['seconds'])} of CPU time: {duration(data['user'])} user, {duration(data['system'])} system"
        )
    if "written" in data:
        return f"{data['read']:,} bytes read, {data['written']:,} written"
    if data.get("n", 0) > 1:
        return f"mean {quantity(data['mean'], '')}, {data['n']:,} readings"
    return ""
