"""Where a database is, what lies there, and whether a run may write it: without SQLAlchemy, fit for import time."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.errors import (
    ArgumentError,
    ArgumentTypeError,
    CorruptStoreError,
    NewerSchemaError,
    NotAStoreError,
    OldDatabaseError,
    StoreNotFoundError,
)
from umlaut_async.store.failures import store_error
from umlaut_async.store.files import regular_file, require_writable, system_errors
from umlaut_async.store.passwords import digest, without_password

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "Location",
    "check_identity",
    "identify",
    "is_alive",
    "look",
    "reading",
    "resolve",
    "take_back",
]

SCHEMA_VERSION = 2
"""1 lacks `series.description`: who writes adds it, who only reads has a view with it."""
# "umla" in ASCII: how `file` and we tell our databases from others.
APPLICATION_ID = 0x756D6C61

_URL = re.compile(r"(?P<dialect>[A-Za-z][A-Za-z0-9]*)(?:\+(?P<driver>[A-Za-z0-9_]+))?://(?P<rest>.*)", re.DOTALL)
_ASYNC_DRIVERS = {"aiomysql", "asyncmy", "asyncpg", "psycopg", "psycopg_async"}
_EXAMPLES = {
    "postgresql": "postgresql+asyncpg://…",
    "postgres": "postgresql+asyncpg://…",
    "mysql": "mysql+asyncmy://…",
    "mariadb": "mariadb+asyncmy://…",
}
_USE_A_FILE = "pass the path of a file, such as 'runs.db', or a URL such as 'sqlite+aiosqlite:///runs.db'"
_LOOK_SECONDS = 5.0


class Location(NamedTuple):
    """Where a database is."""

    given: str
    """What the user passed."""
    url: str
    """The URL for SQLAlchemy."""
    path: str | None
    """The absolute path of an SQLite file, without links; None for a database server."""
    name: str
    """What it is called in messages: what the user passed, of a URL without the password."""

    @property
    def key(self) -> str:
        """By what processes tell each other which database they mean; it does not tell the password of a server."""
        return self.url if self.path is not None else digest(self.url)

    def shown(self, text: str) -> str:
        """Return a text, such as an argument of a command, in which this URL may stand with its password."""
        return text if self.path is not None else text.replace(self.given, self.name)


def resolve(db_file: str | os.PathLike[str]) -> Location:
    """Return where a path or a SQLAlchemy URL points to, from the working directory of this moment.

    Raises:
        ArgumentError: It names no file and no database with an async driver.
        ArgumentTypeError: It is neither text nor a path.
        StoreNotFoundError: It is relative, and there is no working directory any more.
    """
    if not isinstance(db_file, (str, os.PathLike)):
        raise ArgumentTypeError(f"db_file has the type {type(db_file).__name__}; {_USE_A_FILE}")
    given: str | bytes = os.fspath(db_file)
    if isinstance(given, bytes):
        raise ArgumentTypeError(f"db_file is a path of bytes; {_USE_A_FILE}")
    if isinstance(db_file, str) and (url := _URL.fullmatch(given)):
        return _from_url(given, url["dialect"].lower(), url["driver"], url["rest"])
    return _file(given, given)


def _from_url(given: str, dialect: str, driver: str | None, rest: str) -> Location:
    from urllib.parse import parse_qsl, unquote

    if dialect == "sqlite":
        if driver not in (None, "aiosqlite", "pysqlite"):
            raise ArgumentError(f"the SQLite driver {driver!r} is not supported; use 'sqlite+aiosqlite:///…'")
        host, slash, database = rest.partition("/")
        if host or not slash:
            raise ArgumentError(f"{given!r} names no file: after 'sqlite+aiosqlite:' come three slashes and the path")
        path, _, query = database.partition("?")
        if unknown := [name for name, _ in parse_qsl(query, keep_blank_values=True)]:
            raise ArgumentError(f"the option {unknown[0]!r} in {given!r} is not supported; leave out '?' and the rest")
        return _file(given, unquote(path, errors="surrogateescape"))
    # The rest of the URL may hold a password, so no message repeats it.
    if driver not in _ASYNC_DRIVERS:
        name = f"{dialect}+{driver}" if driver else dialect
        example = _EXAMPLES.get(dialect, "postgresql+asyncpg://…")
        raise ArgumentError(
            f"'{name}://' names no async driver that is supported; use '{example}' or the path of a file"
        )
    return Location(given, given, None, without_password(given))


def _file(given: str, path: str) -> Location:
    if not path or path == ":memory:" or path.startswith("file:"):
        raise ArgumentError(
            f"{given!r} is not the path of a file, and what is measured must outlive this process; {_USE_A_FILE}"
        )
    if "\0" in path:
        raise ArgumentError(f"{given!r} contains a null character; {_USE_A_FILE}")
    from urllib.parse import quote

    # One file has one log and one lock, by whatever links it is reached.
    try:
        path = os.path.realpath(path)
    except FileNotFoundError:
        # Of an absolute path nothing need exist.
        raise StoreNotFoundError(
            f"the working directory was removed, so {given!r} leads nowhere; pass an absolute path"
        ) from None
    return Location(given, f"sqlite+aiosqlite:///{quote(os.fsencode(path))}", path, given)


def look(location: Location, mode: str) -> None:
    """Take the one look at a database that construction takes, and make missing parent folders in 'w' and 'a'.

    The database itself is left as it is, and may be in use.

    Raises:
        ArgumentError: The mode is none of 'r', 'w' and 'a'.
        StoreError: The database cannot be used in this mode; the leaf says why.
    """
    if mode not in ("r", "w", "a"):
        raise ArgumentError(f"mode is {mode!r}; it must be 'r' (read), 'w' (replace the database) or 'a' (add to it)")
    path = location.path
    if path is None:
        if mode == "w":
            raise ArgumentError(
                f"mode 'w' would delete all that is in {location.name}, what others have stored too; use mode 'a', or "
                "a database of its own"
            )
        return
    with system_errors(path):
        found = regular_file(path)
        if found is None:
            if mode == "r":
                raise StoreNotFoundError(f"there is no database {path}; check the path, or record into it first")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            require_writable(os.path.dirname(path))
            return
        if mode != "r":
            require_writable(path)
        if mode != "r":
            take_back(path)
        if found.st_size or mode == "r":
            check_identity(path, mode)


def is_alive(pid: int, pid_started: int | None) -> bool:
    """Tell whether a process of this machine still runs, and is not another one that got the same pid.

    Args:
        pid: Its number.
        pid_started: Its start in nanoseconds since the epoch, where known.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return pid_started is None or abs(process.create_time() - pid_started / 1e9) < 1
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def identify(path: str, application_id: int, version: int, tables: dict[str, str]) -> bool:
    """Tell whether an SQLite database is ours (True) or empty (False).

    Args:
        path: Where it is, for the messages.
        application_id: Its number of that name.
        version: Its `user_version`.
        tables: The SQL of each of its tables, by name.

    Raises:
        NotAStoreError: It belongs to another application, to UMLAUT, or to a newer version of this package.
        CorruptStoreError: It is ours, but tables are missing.
    """
    if application_id == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"{path} has schema version {version} and this version of umlaut_async knows {SCHEMA_VERSION}; "
                "upgrade umlaut_async"
            )
        if not {"run", "process"} <= tables.keys():
            raise CorruptStoreError(f"{path} lacks tables that every result database has; restore it from a copy")
        return True
    if any("measurement_data" in sql and "measurement_type" in sql for sql in tables.values()):
        raise _old_database(path)
    if application_id or version or tables:
        raise NotAStoreError(f"{path} is an SQLite database of another application; choose another path")
    return False


def _old_database(path: str) -> OldDatabaseError:
    return OldDatabaseError(
        f"{path} was written by UMLAUT. To go on with its data, run `umlaut import {path} NEW` and use NEW; "
        "the synchronous face `umlaut_async.compat` reads it as it is"
    )


def take_back(path: str) -> None:
    """Let SQLite take back what a process that was killed while it wrote without a log has left."""
    import sqlite3
    from urllib.parse import quote

    if not os.path.exists(f"{path}-journal"):
        return
    try:
        uri = f"file:{quote(os.fsencode(path))}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_LOOK_SECONDS)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def check_identity(path: str, mode: str) -> bool:
    """Tell whether a file is a database of ours (True) or empty (False), in which a mode may open it.

    Raises:
        StoreError: It is neither, or damaged.
    """
    with reading(path) as connection:
        application_id, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = dict(connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_master WHERE type = 'table'"))
        ours = identify(path, application_id, version, tables)
        _check_length(connection, path)
    if not ours and mode == "r":
        raise NotAStoreError(f"{path} is empty; check the path, or record into it first")
    return ours


def _check_length(connection: sqlite3.Connection, path: str) -> None:
    pages, page_size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    # What the file lacks may be in the log, so its length is taken last: a checkpoint only adds to it.
    logged = os.path.exists(log := f"{path}-wal") and os.path.getsize(log)
    if not logged and os.path.getsize(path) < pages * page_size:
        raise CorruptStoreError(f"{path} is damaged: its end is missing; restore it from a copy, or use another path")


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection that reads a file in one state of it."""
    # Read by other means than SQLite, the file would, on being closed, lose the locks that SQLite has in this process.
    import sqlite3
    from urllib.parse import quote

    try:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, timeout=_LOOK_SECONDS, isolation_level=None
        )
        with contextlib.closing(connection):
            # Whoever wrote it may be hostile: nothing in its schema may run, and pages are checked as they are read.
            connection.executescript("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
            # One view of the file for all that is read: another process may be making its tables.
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise store_error(error, path) from error
