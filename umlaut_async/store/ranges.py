"""Where the rows of one run are: those of a process lie side by side, so that no other run has to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, false, or_, select

from umlaut_async.store.models import Process, key

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session

__all__ = ["of_process", "of_run"]

# Databases take only so many conditions.
_MOST = 100


def of_run(session: Session, identity: InstrumentedAttribute[int], run_uuid: str) -> ColumnElement[bool]:
    """Return the condition for rows of a run.

    Args:
        session: Where the run is.
        identity: The primary key of the rows, which comes from `key`.
        run_uuid: Which run.
    """
    processes = select(Process.id).where(Process.run_uuid == run_uuid)
    ranges: list[tuple[int, int]] = []
    for process in session.scalars(processes.order_by(Process.id)):
        # The processes of a run often have keys in a row.
        since = ranges.pop()[0] if ranges and ranges[-1][1] == process else process
        ranges.append((since, process + 1))
    if len(ranges) > _MOST:
        owner: InstrumentedAttribute[int] = identity.class_.process_id
        return owner.in_(processes)
    return or_(false(), *(_between(identity, *each) for each in ranges))


def of_process(identity: InstrumentedAttribute[int], process: int) -> ColumnElement[bool]:
    """Return the condition for rows of one process."""
    return _between(identity, process, process + 1)


def _between(identity: InstrumentedAttribute[int], since: int, end: int) -> ColumnElement[bool]:
    return and_(identity >= key(since, 0), identity < key(end, 0))
