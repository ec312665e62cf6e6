"""The writer's connection to SQLite: aiosqlite's, with one switch of threads a statement instead of three."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiosqlite
import aiosqlite.core

from umlaut_async import gc_guard, originals
from umlaut_async.errors import StoreError
from umlaut_async.probes import own_threads
from umlaut_async.store.files import identity, require_same
from umlaut_async.store.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["LOG_SIZE", "Connection", "GuardedConnection", "abandon", "reader"]

T = TypeVar("T")

LOG_SIZE = 8_192_000
"""The size in bytes beyond which the log is copied into the database; the usual 1000 pages."""
_CLOSE_SECONDS = 1.0
"""How long a close waits for others that write."""

_open: set[Connection] = set()
"""Those that nobody has closed yet."""


def abandon() -> None:
    """Close the connections that this thread has made and that nobody closed; nobody waits for them either.

    Where the loop of a connection has ended before it was closed, there is no other way to be rid of its thread.
    """
    for connection in _open.copy():
        connection.abandon(threading.get_ident())


class GuardedConnection(aiosqlite.Connection):
    """A connection whose thread is one of this package: it is not measured, and runs no finalizer of the user's.

    Args:
        connect: Opens the database, in that thread.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=64)
        if originals.are_replaced():
            self._tx = originals.simple_queue()
            work_off = aiosqlite.core._connection_worker_thread
            self._thread = threading.Thread(target=work_off, args=(self._tx,))
            self._thread.start = partial(originals.start, self._thread)  # type: ignore[method-assign]
        # As SQLAlchemy does for connections of its own: one that was never closed must not keep the process alive.
        self._thread.daemon = True
        work = self._thread.run
        self._thread.run = lambda: own_threads.run(work)  # type: ignore[method-assign]  # it is made by aiosqlite

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        gc_guard.expect()
        try:
            return super().__await__()
        except BaseException:
            gc_guard.not_started()
            raise


def reader(path: str, **options: Any) -> GuardedConnection:
    """Return a connection that only reads.

    Args:
        path: The database.
        options: Those of `sqlite3.connect`.
    """
    return GuardedConnection(lambda: sqlite3.connect(path, **options))


class Connection(GuardedConnection):
    """A connection whose cursors are made and closed where they are used, and whose transactions can hold a lock.

    Only statements can take long, so only they need the connection's own thread. Beside a busy Python thread each
    switch waits for the GIL, up to 5 ms a time: that is most of what a flush then takes.

    Args:
        path: The database.
        locked: Whether a lock in a file of its own is held in every transaction and at every checkpoint.
        busy_seconds: How long to wait for that lock.
        options: Those of `sqlite3.connect`.
    """

    def __init__(self, path: str, *, locked: bool = False, busy_seconds: float = 30.0, **options: Any) -> None:
        self._sqlite: sqlite3.Connection
        self._stopping = False
        self._stopped: asyncio.Future[None] | None = None
        self._path = path
        self._log = f"{path}-wal"
        self._identity: tuple[int, int] | None = None
        self._lock = LockFile(f"{path}-lock") if locked else None
        self._busy_seconds = busy_seconds
        self._maker = threading.get_ident()

        def connect() -> sqlite3.Connection:
            self._sqlite = sqlite3.connect(path, **options)
            self._identity = identity(path)
            return self._sqlite

        super().__init__(connect)
        _open.add(self)

    async def _connect(self) -> aiosqlite.Connection:
        try:
            return await super()._connect()
        except BaseException:
            # The thread has a last answer to give, for which the loop must still be there.
            if self._stopped is not None:
                await asyncio.shield(self._stopped)
            raise

    async def begin(self, script: str) -> None:
        """Take the lock and run a script that begins a transaction; if that fails nothing stays open."""
        given_up = False

        def work() -> None:
            if self._lock is not None:
                self._lock.acquire(self._busy_seconds, lambda: given_up)
            try:
                require_same(self._path, self._identity)
                self._sqlite.executescript(script)
            except BaseException:
                self._end(self._sqlite.rollback)
                raise

        try:
            await self._run(work)
        except asyncio.CancelledError:
            # What was begun meanwhile belongs to nobody. The thread does one thing after the other, so this comes next.
            given_up = True
            self._tx.put_nowait((asyncio.get_running_loop().create_future(), lambda: self._end(self._sqlite.rollback)))
            raise

    async def execute_all(self, statements: Iterable[str]) -> None:
        """Run statements in the transaction that has been begun, one after the other."""

        def work() -> None:
            for statement in statements:
                self._sqlite.execute(statement)

        await self._run(work)

    async def exclusively(self, script: str) -> object:
        """Run statements outside of a transaction, under the lock, and return the first value of the last one."""

        def work() -> object:
            if self._lock is not None:
                self._lock.acquire(self._busy_seconds)
            try:
                value = None
                for statement in script.split(";"):
                    row = self._sqlite.execute(statement).fetchone()
                    value = row[0] if row else None
                return value
            finally:
                self._release()

        return await self._run(work)

    async def commit(self) -> None:
        """Commit the transaction, and copy the log into the database where it has grown long.

        Raises:
            StoreNotFoundError: The file has gone, and what was committed with it.
        """

        def work() -> None:
            self._end(self._commit)
            require_same(self._path, self._identity)

        await self._run(work)

    async def rollback(self) -> None:
        """Roll the transaction back."""
        await self._run(lambda: self._end(self._sqlite.rollback))

    async def thread_seconds(self) -> float:
        """Return the CPU time that its thread has taken."""
        return await self._run(time.thread_time)

    async def _run(self, work: Callable[[], T]) -> T:
        """Return what a function returns in the thread of the connection."""
        answer: T = await self._execute(work)  # type: ignore[no-untyped-call]
        return answer

    def _commit(self) -> None:
        if self._sqlite.in_transaction:
            self._sqlite.commit()
            self._shorten_log()

    def _shorten_log(self) -> None:
        # SQLite would do the same at a commit of any connection. Done here it is under the lock, and is never late:
        # what is committed stays committed if it fails.
        try:
            if os.stat(self._log).st_size > LOG_SIZE:
                self._sqlite.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (OSError, sqlite3.Error):
            pass

    def _end(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            # A commit that had to wait for readers too long leaves the transaction open.
            if not self._sqlite.in_transaction:
                self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    async def close(self) -> None:
        """Roll back what is open, and close; the last one to do so leaves one plain file."""
        # Closing alone leaves a transaction open for as long as a cursor of it lives, such as that of a statement whose
        # task was cancelled, and so locks out every other writer.
        try:
            if self._running and self._connection is not None:
                await self._run(self._leave)
        finally:
            if self._running:
                await super().close()

    def _leave(self) -> None:
        try:
            self._end(self._sqlite.rollback)
            self._leave_plain_file()
        finally:
            if self._lock is not None:
                self._lock.close()

    def _leave_plain_file(self) -> None:
        """Give up the log if nobody else has the database open.

        Of a database with a log even readers make files, which they leave behind, and where they cannot, they fail.
        """
        try:
            if self._lock is not None:
                self._lock.acquire(_CLOSE_SECONDS)
            # As a script it would commit first; and where it is no log, or someone else is here, it does nothing.
            self._sqlite.execute("PRAGMA journal_mode = DELETE").fetchone()
            if self._lock is not None:
                self._lock.remove()
        except (OSError, sqlite3.Error, StoreError):
            pass
        finally:
            # Under the lock: the last one of all copies the log into the database.
            self._sqlite.close()

    def stop(self) -> asyncio.Future[None] | None:
        """End the thread after what it still has to do; asked again, return None.

        A second answer would never come, and a close that was cancelled and then forced asks twice.
        """
        if self._stopping:
            return None
        self._stopping = True
        _open.discard(self)
        self._stopped = super().stop()
        return self._stopped

    def abandon(self, maker: int) -> None:
        """Close without waiting for it, if a thread has made this connection.

        Args:
            maker: The thread.
        """
        if self._maker == maker:
            self._tx.put_nowait((None, self._leave))
            self.stop()

    def cursor(self) -> Cursor:  # type: ignore[override]
        """Return a new cursor at once."""
        return Cursor(self, self._sqlite.cursor())


class Cursor(aiosqlite.Cursor):
    """A cursor that closes without its thread."""

    def __init__(self, connection: Connection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._sqlite = cursor

    def __await__(self) -> Generator[None, None, Self]:
        """Return the cursor at once: SQLAlchemy 2.0 awaits it, and 2.1 enters it."""
        return self
        yield

    async def close(self) -> None:
        """Close at once, or after the statement that still runs since its task was cancelled."""
        try:
            self._sqlite.close()
        except sqlite3.ProgrammingError:
            # Left open, it would keep its transaction, and all other writers locked out.
            await super().close()
