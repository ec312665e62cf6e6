"""Rows of our own databases, stored as the collector does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import resolve
from umlaut_async.store.models import Chunk, Sample

if TYPE_CHECKING:
    from pathlib import Path

    from umlaut_async.store.models import Base


async def store(path: Path, rows: dict[type[Base], list[tuple[Any, ...]]]) -> None:
    """Add rows to a database, which is made if it is not there."""
    engine = await open_store(resolve(path))
    try:
        async with transaction(engine) as session:
            connection = await session.connection()
            for model, several in rows.items():
                await insert_for(model, without_id=model in (Sample, Chunk)).run(connection, several)
    finally:
        await engine.dispose()
