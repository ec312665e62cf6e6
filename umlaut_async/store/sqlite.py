"""SQLite: the engine that writes a file, and those that only read it."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from sqlalchemy import URL, NullPool, create_engine, event
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from umlaut_async.store import driver
from umlaut_async.store.journal import Journal, choose
from umlaut_async.store.location import APPLICATION_ID, SCHEMA_VERSION, identify
from umlaut_async.store.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

__all__ = ["make_tables", "open_file", "read_file", "read_file_without_asyncio", "tables_script"]

_BUSY_SECONDS = 30.0
_PAGE_SIZE = 8192
# Whoever wrote the file may be hostile: nothing in its schema may run, and its pages are checked as they are read.
_READER_PRAGMAS = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
_COLUMNS_OF_SERIES = "PRAGMA main.table_info(series)"
_OLD_SERIES = "SELECT id, process_id, type, unit, source, provenance, interval, '' AS description FROM main.series"
"""The series of version 1 of the schema as those of today."""
_log = logging.getLogger("umlaut_async")
_told: set[str] = set()
"""The databases of which it was said that they have no log."""


def open_file(path: str, journal: Journal | None = None) -> AsyncEngine:
    """Return an engine that writes a file: one connection, its transactions immediate.

    Args:
        path: The file.
        journal: How SQLite is to keep it whole, by default as its version and the file system demand.
    """
    journal = journal or choose(path)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=path),
        pool_size=1,
        max_overflow=0,
        # `transaction` ends what it begins; a rollback on return would be one more switch of threads.
        pool_reset_on_return=None,
        connect_args={
            "async_creator_fn": driver.Connection,
            "timeout": _BUSY_SECONDS,
            "busy_seconds": _BUSY_SECONDS,
            "isolation_level": None,
            "locked": journal.lock,
        },
    )
    event.listen(engine.sync_engine, "connect", partial(_prepare_writer, journal, path))
    event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def read_file(path: str) -> AsyncEngine:
    """Return an engine that only reads, each statement on the newest committed data.

    No transaction is held between statements, since one that a user forgets would keep the log of the writer growing.
    """
    engine = create_async_engine(
        _read_only("sqlite+aiosqlite", path),
        poolclass=NullPool,
        connect_args={"async_creator_fn": driver.reader, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.run_async(_prepare_reader)

    return engine


def read_file_without_asyncio(path: str) -> Engine:
    """Return an engine without asyncio that only reads; one session sees one state."""
    engine = create_engine(
        _read_only("sqlite+pysqlite", path), poolclass=NullPool, connect_args={"isolation_level": None}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.executescript(_READER_PRAGMAS)
        connection.executescript(_last_of_reader(connection.execute(_COLUMNS_OF_SERIES)))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


async def _prepare_reader(connection: Any) -> None:
    await connection.executescript(_READER_PRAGMAS)
    await connection.executescript(_last_of_reader(await connection.execute_fetchall(_COLUMNS_OF_SERIES)))


def _last_of_reader(columns: Iterable[Any]) -> str:
    """Return what a reader does last, given the columns of the series."""
    names = {row[1] for row in columns}
    view = f"CREATE TEMP VIEW series AS {_OLD_SERIES}; " if names and "description" not in names else ""
    return f"{view}PRAGMA query_only = ON;"


def _read_only(name: str, path: str) -> URL:
    uri = f"file:{quote(path)}"
    return URL.create(name, database=uri, query={"mode": "ro", "uri": "true"})


def _prepare_writer(journal: Journal, path: str, connection: Any, record: Any) -> None:
    record.info["synchronous"] = connection.run_async(partial(_prepare_driver, journal, path))


async def _prepare_driver(journal: Journal, path: str, connection: driver.Connection) -> str:
    wanted, mode = "WAL" if journal.log else "DELETE", None
    deadline = time.monotonic() + _BUSY_SECONDS
    while mode is None:
        try:
            # Larger pages than the usual 4096 bytes, where the file is new, make inserts a tenth cheaper.
            mode = await connection.exclusively(f"PRAGMA page_size = {_PAGE_SIZE}; PRAGMA journal_mode = {wanted}")
        except sqlite3.OperationalError as error:
            # Of several that create one file SQLite refuses all but one at once, without its busy timeout.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(random.uniform(0.005, 0.05))
    # The log is copied into the database by the connection itself, which may hold a lock for it.
    await connection.executescript(
        f"PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {driver.LOG_SIZE};"
        f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'};"
    )
    if mode == "wal":
        return "NORMAL"
    # Without a log anything less than FULL may damage the file when the power fails.
    if path not in _told:
        _told.add(path)
        where = f"on {journal.file_system}, a network file system," if journal.file_system else "here"
        _log.warning("SQLite keeps no write-ahead log %s but a journal of mode %r: commits are slower", where, mode)
    return "always FULL"


def _begin_immediate(connection: Connection) -> None:
    wanted = "FULL" if connection.get_execution_options().get("durable") else "NORMAL"
    present = connection.info["synchronous"]
    script = "BEGIN IMMEDIATE"
    if present not in (wanted, "always FULL"):
        script = f"PRAGMA synchronous = {wanted}; {script}"
        connection.info["synchronous"] = wanted
    script += f"; {connection.get_execution_options().get('first', '')}"
    # Straight to the driver: a statement through SQLAlchemy takes three switches of threads, this takes one.
    cast("Any", connection.connection.dbapi_connection).run_async(lambda connection: connection.begin(script))


def make_tables(connection: Connection, path: str) -> None:
    """Make the tables, unless they are there.

    Raises:
        StoreError: The file is not ours.
    """
    application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    tables = connection.exec_driver_sql("SELECT name, coalesce(sql, '') FROM sqlite_master WHERE type = 'table'")
    if identify(path, application_id, version, {str(name): str(sql) for name, sql in tables}):
        if version < SCHEMA_VERSION:
            _bring_up_to_date(connection)
        return
    cast("Any", connection.connection.dbapi_connection).run_async(lambda raw: raw.execute_all(tables_script()))


def _bring_up_to_date(connection: Connection) -> None:
    names = {row[1] for row in connection.exec_driver_sql(_COLUMNS_OF_SERIES)}
    if names and "description" not in names:
        connection.exec_driver_sql("ALTER TABLE series ADD COLUMN description TEXT DEFAULT '' NOT NULL")
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


@cache
def tables_script() -> tuple[str, ...]:
    """Return the statements that make the tables. To compile them takes longer than to run them."""
    dialect = SQLiteDialect_aiosqlite()
    statements = []
    for table in Base.metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=str)]
    marks = f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION}"
    return *statements, *marks
