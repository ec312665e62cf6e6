"""The sessions in which users read their results: one for each running event loop."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from umlaut_async.store.location import Location


class Sessions:
    """Read-only sessions on one database.

    Args:
        location: The database.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        # An engine belongs to the loop on which it was used first.
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncSession] = weakref.WeakKeyDictionary()

    def current(self) -> AsyncSession:
        """Return the session of the running event loop.

        Raises:
            RuntimeError: No event loop is running.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            from sqlalchemy.ext.asyncio import AsyncSession

            from umlaut_async.store.engine import reader_engine

            self._by_loop[loop] = AsyncSession(reader_engine(self._location), expire_on_commit=False)
        return self._by_loop[loop]

    async def close(self) -> None:
        """End the session of the running event loop, if there is one."""
        loop = asyncio._get_running_loop()
        session = None if loop is None else self._by_loop.pop(loop, None)
        if session is not None:
            await session.close()
            # Its engine keeps no connection that is not in use, so this was all.
