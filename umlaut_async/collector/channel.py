"""One end of a connection between a measured process and a collector in another one."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

from umlaut_async.collector.signals import LAST_TAG, PACKET, PART_TAG, SIGNAL, SIGNAL_TAG, WHOLE_TAG
from umlaut_async.collector.threads import settle

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("umlaut_async")

_READ = 1 << 17
_ROOM = 1 << 20
"""How many bytes may be on their way, as far as the system allows: so one end goes on while the other is at work."""
_TURN = 64
"""How many packets are taken before the other tasks of the loop get their turn."""

CREDENTIALS = struct.Struct("iII")
"""The process, the user and the group of SO_PEERCRED."""

_private: set[socket.socket] = set()


def private(connected: socket.socket) -> socket.socket:
    """Have a socket closed in forked children, which would keep who is at its other end from seeing its end."""
    _private.add(connected)
    return connected


def close(connected: socket.socket) -> None:
    """Close a private socket."""
    _private.discard(connected)
    connected.close()


def _close_in_child() -> None:
    while _private:
        _private.pop().close()


os.register_at_fork(after_in_child=_close_in_child)


class Channel:
    """Sends and takes packets.

    Args:
        connected: A connected socket of packets (SOCK_SEQPACKET).
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self._socket = private(connected)
        self._parts: list[bytes] = []
        self._ended = asyncio.Event()
        self._sending = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def connect(self, path: str) -> int:
        """Connect with what listens at a path; return 0, or the number of the error."""
        return self._socket.connect_ex(path)

    @property
    def peer(self) -> int:
        """The process that listened where this one has connected."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return int(CREDENTIALS.unpack(credentials)[0])

    def notify(self, kind: int, series: int, call: int, started: int) -> bool:
        """Send a signal, from any thread and without waiting; return whether it is on its way, or nobody listens."""
        return self._send_at_once(SIGNAL.pack(SIGNAL_TAG, kind, series, call, started))

    def send_at_once(self, message: bytes) -> bool:
        """Send a message if it takes one packet, as `notify` does a signal."""
        return len(message) <= PACKET and self._send_at_once(bytes((WHOLE_TAG,)) + message)

    def _send_at_once(self, packet: bytes) -> bool:
        try:
            self._socket.send(packet, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            # Where the other end is gone, that is noticed where its messages are awaited.
            return error.errno != errno.ENOTCONN
        return True

    def listen(self, message: Callable[[bytes], None], signal: Callable[[int, int, int, int], None]) -> None:
        """Have what comes taken on the running loop, until the other end has gone."""
        self._message, self._signal = message, signal
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    async def ended(self) -> None:
        """Wait until the other end has gone, and all that it has sent is taken."""
        await self._ended.wait()

    @property
    def is_open(self) -> bool:
        """Whether the other end is there, as far as is known."""
        return not self._ended.is_set()

    async def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            OSError: The other end has gone.
        """
        async with self._sending:
            for start in range(0, len(message), PACKET):
                tag = LAST_TAG if start + PACKET >= len(message) else PART_TAG
                await self._send_packet(bytes((tag,)) + message[start : start + PACKET])

    async def _send_packet(self, packet: bytes) -> None:
        while True:
            try:
                self._socket.send(packet, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                await self._writable()
            else:
                return

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(self._socket, settle, writable, None, None)
        try:
            await writable
        finally:
            loop.remove_writer(self._socket)

    def _readable(self) -> None:
        for _ in range(_TURN):
            try:
                packet = self._socket.recv(_READ)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # Said once where the other end has gone before it had read all; what it had sent comes after that.
                continue
            except OSError:
                packet = b""
            if not packet:
                self._end()
                return
            try:
                self._take(packet)
            except Exception:
                # What came after it would be taken for something that it is not.
                _logger.exception("a message could not be taken, which is a defect of umlaut_async")
                self._end()
                return

    def _take(self, packet: bytes) -> None:
        if packet[0] == SIGNAL_TAG:
            _, kind, series, call, started = SIGNAL.unpack(packet)
            self._signal(kind, series, call, started)
        elif packet[0] == WHOLE_TAG:
            self._message(packet[1:])
        else:
            self._parts.append(packet[1:])
            if packet[0] == LAST_TAG:
                message, self._parts = b"".join(self._parts), []
                self._message(message)

    def _end(self) -> None:
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._ended.set()

    def close(self) -> None:
        """Let go of the connection."""
        self._end()
        close(self._socket)

    def forget(self) -> None:
        """Let go of it in a forked child, where it is the parent's."""
        close(self._socket)
