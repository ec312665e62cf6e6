"""A connection on which any database, ours or UMLAUT's, has the tables that UMLAUT documented."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from umlaut_async.legacy import data, ours
from umlaut_async.legacy.forms import COLUMNS, Form, Found, find, opened, reading

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable

__all__ = ["connect", "connect_found"]

_log = logging.getLogger("umlaut_async")
_TEXTS = frozenset({"measured_method_name", "meta_name", "meta_description", "measurement_unit"})


def connect(db_file: str | os.PathLike[str]) -> sqlite3.Connection:
    """Return a read-only connection with the views `measurement` and `benchmark_metadata`.

    `measurement_data` holds texts for `data.decode_shown`. A measurement that cannot be read has NULL there, and a
    warning names its id once for a connection.

    Raises:
        ArgumentError: This names no file.
        StoreError: It cannot be read, or neither we nor UMLAUT wrote it; the leaf says why.
    """
    return connect_found(find(db_file))


def connect_found(found: Found) -> sqlite3.Connection:
    """Return such a connection to what was found."""
    connection = opened(found.path)
    try:
        with reading(found.path):
            # One damaged text must not keep the others from being read.
            connection.text_factory = _text
            add_functions(connection, found.path)
            if found.form is Form.OURS:
                views = {"measurement": ours.MEASUREMENTS.format(complete=False), "benchmark_metadata": ours.RUNS}
            else:
                views = {table: _old_view(table, found.columns[table]) for table in COLUMNS}
            for name, query in views.items():
                connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def add_functions(connection: sqlite3.Connection, path: str) -> None:
    """Give a connection the functions that the views use. None of them knows the connection, which so can be freed."""
    refusals = _Refusals(path)
    connection.create_function("umlaut_time", 2, ours.measurement_time, deterministic=True)
    connection.create_function("umlaut_shown", 11, refusals.guarded(ours.shown))
    connection.create_function("umlaut_old", 3, refusals.guarded(data.old_value))
    connection.create_aggregate("umlaut_rows", 2, ours.SampleRows)  # type: ignore[arg-type]
    connection.create_aggregate("umlaut_blocks", 4, ours.SampleBlocks)  # type: ignore[arg-type]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _old_view(table: str, present: frozenset[str]) -> str:
    columns = (f"{_old_column(column, column in present)} AS {column}" for column in COLUMNS[table])
    return f"SELECT {', '.join(columns)} FROM main.{table}"


def _old_column(column: str, present: bool) -> str:
    if not present:
        return "''" if column in _TEXTS else "NULL"
    return "umlaut_old(id, measurement_type, measurement_data)" if column == "measurement_data" else column


class _Refusals:
    """Says once of each measurement that cannot be read that it is so."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._named: set[object] = set()

    def guarded(self, show: Callable[..., Any]) -> Callable[..., str | None]:
        """Return a function that takes the id first, and gives NULL where the other one fails."""

        def guard(number: object, *arguments: Any) -> str | None:
            try:
                return data.encode_shown(show(*arguments))
            except Exception as error:
                if number not in self._named:
                    self._named.add(number)
                    _log.warning("measurement %s of %s cannot be read: %s", number, self._path, error)
                return None

        return guard
