"""PostgreSQL: the engine that writes a database of a server, across lost connections, and those that only read it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError as UrlError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from umlaut_async.errors import StoreError
from umlaut_async.store.failures import CommitUnknownError, is_unreachable, translate_server
from umlaut_async.store.passwords import without_password
from umlaut_async.store.patience import one_patience
from umlaut_async.store.server_tables import OLD_SERIES, make_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Engine

    from umlaut_async.store.location import Location
    from umlaut_async.store.patience import Patience

__all__ = [
    "open_server",
    "read_server",
    "read_server_without_asyncio",
    "transaction",
    "was_committed",
]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 60.0
# Otherwise a connection that was cut without a word would hold its locks for hours.
_SETTINGS = (
    "SET idle_in_transaction_session_timeout = '60s'",
    "SET tcp_keepalives_idle = 15",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
_INSTALL = "install it with: pip install 'umlaut_async[postgres]'"
# Of the options in a URL, those that psycopg knows as well, and what it calls them.
_SHARED_OPTIONS = {"host": "host", "port": "port", "ssl": "sslmode", "sslmode": "sslmode", "passfile": "passfile"}
_log = logging.getLogger("umlaut_async")


async def open_server(location: Location) -> AsyncEngine:
    """Return the engine that writes a database of a server: one connection, its tables present.

    Raises:
        StoreError: The database cannot be opened, or is not ours; the reason is that of the driver.
    """
    engine = _engine(location, pool_size=1, max_overflow=0)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.run_async(lambda driver: driver.execute("; ".join(_SETTINGS)))

    try:
        with translate_server(location.name):
            async with engine.begin() as connection:
                await connection.run_sync(make_tables, location.name)
    except (TypeError, ValueError) as error:
        await engine.dispose()
        if isinstance(error, StoreError):
            raise
        # So the driver speaks of options that it does not know, or whose values are wrong.
        raise StoreError(f"{location.name} cannot be opened: {error}") from error
    except BaseException:
        await engine.dispose()
        raise
    return engine


@contextlib.asynccontextmanager
async def transaction(engine: AsyncEngine, first: str = "") -> AsyncIterator[AsyncSession]:
    """Run one transaction: committed at the end, rolled back by any exception.

    While the server cannot be reached it waits with its beginning. Committed is on disk, unless the server is set up
    otherwise.

    Args:
        engine: What `open_server` returned.
        first: A statement that it begins with, without parameters.

    Raises:
        StoreConnectionError: The connection was lost; nothing of this transaction is stored.
        CommitUnknownError: It was lost at the end, and whether anything is stored can only be asked later.
        StoreError: The database refused; nothing of this transaction is stored.
    """
    with translate_server(_name(engine)), one_patience() as patience:
        session, name = await _begin(engine, first, patience)
        try:
            yield session
        except BaseException as error:
            await _leave(session, error)
            raise
        try:
            await session.commit()
        except BaseException as error:
            await _leave(session, error)
            if not is_unreachable(error) or not await _was_committed_after_all(engine, name, patience):
                raise
        else:
            await session.close()
        patience.succeeded()


async def was_committed(engine: AsyncEngine, transaction: str) -> bool:
    """Return what became of a transaction whose connection was lost while it was committed.

    Raises:
        StoreError: The server cannot be reached, or has not ended it yet.
    """
    with translate_server(_name(engine)), one_patience() as patience:
        return await _outcome(engine, transaction, patience)


def read_server(location: Location) -> AsyncEngine:
    """Return an engine that only reads, each statement on the newest committed data."""
    engine = _engine(location, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.run_async(_prepare_reader)

    return engine


async def _prepare_reader(driver: Any) -> None:
    await driver.execute(OLD_SERIES)
    await driver.execute("SET default_transaction_read_only = on")


def read_server_without_asyncio(location: Location) -> Engine:
    """Return an engine without asyncio that only reads; one session sees one state."""
    url = _url(location)
    options = {_SHARED_OPTIONS[name]: value for name, value in url.query.items() if name in _SHARED_OPTIONS}
    try:
        engine = create_engine(
            URL.create("postgresql+psycopg", url.username, url.password, url.host, url.port, url.database, options),
            poolclass=NullPool,
            isolation_level="REPEATABLE READ",
            connect_args={"connect_timeout": int(_CONNECT_SECONDS)},
        )
    except ImportError as error:
        raise StoreError(f"reading {location.name} needs psycopg; {_INSTALL}") from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.autocommit = True
        connection.execute(OLD_SERIES)
        connection.autocommit = False
        connection.read_only = True

    return engine


def _engine(location: Location, **options: Any) -> AsyncEngine:
    url = _url(location)
    settings = {"application_name": "umlaut_async"} | options.pop("connect_args", {}).get("server_settings", {})
    arguments = {"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS, "server_settings": settings}
    try:
        return create_async_engine(url, connect_args=arguments, **options)
    except ImportError as error:
        raise StoreError(f"writing {location.name} needs asyncpg; {_INSTALL}") from error


def _url(location: Location) -> URL:
    try:
        url = make_url(location.url)
    except (UrlError, ValueError):
        # The message of the cause may repeat the password, so it is not passed on.
        raise StoreError(
            f"{location.name} is not a URL of a database; it must look like "
            "'postgresql+asyncpg://user:password@host:5432/database', special characters in the password as %XX"
        ) from None
    if url.drivername != "postgresql+asyncpg":
        raise StoreError(
            f"databases by {url.drivername!r} are not supported yet; use 'postgresql+asyncpg://…' or the path of a file"
        )
    return url


def _name(engine: AsyncEngine) -> str:
    # SQLAlchemy takes what it cannot read for the name of the database, and that may be a password.
    return without_password(engine.url.set(query={}).render_as_string(hide_password=True))


async def _begin(engine: AsyncEngine, first: str, patience: Patience) -> tuple[AsyncSession, str]:
    """Begin a transaction and return its session and its name, once the server can be reached."""
    # Both in one turn: what the heartbeat writes is part of the transaction that it names.
    statement = "SELECT pg_current_xact_id()::text"
    if first:
        statement = f"WITH first AS ({first}) {statement}"
    waiting = _Waiting(engine, patience)
    while True:
        session = AsyncSession(engine, expire_on_commit=False)
        try:
            connection = await session.connection()
            return session, str((await connection.exec_driver_sql(statement)).scalar_one())
        except BaseException as error:
            await _leave(session, error)
            if not waiting.goes_on_after(error):
                raise
        await waiting.pause()


class _Waiting:
    """Tries a server again that cannot be reached, more and more rarely, and says so once.

    Args:
        engine: How it is reached.
        patience: For how long.
    """

    def __init__(self, engine: AsyncEngine, patience: Patience) -> None:
        self._engine = engine
        self._patience = patience
        self._pause = _FIRST_PAUSE
        self._failures = 0

    def goes_on_after(self, error: BaseException) -> bool:
        """Return whether to try again after an error."""
        if not is_unreachable(error) or not self._patience.lasts():
            return False
        self._failures += 1
        # The first may be a connection alone, which a server that starts again has closed.
        if self._failures == 2:
            name = _name(self._engine)
            _log.warning("%s cannot be reached at present, so what is recorded waits: %s", name, error)
        return True

    async def pause(self) -> None:
        """Wait before the next try."""
        await asyncio.sleep(random.uniform(self._pause / 2, self._pause))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


async def _leave(session: AsyncSession, error: BaseException) -> None:
    """End a session after an error. A connection of which nobody knows how it is goes with it."""
    unusable = is_unreachable(error) or isinstance(error, asyncio.CancelledError)
    try:
        await asyncio.shield(session.invalidate() if unusable else session.close())
    except Exception as second:
        if not is_unreachable(second):
            raise
        await asyncio.shield(session.invalidate())


async def _was_committed_after_all(engine: AsyncEngine, transaction: str, patience: Patience) -> bool:
    try:
        return await _outcome(engine, transaction, patience)
    except Exception as error:
        unknown = CommitUnknownError(
            f"the connection to {_name(engine)} was lost while something was stored, and could not be made again: "
            f"{error}"
        )
        unknown.transaction = transaction
        raise unknown from error


async def _outcome(engine: AsyncEngine, transaction: str, patience: Patience) -> bool:
    """Ask a server what became of a transaction, until it knows."""
    statement = f"SELECT pg_xact_status('{transaction}'::xid8)"
    waiting = _Waiting(engine, patience)
    while True:
        try:
            async with engine.connect() as connection:
                status = (await connection.exec_driver_sql(statement)).scalar_one()
            if status != "in progress":
                return bool(status == "committed")
            if not patience.lasts():
                raise TimeoutError("the server has not ended a transaction whose connection was lost")
        except Exception as error:
            if not waiting.goes_on_after(error):
                raise
        await waiting.pause()
