"""A database opened for questions: one session, which sees one state, and errors that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from umlaut_async.errors import CorruptStoreError, UmlautError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

__all__ = ["querying", "reading"]


_READING_FAILED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What is raised where a value is not what it should be: numbers where text belongs, text that is no JSON."""


@contextmanager
def reading(db_file: str | os.PathLike[str]) -> Iterator[Session]:
    """Open a database for reading by this package: one session, which sees one state.

    What fails inside because the database holds what this package never wrote is a StoreError that says so.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why.
    """
    with querying(db_file) as session:
        try:
            yield session
        except UmlautError:
            raise
        except _READING_FAILED as error:
            from umlaut_async.store.foreign import foreign_column
            from umlaut_async.store.location import resolve

            if (column := foreign_column(session.get_bind().engine)) is None:
                raise
            shown = resolve(db_file).name
            raise CorruptStoreError(f"{shown} holds values in {column} that this package does not write") from error


@contextmanager
def querying(db_file: str | os.PathLike[str]) -> Iterator[Session]:
    """Open a database for queries of anybody: one session, which sees one state; what fails inside stays as it is.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why.
    """
    from sqlalchemy.orm import Session

    from umlaut_async.store.engine import sync_reader
    from umlaut_async.store.failures import translate, translate_server
    from umlaut_async.store.location import look, resolve

    location = resolve(db_file)
    look(location, "r")
    engine = sync_reader(location)
    try:
        translated = translate(location.name) if location.path is not None else translate_server(location.name)
        with translated, Session(engine) as session:
            yield session
    finally:
        engine.dispose()
