"""Begin a run in a database. Importing this imports SQLAlchemy, so the collector does it while records wait."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil

from umlaut_async.clock import now
from umlaut_async.collector.beginning import open_writer
from umlaut_async.collector.intake import Intake
from umlaut_async.collector.launchers import rank, shared_run
from umlaut_async.collector.reckoning import reckon
from umlaut_async.collector.room import with_room
from umlaut_async.collector.rows import Rows
from umlaut_async.records import EventRecord
from umlaut_async.store.programs import mark

__all__ = ["join_run", "open_run", "reckon", "take_over"]

if TYPE_CHECKING:
    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.sampler import Sampler
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.collector.writer import Writer


async def open_run(
    settings: RunSettings,
    pid: int,
    link: Link,
    sampler: Sampler,
    ledger: Ledger,
    events: list[EventRecord],
) -> tuple[Writer, Intake]:
    """Open the database, begin the run in it, and return what takes and stores its records.

    Args:
        settings: What the run is.
        pid: The process that began it.
        link: Where the records come from.
        sampler: What answers edge requests.
        ledger: Where records are counted.
        events: Where events are left that come up in the collector itself.

    Raises:
        StoreError: The database cannot be opened or written.
    """

    def refused(count: int, error: Exception) -> None:
        message = f"the database refused {count} record(s): {error}"
        events.append(EventRecord(now(), "drop", message, {"reason": "refused", "count": count}))

    writer, process_id = await open_writer(
        settings.location,
        replacing=settings.replacing,
        resumes=settings.resumes,
        run={
            "uuid": settings.uuid,
            "description": settings.description,
            "name": settings.name,
            "tags": list(settings.tags),
            "started": settings.epoch + settings.started,
            "ended": None,
            "status": "running",
            "environment": {},
            "collector": {"mode": settings.collector, **_program(pid, settings)},
        },
        process=_process(pid, settings.epoch + settings.started),
        epoch=settings.epoch,
        ledger=ledger,
        refused=refused,
        shared=settings.uuid == shared_run(os.environ),
    )
    rows = Rows(process_id, None, link.sources, sampler.faults, events.append, settings.epoch, sampler.began)
    return writer, Intake(pid, link, sampler, rows, writer, ledger, events, is_worker=settings.is_worker)


async def join_run(
    writer: Writer,
    pid: int,
    parent: int | None,
    link: Link,
    sampler: Sampler,
    ledger: Ledger,
    events: list[EventRecord],
    above: int | None,
) -> Intake:
    """Let another process take part in a run, and return what takes its records.

    Args:
        writer: What writes the run.
        pid: The process.
        parent: The key of the process in whose calls its own may lie.
        link: Where its records come from.
        sampler: What answers edge requests.
        ledger: Where its records are counted.
        events: Where its events are left.
        above: The key of the call that all of its own lie in.

    Raises:
        StoreError: The database cannot be written.
    """
    process = await with_room(lambda: _process(pid, writer.epoch + now()))
    process_id = await writer.join(process, ledger)
    rows = Rows(process_id, parent, link.sources, sampler.faults, events.append, writer.epoch, sampler.began, above)
    return Intake(pid, link, sampler, rows, writer, ledger, events, is_worker=True)


def take_over(
    writer: Writer, first: Intake, link: Link, sampler: Sampler, ledger: Ledger, events: list[EventRecord]
) -> Intake:
    """Return what takes the records of the process in whose name a run was begun, now that it has joined.

    Args:
        writer: What writes the run.
        first: What stood for it so far.
        link: Where its records come from.
        sampler: What answers edge requests.
        ledger: Where its records are counted.
        events: Where its events are left.
    """
    writer.admit(first.process_id, ledger)
    rows = Rows(first.process_id, None, link.sources, sampler.faults, events.append, writer.epoch, sampler.began)
    return Intake(first.pid, link, sampler, rows, writer, ledger, events)


def _program(pid: int, settings: RunSettings) -> dict[str, Any]:
    """Return by what readers see that the process which records has become another program, and records no more."""
    # A collector in a process of its own sees that itself.
    if settings.collector == "process" or (word := mark(pid, settings.uuid)) is None:
        return {}
    return {"program": {"host": socket.gethostname(), "pid": pid, "mark": word}}


def _process(pid: int, started: int) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "pid_started": _started(pid),
        "rank": rank(os.environ),
        "started": started,
        "last_seen": time.time_ns(),
        "ended": None,
        "ending": None,
    }


def _started(pid: int) -> int | None:
    """Return when a process was started, in nanoseconds since the epoch; None where it has gone."""
    try:
        return round(psutil.Process(pid).create_time() * 1e9)
    except psutil.NoSuchProcess:
        return None
