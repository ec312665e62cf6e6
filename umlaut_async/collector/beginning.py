"""Begin a run in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.collector.writer import Writer, add_process
from umlaut_async.errors import StoreError
from umlaut_async.store.engine import journal_mode, open_store, transaction
from umlaut_async.store.location import replace
from umlaut_async.store.models import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.store.location import Location


async def open_writer(
    location: Location,
    *,
    replacing: bool,
    run: dict[str, Any],
    process: dict[str, Any],
    ledger: Ledger,
    refused: Callable[[int, Exception], None],
) -> tuple[Writer, int]:
    """Open the database and begin a run in it; return what writes it, and the key of its first process.

    Args:
        location: The database.
        replacing: Whether a file that is there is replaced.
        run: The columns of the run.
        process: The columns of its first process, without the key.
        ledger: Where stored and dropped records of this process are counted.
        refused: Told how often and why the database refused a record for good.

    Raises:
        StoreError: The database cannot be opened or written.
    """
    if replacing:
        replace(location)
    engine = await open_store(location)
    try:
        journal = await journal_mode(engine)
        run = {**run, "collector": {**run["collector"], "journal": journal}}
        async with transaction(engine, durable=True) as session:
            if await session.get(Run, run["uuid"]) is not None:
                raise StoreError(f"run {run['uuid']} is in {location.given} already; leave out run_uuid for a new one")
            session.add(Run(**run))
            await session.flush()
            process_id = await add_process(session, run["uuid"], process)
    except BaseException:
        await engine.dispose()
        raise
    writer = Writer(engine, journal, run["uuid"], refused)
    writer.admit(process_id, ledger)
    return writer, process_id
