"""Changes to runs that are over: their tags, their removal, and the space that they took."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from umlaut_async.errors import ArgumentError, StoreBusyError, StoreError
from umlaut_async.store import lost
from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.failures import translate
from umlaut_async.store.location import look, resolve
from umlaut_async.store.models import Chunk, Event, Process, Result, Run, Sample, Series, Span
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from umlaut_async.store.location import Location

__all__ = ["change_tags", "remove_runs", "vacuum"]

# Databases take only so many parameters of one statement.
_AT_ONCE = 500


async def change_tags(
    db_file: str | os.PathLike[str],
    uuids: Collection[str],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    alone: bool = False,
) -> dict[str, list[str]]:
    """Add tags to runs and remove others; return the tags that they have then, by uuid.

    Args:
        db_file: The database.
        uuids: The runs.
        add: What they all get.
        remove: What they all lose, if they have it.
        alone: Whether no other run keeps what is added.

    Raises:
        ArgumentError: A tag is empty.
        StoreError: The database cannot be written; the leaf says why.
    """
    add, remove = [storable(tag) for tag in add], [storable(tag) for tag in remove]
    if not all(tag.strip() for tag in add):
        raise ArgumentError("a tag is empty; pass at least one letter")
    changed: dict[str, list[str]] = {}
    async with _writing(db_file) as engine, transaction(engine, durable=True) as session:
        for uuid, before in (await session.execute(select(Run.uuid, Run.tags))).all():
            if uuid in uuids:
                tags = [tag for tag in before or () if tag not in remove]
                tags = changed[uuid] = [*tags, *(tag for tag in dict.fromkeys(add) if tag not in tags)]
            elif alone:
                tags = [tag for tag in before or () if tag not in add]
            else:
                continue
            if tags != before:
                await session.execute(update(Run).where(Run.uuid == uuid).values(tags=tags))
    return changed


async def remove_runs(db_file: str | os.PathLike[str], uuids: Sequence[str]) -> None:
    """Remove runs with all that was measured in them.

    Raises:
        StoreBusyError: One of them is still written, or the database is.
        StoreError: The database cannot be written; the leaf says why.
    """
    async with _writing(db_file) as engine, transaction(engine, durable=True) as session:
        for start in range(0, len(uuids), _AT_ONCE):
            await _remove(session, uuids[start : start + _AT_ONCE])


async def vacuum(db_file: str | os.PathLike[str]) -> tuple[int, int]:
    """Give the space that removed runs took back to the file system; return the size in bytes before and after.

    Raises:
        StoreBusyError: The database is written, or read, by others.
        StoreError: The database cannot be written; the leaf says why.
    """
    location = _looked(db_file)
    if location.path is None:
        raise StoreError("a database server gives space back by itself; `umlaut vacuum` is for SQLite files")
    async with _writing(db_file) as engine:
        before = _size(location.path)
        with translate(location.name):
            async with engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                # Without the log, where nobody else is there: in it the whole database would be written once more.
                await driver.exclusively("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
    return before, _size(location.path)


@asynccontextmanager
async def _writing(db_file: str | os.PathLike[str]) -> AsyncIterator[AsyncEngine]:
    engine = await open_store(_looked(db_file))
    try:
        yield engine
    finally:
        await engine.dispose()


def _looked(db_file: str | os.PathLike[str]) -> Location:
    location = resolve(db_file)
    # The first look refuses what is not there, the second one what may not be written.
    look(location, "r")
    look(location, "a")
    return location


async def _remove(session: AsyncSession, uuids: Sequence[str]) -> None:
    await _refuse_running(session, uuids)
    processes = select(Process.id).where(Process.run_uuid.in_(uuids))
    series = select(Series.id).where(Series.process_id.in_(processes))
    await session.execute(delete(Sample).where(Sample.series_id.in_(series)))
    await session.execute(delete(Chunk).where(Chunk.series_id.in_(series)))
    for model in (Series, Result, Event, Span):
        await session.execute(delete(model).where(model.process_id.in_(processes)))
    await session.execute(delete(Process).where(Process.run_uuid.in_(uuids)))
    await session.execute(delete(Run).where(Run.uuid.in_(uuids)))


async def _refuse_running(session: AsyncSession, uuids: Sequence[str]) -> None:
    gone = (await session.run_sync(lost.find, uuids)).processes
    query = (
        select(Process.id, Run.uuid, Process.host, Process.pid)
        .join(Run, Process.run_uuid == Run.uuid)
        .where(Run.uuid.in_(uuids), Run.status == "running", Process.ended.is_(None))
        .order_by(Process.id)
    )
    for process_id, uuid, host, pid in await session.execute(query):
        if process_id not in gone:
            where = "" if host == socket.gethostname() else f" on {host}"
            raise StoreBusyError(f"process {pid}{where} is still writing run {uuid[:8]}; end it first")


def _size(path: str) -> int:
    return sum(os.stat(name).st_size for name in (path, f"{path}-wal") if os.path.exists(name))
