"""Errors of the database drivers as errors of ours, with messages that say what to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from umlaut_async.errors import (
    CorruptStoreError,
    NotAStoreError,
    StoreBusyError,
    StoreConnectionError,
    StoreError,
    StoreTimeoutError,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["CommitUnknownError", "is_refusal", "is_unreachable", "store_error", "translate", "translate_server"]

# The first two characters of a code, or the whole of it: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNREACHABLE = ("08", "57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01", "25P03", "25P04")
_REFUSALS = ("22", "23")


class CommitUnknownError(StoreConnectionError):
    """The connection was lost while a transaction was committed."""

    transaction: str = ""
    """Its name in the database."""


@contextlib.contextmanager
def translate(name: str) -> Iterator[None]:
    """Turn what SQLAlchemy and the driver raise inside into a StoreError; everything else passes unchanged.

    Args:
        name: The path or the URL without its password, for the messages.
    """
    import sqlite3

    from sqlalchemy import exc

    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, name) from error
    except exc.DBAPIError as error:
        cause = error.orig
        if isinstance(cause, sqlite3.Error):
            raise store_error(cause, name) from cause
        raise StoreError(f"{name}: {cause}") from error
    except exc.TimeoutError as error:
        raise StoreTimeoutError(f"{name} is in use by another task of this process; {error}") from error


def store_error(error: sqlite3.Error, path: str) -> StoreError:
    """Return the error of ours for an error of SQLite on a file."""
    code = getattr(error, "sqlite_errorcode", 1)
    if code in (264, 776):  # SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK
        return StoreError(
            f"{path} was left by a process that was killed while it wrote, and only a writer may put it in order: open "
            "it once with mode 'a'"
        )
    # The low byte is the kind of error, the rest are details of it.
    match code & 0xFF:
        case 5 | 6 | 15:  # SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL
            return StoreBusyError(
                f"{path} is locked by another program ({error}); end that program or use another path"
            )
        case 11:  # SQLITE_CORRUPT
            return CorruptStoreError(f"{path} is damaged ({error}); restore it from a copy, or use another path")
        case 26:  # SQLITE_NOTADB
            return NotAStoreError(f"{path} is not an SQLite database; choose another path")
        case 13:  # SQLITE_FULL
            return StoreError(f"there is no space left for {path} ({error}); free some space on its disk")
        case 3 | 8 | 23:  # SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH
            return StoreError(
                f"{path} may not be written ({error}); check the permissions of the file and of its folder"
            )
        case 14:  # SQLITE_CANTOPEN
            return StoreError(
                f"{path} cannot be opened ({error}): its folder must exist and let SQLite keep a log beside the file; "
                "make the folder writable, or copy the database to one that is"
            )
        case 10:  # SQLITE_IOERR
            return StoreError(f"reading or writing {path} failed ({error}); check the disk, its space and its mount")
        case _:
            return StoreError(f"{path}: {error}")


@contextlib.contextmanager
def translate_server(name: str) -> Iterator[None]:
    """Turn what SQLAlchemy and the driver of a server raise inside into a StoreError.

    Args:
        name: The URL without its password, for the messages.
    """
    from sqlalchemy import exc

    expected: tuple[type[Exception], ...] = (exc.SQLAlchemyError, OSError, *_errors_of_drivers())
    try:
        yield
    except expected as error:
        if isinstance(error, StoreError):
            raise
        reason = " ".join(str(_root(error)).split()) or type(_root(error)).__name__
        if is_unreachable(error):
            raise StoreConnectionError(
                f"{name} cannot be reached ({reason}); check the address, and that the server is running"
            ) from error
        raise StoreError(f"{name} refused: {reason}") from error


def is_unreachable(error: BaseException) -> bool:
    """Tell whether an error means that a server, or the connection to it, is gone for now: trying again may help."""
    if isinstance(error, StoreError):
        return isinstance(error, StoreConnectionError)
    if isinstance(_root(error), OSError):
        return True
    code = _code(error)
    if code is not None:
        return code.startswith(_UNREACHABLE)
    root = _root(error)
    if getattr(error, "connection_invalidated", False):
        return True
    # Neither driver has a code where the connection is gone or could not be made; "FATAL" is the server's own word.
    ours = type(root).__module__.startswith(("asyncpg", "psycopg")) and not isinstance(root, ValueError)
    return ours and "connection" in str(root) and "FATAL" not in str(root)


def is_refusal(error: Exception) -> bool:
    """Tell whether an error is about what was to be stored, and not about the database as a whole."""
    if not isinstance(error, StoreError):
        return True
    import sqlite3

    cause = error.__cause__
    if cause is None or isinstance(cause, sqlite3.Error):
        kinds = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
        return isinstance(cause, kinds)
    code = _code(cause)
    return code.startswith(_REFUSALS) if code is not None else isinstance(_root(cause), (ValueError, TypeError))


def _errors_of_drivers() -> tuple[type[Exception], ...]:
    # SQLAlchemy 2.0 passes them on as they are where a connection cannot be made.
    try:
        import asyncpg
    except ImportError:
        return ()
    return asyncpg.PostgresError, asyncpg.InterfaceError


def _root(error: BaseException) -> BaseException:
    """Return what the driver itself raised."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return error


def _code(error: BaseException) -> str | None:
    """Return the five characters by which PostgreSQL names an error."""
    code = getattr(_root(error), "sqlstate", None)
    return code if isinstance(code, str) else None
