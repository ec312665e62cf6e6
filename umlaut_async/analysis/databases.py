"""Databases opened for reading, ours and those that UMLAUT wrote: of the latter a copy in our form is read."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from umlaut_async.errors import OldDatabaseError
from umlaut_async.store.location import look, resolve
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session

__all__ = ["Progress", "copied", "is_old", "reading_any", "remove"]

Progress: TypeAlias = "Callable[[int, int], None] | None"
"""What is told how many of how many measurements are copied."""


@contextmanager
def reading_any(db_file: str | os.PathLike[str], progress: Progress = None) -> Iterator[Session]:
    """Open a database of ours or of UMLAUT for reading: one session, which sees one state.

    Args:
        db_file: The database.
        progress: Told how many of how many measurements of UMLAUT's are copied.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why.
    """
    if not is_old(db_file):
        with reading(db_file) as session:
            yield session
        return
    copy = copied(db_file, progress)
    try:
        with reading(copy) as session:
            yield session
    finally:
        remove(copy)


def is_old(db_file: str | os.PathLike[str]) -> bool:
    """Return whether UMLAUT itself wrote a database.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why.
    """
    try:
        look(resolve(db_file), "r")
    except OldDatabaseError:
        return True
    return False


def copied(db_file: str | os.PathLike[str], progress: Progress = None) -> str:
    """Copy a database of UMLAUT's into one of ours in a temporary folder of its own, and return its path.

    `remove` takes it away.
    """
    from umlaut_async.legacy.importer import import_database

    folder = tempfile.mkdtemp(prefix="umlaut_async-")
    path = os.path.join(folder, "runs.db")
    try:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            import_database(db_file, path, progress=progress)
        else:
            # The importer runs a loop of its own, which a thread that runs one already cannot.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(import_database, db_file, path, progress=progress).result()
    except BaseException:
        remove(path)
        raise
    return path


def remove(copy: str) -> None:
    """Delete a copy with its folder."""
    shutil.rmtree(os.path.dirname(copy), ignore_errors=True)
