"""Two small processes beside `umlaut run`: one says who got a signal, the other wakes it when its command goes on.

The witness is in its process group. What is sent to the whole group comes to the witness too, and stops it too.
The waker is in a session of its own, where nothing stops it: a process that is stopped cannot see that its child goes
on, and the kernel tells nobody but the parent. It is the parent of the witness, so it sees at once that the group was
stopped, and it looks at states only as long as something is stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path

from umlaut_async.commands.held import FIRST, let_go_of_streams, pipe

_PATIENCE = 0.002
"""How many seconds the witness waits for a signal. The kernel sends it to the youngest of a group first."""
_FORGET = 255
"""What the waker sends instead of the number of a signal, after it has continued the witness."""
_COMMAND = struct.Struct("@q?")
"""What the waker is sent: the pid of the command, and whether its parent is about to stop with it."""
_LOOK, _SELDOM, _LATER = 0.02, 0.5, 100
"""How many seconds lie between two looks at what is stopped, at first and at most, and how slowly they become more."""
_STOPPING = 1.0
"""How many seconds a process may take to stop that was sent the signal."""
_STOPPED = ("T", "t")


def state(pid: int) -> str | None:
    """Return the letter of the state of a process; None where it cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return None


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, as far as is known."""
    return state(pid) in (*_STOPPED, None)


class Companions:
    """Make them while the signals are blocked and this process has one thread: they are forked from it."""

    def __init__(self) -> None:
        self._asking, asked = _pair(socket.SOCK_STREAM)
        self._telling, told = _pair(socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self._waker = os.fork()
        if self._waker == 0:
            try:
                self._telling.close()
                witness = os.fork()
                if witness == 0:
                    told.close()
                    self._asking.close()
                    _testify(asked)
                else:
                    asked.close()
                    _Waker(parent, witness, told, self._asking).run()
                    os.kill(witness, signal.SIGKILL)
                    os.waitpid(witness, 0)
            finally:
                os._exit(0)
        asked.close()
        told.close()

    def saw(self, number: int) -> bool:
        """Return whether the signal that has just come was sent to all processes of the group."""
        with contextlib.suppress(OSError):
            self._asking.sendall(bytes((number,)))
            return self._asking.recv(1) == b"\1"
        return False

    def woke(self, came: signal.struct_siginfo) -> bool:
        """Return whether a signal was sent by the waker."""
        return came.si_pid == self._waker

    def watch(self, command: int, *, stopping: bool) -> None:
        """Say which process the command is.

        Args:
            command: Its pid.
            stopping: Whether this process is about to stop, since the command has.
        """
        with contextlib.suppress(OSError):
            self._telling.sendall(_COMMAND.pack(command, stopping))

    def close(self) -> None:
        """Let them end."""
        self.forget()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._waker, 0)

    def forget(self) -> None:
        """Let go of them in a forked child."""
        self._asking.close()
        self._telling.close()


def _testify(asked: socket.socket) -> None:
    let_go_of_streams(FIRST)
    while number := asked.recv(1):
        if number[0] == _FORGET:
            signal.sigtimedwait({signal.SIGCONT}, 0)
            continue
        came = signal.sigtimedwait({number[0]}, _PATIENCE)
        if came is not None and came.si_pid == os.getppid():
            came = signal.sigtimedwait({number[0]}, _PATIENCE)
        asked.sendall(b"\0" if came is None else b"\1")


class _Waker:
    """Continues its parent when the command goes on, or ends, and the witness when the parent goes on.

    Args:
        parent: The process that the others are about.
        witness: The child of this process.
        told: Where the parent says what the command is.
        asking: Where the witness is reached.
    """

    def __init__(self, parent: int, witness: int, told: socket.socket, asking: socket.socket) -> None:
        self._parent, self._witness, self._told, self._asking = parent, witness, told, asking
        self._command = 0
        self._stopping = self._group_stopped = self._parent_stopped = False
        """What is known to be: the parent stops with its command; the whole group was stopped; the parent is."""
        self._since = 0.0

    def run(self) -> None:
        """Watch until the parent lets go of this process, or has ended."""
        os.setsid()
        let_go_of_streams(FIRST)
        woken, waking = pipe()
        os.set_blocking(waking, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        while True:
            ready = select.select([self._told.fileno(), woken], [], [], self._pause())[0]
            if woken in ready:
                os.read(woken, 4096)
                self._look_at_witness()
            if self._told.fileno() in ready:
                if not (message := self._told.recv(_COMMAND.size)):
                    return
                self._command, self._stopping = _COMMAND.unpack(message)
                self._since = time.monotonic()
            if self._stopping or self._group_stopped:
                self._look()

    def _pause(self) -> float | None:
        if not (self._stopping or self._group_stopped):
            return None
        return min(_LOOK + (time.monotonic() - self._since) / _LATER, _SELDOM)

    def _look_at_witness(self) -> None:
        with contextlib.suppress(ChildProcessError):
            changes = os.WSTOPPED | os.WCONTINUED | os.WEXITED | os.WNOHANG
            while (seen := os.waitid(os.P_PID, self._witness, changes)) is not None:
                self._group_stopped = seen.si_code == os.CLD_STOPPED
                self._parent_stopped = False
                self._since = time.monotonic()

    def _look(self) -> None:
        if state(self._parent) in _STOPPED:
            self._parent_stopped = True
            if self._command and not is_stopped(self._command) and (self._stopping or self._is_in_group()):
                os.kill(self._parent, signal.SIGCONT)
        elif self._group_stopped and (self._parent_stopped or time.monotonic() > self._since + _STOPPING):
            self._group_stopped = False
            if is_stopped(self._witness):
                os.kill(self._witness, signal.SIGCONT)
                self._asking.sendall(bytes((_FORGET,)))

    def _is_in_group(self) -> bool:
        """Return whether what has stopped the group has stopped the command."""
        with contextlib.suppress(ProcessLookupError):
            return os.getpgid(self._command) == os.getpgid(self._witness)
        return False


def _pair(kind: int) -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, neither of which has the number of a standard stream that is closed."""
    one, other = (_clear_of_streams(end) for end in socket.socketpair(socket.AF_UNIX, kind))
    return one, other


def _clear_of_streams(end: socket.socket) -> socket.socket:
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST))
