"""How another process ended, as far as the kernel tells it to who is not its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
from pathlib import Path

from umlaut_async.records import UNKNOWN

_PATIENCE = 2.0
"""How many seconds after the end of its connection a process is waited for."""
_GET_INFO = 0xC040FF0B
"""The request PIDFD_GET_INFO of Linux 6.13."""
_INFO = struct.Struct("=QQ11Ii")
_EXIT = 1 << 3
"""In its mask: the status of a process that its parent has waited for, since Linux 6.15."""
_STATUS_FIELD = 52


class Watch:
    """Watches one process, so that nothing else is taken for it.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor: int | None = None
        with contextlib.suppress(AttributeError, OSError):
            self._descriptor = os.pidfd_open(pid)

    async def ended(self, patience: float | None = _PATIENCE) -> bool:
        """Wait for its end, at most this many seconds; return whether it has ended, as far as can be told."""
        if self._descriptor is None:
            return not Path(f"/proc/{self._pid}").exists()
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._descriptor, readable.set)
        try:
            async with asyncio.timeout(patience):
                await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._descriptor)
        return True

    async def how(self) -> str:
        """Return in words how it ended, once its connection has."""
        if not await self.ended():
            return "went on without its collector: it closed the connection, or became another program by exec"
        status = self._status_of_zombie()
        if status is None:
            status = self._status_of_reaped()
        return UNKNOWN if status is None else described(status)

    def _status_of_zombie(self) -> int | None:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        # The first field here is the third of the file.
        if fields[0] != b"Z" or len(fields) <= _STATUS_FIELD - 3:
            return None
        return int(fields[_STATUS_FIELD - 3])

    def _status_of_reaped(self) -> int | None:
        if self._descriptor is None:
            return None
        import fcntl

        asked = bytearray(_INFO.pack(_EXIT, *[0] * 13))
        try:
            fcntl.ioctl(self._descriptor, _GET_INFO, asked)
        except OSError:
            return None
        mask, *_, status = _INFO.unpack(asked)
        return status if mask & _EXIT else None

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_orderly(how: str) -> bool:
    """Return whether a worker that ended so was ended as workers are, as a rule: it has lost nothing but open calls."""
    return how in (UNKNOWN, described(signal.SIGTERM), described(0))


def described(status: int) -> str:
    """Return in words what a status as of `waitpid` says."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"killed by {name}"
    return f"exited with code {os.waitstatus_to_exitcode(status)} without closing"
