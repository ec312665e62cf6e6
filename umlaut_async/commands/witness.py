"""A process that tells whether a signal came to the whole process group, or to this process alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket

from umlaut_async.commands.held import FIRST, let_go_of_streams

_PATIENCE = 0.002
"""How many seconds it waits for a signal. The kernel sends it to the youngest of a group first."""


class Witness:
    """Make it while the signals are blocked and this process has one thread: it is forked from it."""

    def __init__(self) -> None:
        self._asking, asked = (_clear_of_streams(end) for end in socket.socketpair())
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._asking.close()
                _testify(asked)
            finally:
                os._exit(0)
        asked.close()

    def saw(self, number: int) -> bool:
        """Return whether the signal that has just come was sent to all processes of the group."""
        with contextlib.suppress(OSError):
            self._asking.sendall(bytes((number,)))
            return self._asking.recv(1) == b"\1"
        return False

    def close(self) -> None:
        """Let it end."""
        self._asking.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def forget(self) -> None:
        """Let go of it in a forked child."""
        self._asking.close()


def _testify(asked: socket.socket) -> None:
    let_go_of_streams(FIRST)
    while number := asked.recv(1):
        asked.sendall(b"\0" if signal.sigtimedwait({number[0]}, _PATIENCE) is None else b"\1")


def _clear_of_streams(end: socket.socket) -> socket.socket:
    """Return a socket in the place of one that may have the number of a standard stream that is closed."""
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST))
