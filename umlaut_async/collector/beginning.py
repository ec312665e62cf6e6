"""Begin a run in a database, or take part in one that the processes of a job share."""

from __future__ import annotations

import contextlib
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from umlaut_async.collector.membership import add_process, find_process
from umlaut_async.collector.threads import in_thread
from umlaut_async.collector.writer import Writer
from umlaut_async.errors import StoreError
from umlaut_async.store.deaths import write_lost
from umlaut_async.store.engine import journal_mode, open_store, run_transaction, transaction
from umlaut_async.store.lockfile import LockFile
from umlaut_async.store.models import Run
from umlaut_async.store.patience import one_patience
from umlaut_async.store.replacing import replace

_logger = logging.getLogger("umlaut_async")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from umlaut_async.collector.account import Ledger
    from umlaut_async.store.location import Location
    from umlaut_async.store.replacing import Replacing

_TURN_SECONDS = 30.0


async def open_writer(
    location: Location,
    *,
    replacing: Replacing | None,
    run: dict[str, Any],
    process: dict[str, Any],
    ledger: Ledger,
    refused: Callable[[int, Exception], None],
    epoch: int = 0,
    shared: bool = False,
    resumes: bool = False,
) -> tuple[Writer, int]:
    """Open the database and begin a run in it; return what writes it, and the key of its first process.

    Args:
        location: The database.
        replacing: Who replaces a file that is there, if it is to be replaced.
        run: The columns of the run.
        process: The columns of its first process, without the key.
        ledger: Where stored and dropped records of this process are counted.
        refused: Told how often and why the database refused a record for good.
        epoch: When the clock of `now()` stood at 0, in nanoseconds since the epoch.
        shared: Whether others may have begun the run, or take part in it.
        resumes: Whether a collector of this process that has died may have begun it, without a record of it.

    Raises:
        StoreError: The database cannot be opened or written.
    """

    async def begin(session: AsyncSession) -> tuple[bool, int]:
        began = await _began(session, run)
        ours = await find_process(session, run["uuid"], process["pid"]) if resumes and not began else None
        if ours is not None:
            await session.execute(update(Run).where(Run.uuid == run["uuid"]).values(collector=run["collector"]))
            return True, ours
        if not began and not shared:
            raise StoreError(f"run {run['uuid']} is in {location.name} already; leave out run_uuid for a new one")
        if not began:
            # It may have ended, where one process ends before the next begins.
            await session.execute(update(Run).where(Run.uuid == run["uuid"]).values(status="running", ended=None))
        return began, await add_process(session, run["uuid"], process)

    async with _turn(location, replacing is not None):
        if replacing is not None:
            replace(location, run["uuid"] if shared else None, replacing)
        engine = await open_store(location)
        try:
            journal = await journal_mode(engine)
            run = {**run, "collector": {**run["collector"], "journal": journal}}
            with one_patience():
                began, process_id = await run_transaction(engine, begin, durable=True)
                await _bury(engine)
        except BaseException:
            await engine.dispose()
            raise
    writer = Writer(engine, journal, run["uuid"], refused, epoch=epoch, shared=shared, describes=began)
    writer.admit(process_id, ledger)
    return writer, process_id


@contextlib.asynccontextmanager
async def _turn(location: Location, replacing: bool) -> AsyncIterator[None]:
    """Let those that replace a file do so one after the other, each until its run can be seen by the next."""
    if not replacing or location.path is None:
        yield
        return
    lock = LockFile(f"{location.path}-begin")
    try:
        await in_thread(lambda: lock.acquire(_TURN_SECONDS))
        yield
    finally:
        if lock.held:
            lock.remove()
        lock.close()


async def _bury(engine: AsyncEngine) -> None:
    """Write what other runs left unended whose processes have died; a run begins whether this can be done or not."""
    try:
        async with transaction(engine) as session:
            await session.run_sync(write_lost)
    except Exception:
        _logger.warning("how other runs ended could not be written", exc_info=True)


async def _began(session: AsyncSession, run: dict[str, Any]) -> bool:
    """Add a run, and return whether it was not there."""
    # What two may do at once, in words that SQLAlchemy has for each database only.
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    added = await session.scalars(dialect.insert(Run).values(**run).on_conflict_do_nothing().returning(Run.uuid))
    return added.one_or_none() is not None
