"""What commands take: a database, runs, an age; each with what a shell may complete it to."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from umlaut_async.errors import UmlautError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DB", "RUNS", "AgeParam", "DatabaseParam", "RunsParam", "names_database"]

_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|h|d|w)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MAGIC = b"SQLite format 3\0"
_OFFERED = 50


class DatabaseParam(click.Path):
    """The path of a database, or its URL."""

    name = "db"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take any text: what it names is told when it is opened."""
        return value


class RunsParam(click.ParamType):  # type: ignore[type-arg]  # which takes none at run time before click 8.2
    """Runs, as `analysis.selectors` reads them."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the runs of the database that the command line names before."""
        *before, last = incomplete.split(",")
        offered: dict[str, str] = {}
        try:
            for value, described in _offers(ctx.params.get("db")):
                if value.startswith(last) and len(offered) < _OFFERED:
                    offered.setdefault(",".join([*before, value]), described)
        except UmlautError:
            return []
        return [CompletionItem(value, help=described) for value, described in offered.items()]


class AgeParam(click.ParamType):  # type: ignore[type-arg]
    """A moment: so long ago, or a date; in nanoseconds since the epoch."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the moment."""
        if isinstance(value, int):
            return value
        if age := _AGE.fullmatch(value.strip()):
            return time.time_ns() - int(float(age[1]) * _SECONDS[age[2]] * 1e9)
        try:
            return int(datetime.fromisoformat(value.strip()).timestamp() * 1e9)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither an age as 90s, 15min, 12h, 30d, 2w nor a date as 2026-11-24.", param, ctx)


DB = DatabaseParam()
RUNS = RunsParam()


def names_database(text: str) -> bool:
    """Return whether a text names a database for sure, and not a run: a URL, an SQLite file, a name that ends so."""
    if "://" in text or text.endswith((".db", ".sqlite", ".sqlite3")) or os.path.isdir(text):
        return True
    try:
        with open(text, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False


def _offers(db: str | None) -> Iterator[tuple[str, str]]:
    """Yield what may stand for runs, with a word about each."""
    from umlaut_async.analysis.selectors import BASELINE
    from umlaut_async.store import queries
    from umlaut_async.store.reading import reading
    from umlaut_async.text import moment

    if db is None:
        return
    with reading(db) as session:
        runs = queries.runs(session, details=False)
    if runs:
        yield "last", "the newest run"
    for run in runs:
        for tag in run.tags or ():
            name = f"@{tag.removeprefix(BASELINE)}" if tag.startswith(BASELINE) else f"tag:{tag}"
            yield name, "a baseline" if tag.startswith(BASELINE) else "all runs with this tag"
        yield run.name, "all runs of this name"
        yield run.uuid[:8], f"{run.status}, {moment(run.started)}"
