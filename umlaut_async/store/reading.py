"""A database opened for questions: one session, which sees one state, and errors that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from umlaut_async.errors import CorruptStoreError, UmlautError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

__all__ = ["reading"]


@contextmanager
def reading(db_file: str | os.PathLike[str]) -> Iterator[Session]:
    """Open a database for reading: one session, which sees one state.

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
    except UmlautError:
        raise
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Numbers where text belongs, text that is no JSON: a file may hold what this package never wrote.
        raise CorruptStoreError(f"{location.name} holds values that this package does not write: {error}") from error
    finally:
        engine.dispose()
