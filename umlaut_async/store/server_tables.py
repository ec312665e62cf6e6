"""The tables as a server has them: without keys that point to other tables, and ready to be partitioned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Identity, Index, MetaData, PrimaryKeyConstraint, Table, inspect

from umlaut_async.errors import NewerSchemaError, NotAStoreError
from umlaut_async.store.location import SCHEMA_VERSION
from umlaut_async.store.models import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["OLD_SERIES", "make_tables", "server_tables"]

# The key of a partitioned table has to contain what it is partitioned by: time, or what names run and process. It also
# is the order in which a series is read.
_KEYS = {"sample": ("series_id", "t", "id"), "chunk": ("series_id", "t0", "id")}
_IDENTITIES = ("process", "sample", "chunk")
"""The tables for whose rows the database chooses the `id`."""
_OF_PROCESSES = ("span", "result", "series", "event")
"""The tables of which the rows of some processes are read, and not all."""
_MARK = "umlaut_async, schema version "
OLD_SERIES = """DO $$ BEGIN
IF to_regclass('series') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('series') AND attname = 'description' AND NOT attisdropped
) THEN CREATE TEMP VIEW series AS SELECT *, ''::text AS description FROM series; END IF; END $$"""
"""Lets a connection see the series of version 1 of the schema as those of today, without changing the database."""
_LOCK = 0x756D6C61
"""Held while the tables are made: a number that no other application should take."""


def make_tables(connection: Connection, name: str) -> None:
    """Make the tables that are missing.

    Whoever wants `sample` and `chunk` partitioned makes them before.

    Args:
        connection: A connection in a transaction.
        name: What the database is called in messages.

    Raises:
        NotAStoreError: There are tables of another application, or of a newer version of this package.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    if inspect(connection).has_table("run"):
        mark = connection.exec_driver_sql("SELECT obj_description('run'::regclass, 'pg_class')").scalar_one() or ""
        if not mark.startswith(_MARK):
            raise NotAStoreError(f"{name} has a table 'run' of another application; use another database or schema")
        version = int(mark.removeprefix(_MARK))
        if version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"{name} has schema version {version} and this version of umlaut_async knows {SCHEMA_VERSION}; "
                "upgrade umlaut_async"
            )
        if version == SCHEMA_VERSION:
            return
        connection.exec_driver_sql("ALTER TABLE series ADD COLUMN IF NOT EXISTS description text DEFAULT '' NOT NULL")
        _mark(connection)
        return
    server_tables().create_all(connection)
    _mark(connection)


def _mark(connection: Connection) -> None:
    connection.exec_driver_sql(f"COMMENT ON TABLE run IS '{_MARK}{SCHEMA_VERSION}'")


def server_tables() -> MetaData:
    """Return the tables of the models, as they are made on a server.

    There no key points to another table: it would be looked up for every row, and no row of ours is ever without what
    it points to, nor can the rows of a process that is written by one collector meet those of another one.
    """
    metadata = MetaData()
    for table in Base.metadata.sorted_tables:
        made = Table(table.name, metadata)
        for column in table.columns:
            identity = [Identity()] if column.name == "id" and table.name in _IDENTITIES else []
            default = column.server_default
            made.append_column(
                Column(column.name, column.type, *identity, nullable=column.nullable, server_default=default)
            )
        made.append_constraint(PrimaryKeyConstraint(*_KEYS.get(table.name, table.primary_key.columns.keys())))
        if table.name in _OF_PROCESSES:
            Index(f"{table.name}_process", made.c.process_id)
    Index("process_run", metadata.tables["process"].c.run_uuid)
    return metadata
