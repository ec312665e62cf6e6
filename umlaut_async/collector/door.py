"""The door of a collector: where the other processes of its run come in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from umlaut_async.clock import now
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.address import remove
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.connection import Connection
from umlaut_async.collector.death import Watch
from umlaut_async.collector.listening import Listener, listening_socket
from umlaut_async.collector.reception import Reception
from umlaut_async.collector.sweeping import sweep
from umlaut_async.collector.threads import in_thread
from umlaut_async.errors import StoreError
from umlaut_async.records import LOST, Ending, EventRecord, FlushRequest

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from umlaut_async.collector import wire
    from umlaut_async.collector.address import Address
    from umlaut_async.collector.limits import Limits
    from umlaut_async.collector.link import Link

_logger = logging.getLogger("umlaut_async")

_AGAIN = 0.2
"""How many seconds lie between two attempts to let a process in."""
_LOOK = 0.01
_DISMISSAL = 1.0
"""How many seconds the end of a run waits for what its other processes still have."""


class Host(Protocol):
    """The collector, as its door sees it."""

    async def admit(self, link: Link, hello: wire.Hello, ledger: Ledger, events: list[EventRecord]) -> bool:
        """Let a process take part in the run; return whether there is a database.

        Raises:
            StoreError: There is, but it cannot be written at present.
        """
        ...

    def exclude(self, link: Link, ledger: Ledger, refusal: StoreError | None) -> None:
        """Take from a process what can nevertheless not be stored, and say so.

        Args:
            link: Where its records come from.
            ledger: Where they are counted.
            refusal: Why it cannot take part; None where there is no database.
        """
        ...

    @property
    def progress(self) -> int:
        """How much it has taken and stored so far."""
        ...

    def report(self, event: EventRecord) -> None:
        """Take an event that a reader of the numbers must know."""
        ...


class _Guest(NamedTuple):
    channel: Channel
    connection: Connection
    watch: Watch


class Door:
    """Lets processes in.

    Args:
        address: Where they knock.
        host: Whom they visit.
        limits: How much of each may wait.
        listening: What listens there already, if anything does.
    """

    def __init__(self, address: Address, host: Host, limits: Limits, listening: socket.socket | None = None) -> None:
        self._limits = limits
        self._listening = listening
        self._address = address
        self._host = host
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._guests: list[_Guest] = []
        self._over = asyncio.Event()
        """Set when the run ends, and nobody can be let in any more."""
        self._arriving = 0
        """How many have knocked, and may become guests."""

    def open(self) -> None:
        """Begin to listen. Where that cannot be, other processes run unmeasured, which they say themselves."""
        self._start(_sweep())
        try:
            listening = self._listening or listening_socket(self._address.socket)
            self._listener = Listener(self._address.socket, listening, self._knocked)
        except OSError as error:
            _logger.info("processes that this one starts cannot join its run: %s", error)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, or about to be."""
        return not self._guests and not self._arriving

    def _knocked(self, connected: socket.socket) -> None:
        self.receive(Reception(Channel(connected), self._limits))

    def receive(self, reception: Reception) -> None:
        """Let whoever is at the other end of a channel take part."""
        self._arriving += 1
        self._start(self._receive(reception))

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, reception: Reception) -> None:
        try:
            try:
                guest = await self._welcome(reception)
            finally:
                self._arriving -= 1
            if guest is not None:
                await self._serve(guest)
        except Exception:
            _logger.exception("a process could not take part in the run, which is a defect of umlaut_async")
        finally:
            reception.channel.close()

    def _note(self, hello: wire.Hello) -> None:
        """Take note of a run of its own that a process of this run has begun."""
        message = f"process {hello.pid} records run {hello.run} into another database"
        data = {"pid": hello.pid, "run": hello.run, "database": hello.shown}
        self._host.report(EventRecord(now(), "other-run", message, data))

    async def _welcome(self, reception: Reception) -> _Guest | None:
        channel = reception.channel
        hello = await reception.hello()
        if hello is None:
            return None
        if hello.database != self._address.database:
            self._note(hello)
            return None
        ledger, events = Ledger(), list[EventRecord]()
        connection = Connection(channel, hello.pid, ledger, events.append, self._limits)
        stores = await self._admit(connection.link, hello, ledger, events)
        reception.hand_to(connection)
        connection.opened(stores=stores)
        guest = _Guest(channel, connection, Watch(hello.pid))
        self._guests.append(guest)
        return guest

    async def _admit(self, link: Link, hello: wire.Hello, ledger: Ledger, events: list[EventRecord]) -> bool:
        """Let a process take part as soon as that can be stored, and otherwise leave it out; return which it is."""
        refusal: StoreError | None = None
        while refusal is None or not self._over.is_set():
            try:
                if await self._host.admit(link, hello, ledger, events):
                    return True
                break
            except StoreError as error:
                if refusal is None:
                    _logger.warning("process %d cannot take part in the run as yet: %s", hello.pid, error)
                refusal = error
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN):
                        await self._over.wait()
        if refusal is not None:
            message = f"process {hello.pid} could not take part in the run: {refusal}"
            self._host.report(EventRecord(now(), "excluded", message, {"pid": hello.pid}))
        self._host.exclude(link, ledger, refusal)
        return False

    async def _serve(self, guest: _Guest) -> None:
        connection = guest.connection
        try:
            await self.reply()
            await guest.channel.ended()
            if not connection.has_ended:
                noticed = now()
                ending = Ending(LOST, await guest.watch.how(), noticed)
                connection.link.request(FlushRequest(lambda error: None, ending))
        finally:
            guest.watch.close()
            if guest in self._guests:
                self._guests.remove(guest)

    def log(self, level: int, line: str) -> None:
        """Have a line written to the log of one of the guests."""
        for guest in self._guests[:1]:
            guest.connection.log(level, line)

    async def reply(self) -> None:
        """Tell the guests what there is to tell."""
        progress = self._host.progress
        for guest in self._guests.copy():
            guest.connection.link.progress = progress
            try:
                await guest.connection.reply()
            except OSError:
                if guest in self._guests:
                    self._guests.remove(guest)

    async def dismiss(self) -> None:
        """Ask the guests for what they still have, since the run ends, and wait for it in a bounded time."""
        dismissed: list[_Guest] = []
        deadline = asyncio.get_running_loop().time() + _DISMISSAL
        while asyncio.get_running_loop().time() < deadline:
            for guest in self._guests:
                if guest not in dismissed:
                    dismissed.append(guest)
                    guest.connection.dismiss()
            await self.reply()
            if not self._arriving and all(
                guest.connection.has_ended or not guest.channel.is_open for guest in self._guests
            ):
                break
            await asyncio.sleep(_LOOK)
        self._over.set()
        # Who has waited to be let in hands over what it has.
        await asyncio.sleep(_LOOK)

    def shut(self) -> None:
        """Let nobody in any more, and remove where one knocked."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        remove(self._address)

    async def close(self) -> None:
        """Send the guests away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _sweep() -> None:
    with contextlib.suppress(RuntimeError):  # There is no thread left; the next run does it.
        await in_thread(sweep)
