"""The writer's connection to SQLite: aiosqlite's, with one switch of threads a statement instead of three."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import aiosqlite

if TYPE_CHECKING:
    import asyncio

__all__ = ["Connection"]


class Connection(aiosqlite.Connection):
    """A connection whose cursors are made and closed where they are used.

    Only statements can take long, so only they need the connection's own thread. Beside a busy Python thread each
    switch waits for the GIL, up to 5 ms a time: that is most of what a flush then takes.
    """

    def __init__(self, path: str, **options: Any) -> None:
        self._sqlite: sqlite3.Connection
        self._stopping = False

        def connect() -> sqlite3.Connection:
            self._sqlite = sqlite3.connect(path, **options)
            return self._sqlite

        super().__init__(connect, iter_chunk_size=64)
        # As SQLAlchemy does for connections of its own: one that was never closed must not keep the process alive.
        self._thread.daemon = True

    async def close(self) -> None:
        """Roll back what is open, and close."""
        # Closing alone leaves a transaction open for as long as a cursor of it lives, such as that of a statement whose
        # task was cancelled, and so locks out every other writer.
        try:
            if self._running and self._connection is not None:
                await self.rollback()
        finally:
            if self._running:
                await super().close()

    def stop(self) -> asyncio.Future[None] | None:
        """End the thread after what it still has to do; asked again, return None.

        A second answer would never come, and a close that was cancelled and then forced asks twice.
        """
        if self._stopping:
            return None
        self._stopping = True
        return super().stop()

    def cursor(self) -> Cursor:  # type: ignore[override]
        """Return a new cursor at once."""
        return Cursor(self, self._sqlite.cursor())


class Cursor(aiosqlite.Cursor):
    """A cursor that closes without its thread."""

    def __init__(self, connection: Connection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._sqlite = cursor

    async def close(self) -> None:
        """Close at once, or after the statement that still runs since its task was cancelled."""
        try:
            self._sqlite.close()
        except sqlite3.ProgrammingError:
            # Left open, it would keep its transaction, and all other writers locked out.
            await super().close()
