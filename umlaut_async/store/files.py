"""What the file system says of the file of a database."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from umlaut_async.errors import NotAStoreError, StoreDirectoryError, StoreError, StoreNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["identity", "regular_file", "require_same", "require_writable", "system_errors"]

_SMALLEST_PAGE = 512


@contextlib.contextmanager
def system_errors(path: str) -> Iterator[None]:
    """Turn errors of the system into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror or error}; check the folders of the path") from error


def regular_file(path: str) -> os.stat_result | None:
    """Return what the system says of a file; None where there is none.

    Raises:
        StoreError: It is something else than a regular file, or too short for a database.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise StoreDirectoryError(f"{path} is a directory; add the name of a file")
    if not stat.S_ISREG(found.st_mode):
        raise NotAStoreError(f"{path} is not a regular file; choose another path")
    # SQLite itself takes a file of one byte for an empty database, and would write over it.
    if 0 < found.st_size < _SMALLEST_PAGE:
        raise NotAStoreError(f"{path} is not an SQLite database; choose another path")
    return found


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from any other that may come to be at its path; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def require_same(path: str, expected: tuple[int, int] | None) -> None:
    """Raise an error unless a file is the one that it was.

    What is written into a file that was deleted, or replaced by another, nobody will ever read.
    """
    if identity(path) != expected:
        raise StoreNotFoundError(
            f"{path} was deleted or replaced while it was written; what this run had stored in it is lost"
        )


def require_writable(path: str) -> None:
    """Raise a StoreError where a file or a folder may not be written."""
    if not os.access(path, os.W_OK):
        raise StoreError(f"there is no permission to write {path}; change its permissions or choose another path")
