"""The reckoning at the end of a run: which of the records are in the database, once it is closed."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from umlaut_async.collector.threads import in_thread
from umlaut_async.errors import StoreNotFoundError
from umlaut_async.store.models import Result, Span
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from umlaut_async.collector.balance import Watched
    from umlaut_async.collector.rows import Unit
    from umlaut_async.collector.writer import Writer
    from umlaut_async.errors import StoreError

_logger = logging.getLogger("umlaut_async")

_KEYS = 10_000
"""How many one query asks for, at most."""


async def reckon(writer: Writer, watched: Watched, failure: StoreError | None) -> StoreError | None:
    """Count what a run has lost at its end; return why that is.

    Args:
        writer: What has written the run, and is closed.
        watched: The accounts of the run.
        failure: Why the end of the run could not be stored, if so.
    """
    try:
        await in_thread(writer.check_file)
    except StoreNotFoundError as error:
        failure = error
    if failure is None:
        return None
    certain = isinstance(failure, StoreNotFoundError) or await _found(writer)
    if lost := watched.lose(failure, ended=True):
        few = "" if certain else "up to "
        _logger.error("%s%d records were lost at the end of the run: %s", few, lost, failure)
    else:
        _logger.error("the end of the run could not be stored: %s", failure)
    return failure


async def _found(writer: Writer) -> bool:
    """Count as stored what is in the database after all; return whether that could be found out.

    A commit that fails at its last step, when the log is synced, has been refused, and yet is whole in the log. Where
    nothing could be written over it, whoever opens the database next finds it there. So this looks as they do.
    """
    path, waiting = writer.path, writer.units.first(len(writer.units))
    if path is None:
        return writer.doubt is None
    try:
        writer.count(await in_thread(lambda: _present(path, waiting)))
    except Exception as error:
        _logger.warning("which records are in %s could not be found out: %s", path, error)
        return False
    return True


def _present(path: str, units: Sequence[Unit]) -> list[Unit]:
    """Return those of the records whose rows are in a file."""
    calls = {unit[0][0]: unit for unit in units if unit[0] is not None}
    # That of a value has no span, and one result.
    values = {unit[-1][0]: unit for unit in units if unit[0] is None and unit[-1] is not None}
    with reading(path) as session:
        spans = _among(session, select(Span.id).where(Span.status != "running"), Span.id, calls)
        results = _among(session, select(Result.id), Result.id, values)
    return [*(calls[key] for key in spans), *(values[key] for key in results)]


def _among(session: Session, query: Select[Any], column: InstrumentedAttribute[int], keys: Iterable[int]) -> list[int]:
    """Return those of the keys that a query finds."""
    left, found = iter(keys), list[int]()
    while some := list(islice(left, _KEYS)):
        found += session.scalars(query.where(column.in_(some)))
    return found
