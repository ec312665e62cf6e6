"""A database opened for the questions of a command, and answers as JSON."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

__all__ = ["JSON_SCHEMA", "as_json", "reading"]

JSON_SCHEMA = 1


@contextmanager
def reading(db_file: str | os.PathLike[str]) -> Iterator[Session]:
    """Open a database, ours or UMLAUT's, for reading: one session, which sees one state.

    Raises:
        ArgumentError: This names no database.
        StoreError: The database cannot be read; the leaf says why.
    """
    from umlaut_async.analysis.databases import reading_any
    from umlaut_async.cli.progress import counting

    with counting("reading what UMLAUT wrote") as told, reading_any(db_file, told) as session:
        yield session


def as_json(document: dict[str, Any]) -> str:
    """Return an answer as JSON text in ASCII, non-finite numbers by name."""
    from umlaut_async.store import values

    return json.dumps(values.plain({"schema": JSON_SCHEMA} | document), indent=2, allow_nan=False)
