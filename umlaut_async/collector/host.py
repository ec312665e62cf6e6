"""The collector in a process of its own. It ends with the connection to the process that it measures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.clock import now
from umlaut_async.collector import registry
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.collector import Collector
from umlaut_async.collector.connection import Connection
from umlaut_async.collector.death import Watch
from umlaut_async.collector.limits import Limits
from umlaut_async.collector.link import Link
from umlaut_async.collector.reception import Reception
from umlaut_async.collector.registry import Identity
from umlaut_async.probes import helpers
from umlaut_async.records import LOST, UNKNOWN, Ending, FlushRequest

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from umlaut_async.collector.door import Door
    from umlaut_async.collector.wire import Hello

_LOGGER = "umlaut_async"
_LOOK = 0.25
"""How often it is looked whether the process whose workers are measured has ended, in seconds."""
_LEAVING = 10.0
"""How many seconds its workers have then to end as well."""


class _Told:
    """An event whose setting is told at once."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self.set = tell


class _Sent(logging.Handler):
    """Sends the lines of the log to the measured process, whose log it is."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.log(record.levelno, self.format(record))


class _ToWorkers(logging.Handler):
    """Sends the lines of the log to one of the workers, in whose log they are then."""

    def __init__(self, door: Door) -> None:
        super().__init__(logging.WARNING)
        self._door = door

    def emit(self, record: logging.LogRecord) -> None:
        self._door.log(record.levelno, self.format(record))


def main(descriptor: int) -> None:
    """Collect a run.

    Args:
        descriptor: The end of the connection to the measured process.
    """
    # The first process of a container adopts it, as every process whose parent has ended.
    helpers.exclude(os.getpid())
    with (
        originals.new_socket(fileno=descriptor) as connected,
        asyncio.Runner(loop_factory=originals.new_loop) as runner,
    ):
        runner.run(_collect(Channel(connected)))


async def _collect(channel: Channel) -> None:
    reception = Reception(channel, Limits())
    hello = await reception.hello()
    if hello is None:
        return  # The measured process is gone.
    assert hello.settings is not None
    ledger = Ledger()
    connection = Connection(channel, hello.pid, ledger, lambda event: collector.report(event), hello.settings.limits)
    told: list[asyncio.Task[None]] = []

    async def reply() -> None:
        with contextlib.suppress(OSError):
            await connection.reply()

    def opened() -> None:
        connection.opened(stores=connection.link.stores)
        told.append(asyncio.create_task(reply()))

    collector = Collector(hello.settings, connection.link, ledger, _Told(opened), _Told(lambda: None), pid=hello.pid)
    collector.after_round = reply
    reception.hand_to(connection)
    logging.getLogger(_LOGGER).addHandler(_Sent(connection))
    logging.getLogger(_LOGGER).propagate = False
    watch = Watch(hello.pid)
    watching = asyncio.create_task(_end_with(connection, watch, channel))
    try:
        await collector.run()
    except Exception:
        # Nobody reads what this process writes to its standard error, so its last words are a reply.
        logging.getLogger(_LOGGER).exception("the collector failed, which is a defect of umlaut_async")
        await reply()
        raise
    finally:
        watching.cancel()
        watch.close()


async def _end_with(connection: Connection, watch: Watch, channel: Channel) -> None:
    """End the run when the measured process has gone without ending it."""
    await channel.ended()
    how, noticed = UNKNOWN, now()
    try:
        how = await watch.how()
    except Exception:
        logging.getLogger(_LOGGER).exception("how the process ended could not be found out, which is a defect")
    connection.link.request(FlushRequest(lambda error: None, Ending(LOST, how, noticed)))


def collect_workers(descriptor: int, pid: int, started: int) -> None:
    """Collect a run of the workers of a process.

    Args:
        descriptor: The socket on which the workers connect.
        pid: The process.
        started: When it was started, see `Identity`.
    """
    helpers.exclude(os.getpid())
    with (
        originals.new_socket(fileno=descriptor) as listening,
        asyncio.Runner(loop_factory=originals.new_loop) as runner,
    ):
        runner.run(_collect_workers(listening, Identity(pid, started)))


async def _collect_workers(listening: socket.socket, employer: Identity) -> None:
    reception, hello = await _first_worker(listening)
    assert hello.settings is not None
    settings = hello.settings._replace(collector="process", employer=employer)
    link, ledger = Link(settings.limits), Ledger()
    collector = Collector(
        settings, link, ledger, _Told(lambda: None), _Told(lambda: None), pid=employer.pid, listening=listening
    )
    assert collector.door is not None
    collector.door.receive(reception)
    logging.getLogger(_LOGGER).addHandler(_ToWorkers(collector.door))
    logging.getLogger(_LOGGER).propagate = False
    watching = asyncio.create_task(_end_with_employer(employer, link, collector.door))
    try:
        await collector.run()
    finally:
        watching.cancel()
        if settings.address is not None:
            registry.leave(settings.address, employer, settings.kind)


async def _first_worker(listening: socket.socket) -> tuple[Reception, Hello]:
    """Wait for a worker that says what the run is."""
    listening.setblocking(False)
    while True:
        connected, _ = await asyncio.get_running_loop().sock_accept(listening)
        reception = Reception(Channel(connected), Limits())
        hello = await reception.hello()
        if hello is not None and hello.settings is not None:
            return reception, hello
        reception.channel.close()


async def _end_with_employer(employer: Identity, link: Link, door: Door) -> None:
    """End the run when the process has ended, and its workers too, or after a while."""
    watch = Watch(employer.pid)
    try:
        if registry.is_alive(employer):
            await watch.ended(patience=None)
    finally:
        watch.close()
    while registry.is_alive(employer):
        await asyncio.sleep(_LOOK)
    ended = now()
    deadline = time.monotonic() + _LEAVING
    while not door.is_empty and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK)
    link.request(FlushRequest(lambda error: None, Ending("ok", "exit", ended)))
