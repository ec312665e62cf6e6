"""What was never ended: the runs, processes and calls that are "running" in the database, though nobody runs them.

Whoever reads derives that, and writes nothing. A run whose process is gone is lost from the last moment at which it was
seen.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, select

from umlaut_async.records import LOST
from umlaut_async.store.location import is_alive
from umlaut_async.store.models import Process, Run, Span
from umlaut_async.store.programs import mark

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

__all__ = ["Lost", "duration", "find", "status"]

_RUNNING = "running"

_STALE = 30 * 1_000_000_000
"""The age in nanoseconds from which on a heartbeat counts for nothing: there is one each second."""


class Lost(NamedTuple):
    """What is lost."""

    runs: dict[str, int]
    """When it was seen last, in nanoseconds since the epoch, by the uuid."""
    processes: dict[int, int]
    """The same by the key."""


_NOTHING = Lost({}, {})


def find(session: Session, uuids: Collection[str] | None = None) -> Lost:
    """Return what is lost, among all runs or some of them.

    Args:
        session: Where to ask.
        uuids: The runs, of which there must not be too many for one statement.
    """
    query = (
        select(Process.run_uuid, Process.id, Process.host, Process.pid, Process.pid_started, Process.last_seen)
        .add_columns(Run.collector)
        .join(Run, Run.uuid == Process.run_uuid)
        .where(Run.status == _RUNNING, Process.ended.is_(None))
    )
    if uuids is not None:
        query = query.where(Run.uuid.in_(uuids))
    by_run: dict[str, list[tuple[int, bool, int]]] = {}
    for run_uuid, process_id, host, pid, pid_started, last_seen, collector in session.execute(query):
        gone = _is_gone(host, pid, pid_started, last_seen) or _is_another(host, pid, run_uuid, collector)
        by_run.setdefault(run_uuid, []).append((process_id, gone, last_seen))
    if not by_run:
        return _NOTHING
    lost = Lost({}, {})
    for run_uuid, members in by_run.items():
        whole = all(gone for _, gone, _ in members)
        # Of a worker that has ended its collector may be about to write the end; it keeps the heartbeat until then.
        lost.processes.update((key, seen) for key, gone, seen in members if gone and (whole or _is_stale(seen)))
        if whole:
            lost.runs[run_uuid] = max(seen for _, _, seen in members)
    return lost


def _is_gone(host: str, pid: int, pid_started: int | None, last_seen: int) -> bool:
    return not is_alive(pid, pid_started) if host == socket.gethostname() else _is_stale(last_seen)


def _is_another(host: str, pid: int, run_uuid: str, collector: Any) -> bool:
    """Return whether a process of this machine has become another program since the run began."""
    program = collector.get("program") if isinstance(collector, dict) else None
    if not isinstance(program, dict) or (host, pid) != (program.get("host"), program.get("pid")):
        return False
    word = mark(pid, run_uuid) if host == socket.gethostname() else None
    return word is not None and word != program.get("mark")


def _is_stale(last_seen: int) -> bool:
    return last_seen < time.time_ns() - _STALE


def status(lost: Lost) -> ColumnElement[str] | Any:
    """Return the status of calls as a column: lost, where they run in the database only."""
    return case((_is_lost(lost), LOST), else_=Span.status) if lost.processes else Span.status


def duration(lost: Lost) -> ColumnElement[int | None] | Any:
    """Return the duration of calls as a column: where they are lost, up to the last moment at which they were seen."""
    if not lost.processes:
        return Span.duration
    seen = select(Process.last_seen).where(Process.id == Span.process_id).scalar_subquery()
    lasted = case((seen > Span.started, seen - Span.started), else_=0)
    return case((_is_lost(lost), lasted), else_=Span.duration)


def _is_lost(lost: Lost) -> ColumnElement[bool]:
    return and_(Span.status == _RUNNING, Span.process_id.in_(lost.processes))
