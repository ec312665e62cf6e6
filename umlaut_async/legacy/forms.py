"""What lies in a file: a database of ours, or one that UMLAUT wrote, and in which of its forms."""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from umlaut_async.errors import CorruptStoreError, OldDatabaseError, StoreError
from umlaut_async.store.failures import store_error
from umlaut_async.store.location import look, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COLUMNS", "Form", "Found", "find", "opened"]

COLUMNS = {
    "measurement": (
        "id", "uuid", "measurement_datetime", "measurement_description", "measurement_type", "measurement_data",
        "measurement_unit", "measured_method_name",
    ),
    "benchmark_metadata": ("uuid", "meta_description", "meta_name", "meta_start_time"),
}  # fmt: skip
"""The tables that UMLAUT had at last."""
_NEEDED = {
    "measurement": {"id", "uuid", "measurement_type", "measurement_data"},
    "benchmark_metadata": {"uuid"},
}
# Whoever wrote the file may be hostile: nothing in its schema may run, and its pages are checked as they are read.
_PRAGMAS = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"


class Form(enum.Enum):
    """The forms of a database."""

    OURS = "umlaut_async"
    PICKLED = "UMLAUT 2021, pickled"
    JSON = "UMLAUT 2024-02, JSON"
    METHOD_NAME = "UMLAUT 2024-07, with method names"
    META_NAME = "UMLAUT 2024-11, with names of runs"


class Found(NamedTuple):
    """What was found in a file."""

    path: str
    form: Form
    columns: dict[str, frozenset[str]]
    """Those of UMLAUT's columns that are there, by table; none for a database of ours."""


def find(db_file: str | os.PathLike[str]) -> Found:
    """Tell what lies in a file.

    Raises:
        ArgumentError: This names no file.
        StoreError: It cannot be read, or neither we nor UMLAUT wrote it; the leaf says why.
    """
    location = resolve(db_file)
    if location.path is None:
        dialect = location.url.partition(":")[0]
        raise StoreError(f"{dialect} databases cannot be read in the form of UMLAUT; pass the path of an SQLite file")
    try:
        look(location, "r")
    except OldDatabaseError:
        with contextlib.closing(opened(location.path)) as connection, reading(location.path):
            return _find_old(connection, location.path)
    return Found(location.path, Form.OURS, {})


def opened(path: str) -> sqlite3.Connection:
    """Return a connection that can only read, and to which nothing in the file is code.

    Raises:
        StoreError: The file cannot be opened.
    """
    with reading(path):
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(_PRAGMAS)
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn the errors of SQLite on a file into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _find_old(connection: sqlite3.Connection, path: str) -> Found:
    declared = {table: _declared(connection, table) for table in COLUMNS}
    for table, needed in _NEEDED.items():
        if missing := sorted(needed - declared[table].keys()):
            raise CorruptStoreError(
                f"{path} looks like a database of UMLAUT, but its table {table} lacks {', '.join(missing)}; "
                "restore it from a copy"
            )
    return Found(
        path,
        _form(connection, declared),
        {table: frozenset(declared[table]) & frozenset(columns) for table, columns in COLUMNS.items()},
    )


def _declared(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    # Not a view of that name, which could be anything.
    columns = connection.execute(
        "SELECT c.name, c.type FROM main.sqlite_master AS t, pragma_table_info(t.name, 'main') AS c"
        " WHERE t.type = 'table' AND t.name = ?",
        (table,),
    )
    return {str(name): str(type_).upper() for name, type_ in columns}


def _form(connection: sqlite3.Connection, declared: dict[str, dict[str, str]]) -> Form:
    if "meta_name" in declared["benchmark_metadata"]:
        return Form.META_NAME
    if "measured_method_name" in declared["measurement"]:
        return Form.METHOD_NAME
    pickled = "SELECT 1 FROM main.measurement WHERE typeof(measurement_data) = 'blob' LIMIT 1"
    if connection.execute(pickled).fetchone():
        return Form.PICKLED
    empty = connection.execute("SELECT 1 FROM main.measurement LIMIT 1").fetchone() is None
    return Form.PICKLED if empty and declared["measurement"]["measurement_data"] == "BLOB" else Form.JSON
