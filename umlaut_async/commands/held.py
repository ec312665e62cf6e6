"""A process that waits for a word, and then becomes a command: as it would be if nobody measured it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST = 3
"""The first descriptor that is none of the standard streams."""
_GO = b"\n"
_LOOK = 0.02
_SET_BY_PYTHON = ("LC_CTYPE",)


class HeldCommand:
    """A command that has not begun yet. It is forked at once, while this process is small and has one thread.

    Args:
        command: The program and its arguments.
        mask: The signals that are blocked in it.
    """

    def __init__(self, command: Sequence[str], mask: set[int | signal.Signals]) -> None:
        told, self._tell = pipe()
        self._failed, failing = pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._tell)
                os.close(self._failed)
                _become(command, mask, told, failing)
            finally:
                os._exit(1)
        os.close(told)
        os.close(failing)

    def go(self, variables: Mapping[str, str | None]) -> int:
        """Let the command begin; return 0, or the error number for which it could not.

        Args:
            variables: Environment variables that it gets beside those that it would have.
        """
        given = [f"{name}={value}".encode(errors="surrogateescape") for name, value in variables.items() if value]
        with contextlib.suppress(OSError), open(self._tell, "wb") as tell:  # It may have been killed already.
            tell.write(_GO + b"\0".join(given))
        with open(self._failed, "rb") as failed:
            # Its other end is closed when the command takes the place of the process, which a signal may stop before.
            while not select.select([failed], [], [], _LOOK)[0]:
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None:
                    return 0
            return int(failed.read() or 0)

    def release(self) -> None:
        """Let the process end without having become the command."""
        os.close(self._tell)
        os.close(self._failed)
        os.waitpid(self.pid, 0)


def pipe() -> tuple[int, int]:
    """Return the two ends of a pipe, neither of which takes the place of a standard stream that is closed."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def let_go_of_streams(kept: int) -> None:
    """Let go of what a command inherits, so that it alone keeps files, pipes and locks open.

    Args:
        kept: The first of the standard streams that is kept.
    """
    empty = fcntl.fcntl(os.open(os.devnull, os.O_RDWR), fcntl.F_DUPFD_CLOEXEC, FIRST)
    for stream in range(FIRST):
        if stream < kept or not _is_open(stream):
            os.dup2(empty, stream, inheritable=False)
    os.close(empty)
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            # Whatever this program has opened itself is not inheritable.
            with contextlib.suppress(OSError):
                if int(name) >= FIRST and os.get_inheritable(int(name)):
                    os.close(int(name))


def environment() -> dict[str, str]:
    """Return the environment variables that this process was given, without what Python has added by itself."""
    variables = dict(os.environ)
    with contextlib.suppress(OSError):
        given = {entry.partition(b"=")[0] for entry in Path("/proc/self/environ").read_bytes().split(b"\0")}
        for name in _SET_BY_PYTHON:
            if name.encode() not in given:
                variables.pop(name, None)
    return variables


def execute(command: Sequence[str], variables: dict[str, str]) -> NoReturn:
    """Become a command, with what Python has changed for itself put back.

    Raises:
        OSError: It cannot be executed.
    """
    # Python ignores the first two; what it handles becomes the default by itself, but not before.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], [*command], variables)
    except OSError as error:
        found = shutil.which(command[0], path=variables.get("PATH"))
        if error.errno != errno.ENOEXEC or found is None:
            raise
        # A script without a first line that names its interpreter.
        os.execve("/bin/sh", ["sh", found, *command[1:]], variables)


def _become(command: Sequence[str], mask: set[int | signal.Signals], told: int, failing: int) -> None:
    word = b""
    while piece := os.read(told, 65536):
        word += piece
    if not word:
        return  # Who holds it has gone.
    variables = environment()
    for entry in filter(None, word[len(_GO) :].split(b"\0")):
        name, _, value = entry.decode(errors="surrogateescape").partition("=")
        variables[name] = value
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        execute(command, variables)
    except OSError as error:
        os.write(failing, str(error.errno or errno.EACCES).encode())


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
