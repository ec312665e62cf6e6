"""Import what a collector in this process needs before the first call: an import beside a stage slows it down."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umlaut_async.store.location import Location

_COLLECTOR = (
    "umlaut_async.collector.collector",
    "umlaut_async.collector.opening",
    "umlaut_async.collector.environment",
)
_done: set[str] = set()


def preload(location: Location) -> None:
    """Import the collector and the driver of a database; after the first time this costs nothing.

    Args:
        location: The database.
    """
    if location.url.partition(":")[0] in _done:
        return
    for name in _COLLECTOR:
        importlib.import_module(name)
    _prepare(location)
    _done.add(location.url.partition(":")[0])


def _prepare(location: Location) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.orm import configure_mappers

    from umlaut_async.store import sqlite

    # What is missing or wrong here is told when the run begins, by whoever opens the database.
    with contextlib.suppress(Exception):
        make_url(location.url).get_dialect().import_dbapi()
        if location.path is None:
            importlib.import_module("umlaut_async.store.postgresql")
        else:
            sqlite.tables_script()
    configure_mappers()
