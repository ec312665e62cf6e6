"""Listen for the other processes of a run, and take those in that may come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.collector.channel import CREDENTIALS, close, private
from umlaut_async.collector.room import PAUSE, is_lack_of_room

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("umlaut_async")

_BACKLOG = 512
_ROOT = 0


def listening_socket(path: str) -> socket.socket:
    """Return a socket that listens at a path.

    Raises:
        OSError: It cannot.
    """
    listening = originals.new_socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with contextlib.suppress(FileNotFoundError):  # That of a collector which has died.
            os.unlink(path)
        listening.bind(path)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class Listener:
    """Takes connections on the running loop.

    Args:
        path: The path of the socket.
        listening: The socket.
        came: Takes the connections.
    """

    def __init__(self, path: str, listening: socket.socket, came: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._came = came
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._socket = listening
        self._socket.setblocking(False)
        private(self._socket)
        self._listen()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._knocked)

    def _knocked(self) -> None:
        try:
            connected, _ = self._socket.accept()
        except OSError as error:
            if is_lack_of_room(error):
                # It would be told of the same knock again and again. Who knocks waits meanwhile.
                self._loop.remove_reader(self._socket)
                self._pause = self._loop.call_later(PAUSE, self._listen)
            return
        if (user := _user_of(connected)) in (_ROOT, os.geteuid()):
            self._came(connected)
        else:
            _logger.warning("a process of another user (%d) wanted to take part in the run, and was sent away", user)
            connected.close()

    def close(self) -> None:
        """Listen no longer."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        close(self._socket)
        with contextlib.suppress(OSError):
            os.unlink(self._path)


def _user_of(connected: socket.socket) -> int:
    """Return the user of the process at the other end."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, user, _ = CREDENTIALS.unpack(credentials)
    return int(user)
