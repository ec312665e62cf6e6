"""Errors of the database drivers as errors of ours, with messages that say what to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from umlaut_async.errors import CorruptStoreError, NotAStoreError, StoreBusyError, StoreError, StoreTimeoutError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["store_error", "translate"]


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
    # The low byte is the kind of error, the rest are details of it.
    match getattr(error, "sqlite_errorcode", 1) & 0xFF:
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
