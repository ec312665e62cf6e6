"""Sweep away the folders in which the collectors of killed runs were reached, which nobody else would remove."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import time
from contextlib import suppress

from umlaut_async import originals
from umlaut_async.collector import registry
from umlaut_async.collector.address import SOCKET, bases
from umlaut_async.store.journal import network_file_system

_NAME = re.compile(r"umlaut-([1-9][0-9]*)-[0-9a-f]{12}")
_AGE = 60.0
"""How many seconds a folder is left alone: its collector may be about to listen."""


def sweep() -> None:
    """Remove what is deserted, of this user alone."""
    registry.sweep()
    for base in bases():
        # Whoever listens on another machine cannot be told from nobody.
        if network_file_system(base) is None:
            with suppress(OSError), os.scandir(base) as entries:
                for entry in entries:
                    if (name := _NAME.fullmatch(entry.name)) and not _lives(int(name[1])):
                        with suppress(OSError):
                            _remove_deserted(entry.path)


def _lives(pid: int) -> bool:
    """Return whether there is a process: one whose collector was killed still has its children know of the run."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove_deserted(folder: str) -> None:
    # By a descriptor, so that it is one folder all the time, and never what a link leads to.
    descriptor = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        is_ours = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
        if is_ours and status.st_mtime < time.time() - _AGE and _refuses(f"/proc/self/fd/{descriptor}/{SOCKET}"):
            with suppress(FileNotFoundError):
                os.unlink(SOCKET, dir_fd=descriptor)
            os.rmdir(folder)
    finally:
        os.close(descriptor)


def _refuses(path: str) -> bool:
    with originals.new_socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
        knocking.setblocking(False)
        return knocking.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
