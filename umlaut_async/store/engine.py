"""Engines on a database: the one that writes, and those that only read."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from umlaut_async.errors import StoreConnectionError
from umlaut_async.store import sqlite
from umlaut_async.store.failures import CommitUnknownError, translate
from umlaut_async.store.patience import in_transaction, one_patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import Engine

    from umlaut_async.store.driver import Connection
    from umlaut_async.store.journal import Journal
    from umlaut_async.store.location import Location

__all__ = [
    "journal_mode",
    "open_store",
    "reader_engine",
    "run_transaction",
    "sync_reader",
    "transaction",
    "was_committed",
    "writer_seconds",
]

T = TypeVar("T")


async def open_store(location: Location, journal: Journal | None = None) -> AsyncEngine:
    """Return the engine that writes a database: one connection, its tables present.

    Any number of processes may do this at once on a database that has none yet.

    Args:
        location: The database.
        journal: How SQLite is to keep it whole, by default as its version and the file system demand.

    Raises:
        StoreError: The database cannot be opened, or is not ours; the leaf says why.
    """
    if location.path is None:
        # Here, as SQLAlchemy's part for PostgreSQL takes megabytes, and most runs are in files.
        from umlaut_async.store import postgresql

        return await postgresql.open_server(location)
    engine = sqlite.open_file(location.path, journal)
    try:
        async with transaction(engine) as session:
            connection = await session.connection()
            await connection.run_sync(sqlite.make_tables, location.path)
    except BaseException:
        await engine.dispose()
        raise
    return engine


@contextlib.asynccontextmanager
async def transaction(engine: AsyncEngine, *, durable: bool = False, first: str = "") -> AsyncIterator[AsyncSession]:
    """Run one transaction of the writer: committed at the end, rolled back by any exception.

    Args:
        engine: What `open_store` returned.
        durable: Whether it is on disk when the block is left, with all that was committed before. Only a transaction
            that writes something has this effect.
        first: A statement that it begins with, without parameters: it costs no switch of threads of its own.

    Raises:
        StoreConnectionError: The connection to a server was lost; nothing of this transaction is stored.
        CommitUnknownError: It was lost at the end, and whether anything is stored can only be asked later.
        StoreError: The database refused; nothing of this transaction is stored.
    """
    try:
        if engine.dialect.name != "sqlite":
            from umlaut_async.store import postgresql

            async with postgresql.transaction(engine, first) as session:
                in_transaction.set(True)
                yield session
            return
        with translate(engine.url.database or ""):
            session = AsyncSession(engine, expire_on_commit=False)
            try:
                await session.connection(execution_options={"durable": durable, "first": first})
                in_transaction.set(True)
                yield session
                await session.commit()
            except BaseException:
                # A second cancellation must not leave the transaction open: it would lock out every other writer.
                await asyncio.shield(session.close())
                raise
            await session.close()
    finally:
        in_transaction.set(False)


async def run_transaction(
    engine: AsyncEngine, work: Callable[[AsyncSession], Awaitable[T]], *, durable: bool = False
) -> T:
    """Run a function in a transaction, anew where the connection to a server is lost in it.

    Args:
        engine: What `open_store` returned.
        work: What is done with the session.
        durable: Whether it is on disk at the return.

    Raises:
        StoreError: The database refused, or was not to be reached for too long.
    """
    with one_patience() as patience:
        while True:
            try:
                async with transaction(engine, durable=durable) as session:
                    return await work(session)
            except CommitUnknownError:
                raise
            except StoreConnectionError:
                if not patience.lasts():
                    raise


async def was_committed(engine: AsyncEngine, transaction: str) -> bool:
    """Return what became of a transaction of which this was not known.

    Args:
        engine: What `open_store` returned.
        transaction: What the error named.

    Raises:
        StoreError: It cannot be told yet.
    """
    from umlaut_async.store import postgresql

    return await postgresql.was_committed(engine, transaction)


async def journal_mode(engine: AsyncEngine) -> str | None:
    """Return how SQLite keeps this database whole, "wal" wherever the file system allows it; None for a server."""
    if engine.dialect.name != "sqlite":
        return None
    with translate(engine.url.database or ""):
        async with engine.connect() as connection:
            return str((await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one())


async def writer_seconds(engine: AsyncEngine) -> float:
    """Return the CPU time in seconds of the thread in which SQLite writes; a server has a process of its own."""
    if engine.dialect.name != "sqlite":
        return 0.0
    with translate(engine.url.database or ""):
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            return float(await cast("Connection", raw.driver_connection).thread_seconds())


def reader_engine(location: Location) -> AsyncEngine:
    """Return an engine for the sessions of users: read-only, each statement on the newest committed data."""
    from umlaut_async.store import postgresql

    return postgresql.read_server(location) if location.path is None else sqlite.read_file(location.path)


def sync_reader(location: Location) -> Engine:
    """Return an engine without asyncio, for the command line: read-only, one session sees one state."""
    if location.path is None:
        from umlaut_async.store import postgresql

        return postgresql.read_server_without_asyncio(location)
    return sqlite.read_file_without_asyncio(location.path)
