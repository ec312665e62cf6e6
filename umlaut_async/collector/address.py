"""Where the collector of a run is reached by the other processes of the run, told from process to process."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import NamedTuple

VARIABLE = "UMLAUT_COLLECTOR"
"""The environment variable that children inherit."""
SOCKET = "collector"
"""The name of the socket in its folder."""
_BETWEEN, _WITHIN = ";", ","
_LONGEST = 100
"""How many bytes the path of a socket may have; the systems allow 104 or 108."""
_ALONE = "processes that this one starts cannot join its run and begin others (%s); set TMPDIR to a folder for sockets"
_logger = logging.getLogger("umlaut_async")


class Address(NamedTuple):
    """The collector of a run."""

    socket: str
    """The path of its socket, in a folder of its own that is nobody else's."""
    run: str
    """The uuid of the run."""
    database: str
    """The key of its database, see `Location.key`: children may show their environment to anybody."""
    pid: int
    """The process that began the run."""

    @property
    def is_in_use(self) -> bool:
        """Whether the run may still go on: the folder is made before anybody is told of it, and goes with the run."""
        return os.path.isdir(os.path.dirname(self.socket))


def new_address(run: str, database: str) -> Address | None:
    """Make a folder for the socket of a run; None where its path would be too long or there can be none."""
    if sys.platform != "linux":
        return None  # Other systems have no sockets of packets.
    pid, why = os.getpid(), []
    for base in bases():
        path = f"{base}/umlaut-{pid}-{os.urandom(6).hex()}/{SOCKET}"
        if len(os.fsencode(path)) > _LONGEST:
            why.append(f"the path {base} is too long")
            continue
        try:
            os.mkdir(os.path.dirname(path), 0o700)
        except OSError as error:
            why.append(f"{base}: {error.strerror}")
        else:
            return Address(path, run, database, pid)
    _logger.warning(_ALONE, "; ".join(why))
    return None


def bases() -> list[str]:
    """Return the folders in which that of a socket may lie, the best first."""
    # Not by tempfile, which takes milliseconds to import: this is on the path of the first call.
    found = (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp")
    return [base for base in dict.fromkeys(found) if base]


def remove(address: Address) -> None:
    """Remove the folder of a collector that has ended, or could not begin."""
    with suppress(OSError):
        os.unlink(address.socket)
    with suppress(OSError):
        os.rmdir(os.path.dirname(address.socket))


_own: dict[Address, None] = {}
"""The collectors of the runs that this process has begun and not ended."""


def publish(address: Address) -> None:
    """Let the processes that this one starts know of a collector."""
    _own[address] = None
    _store(without=None)


def withdraw(address: Address) -> None:
    """Let them know no longer, since the run has ended."""
    _own.pop(address, None)
    _store(without=address)


def inherited() -> list[Address]:
    """Return the collectors that this process knows of: those of its ancestors, and of its own runs."""
    if not (told := os.environ.get(VARIABLE)):
        return []
    from urllib.parse import unquote

    addresses = []
    for entry in told.split(_BETWEEN):
        fields = [unquote(field) for field in entry.split(_WITHIN)]
        if len(fields) == len(Address._fields) and fields[-1].isdecimal():
            addresses.append(Address(fields[0], fields[1], fields[2], int(fields[3])))
    return addresses


def begun_within(database: str) -> bool:
    """Return whether this process was begun within a run into this database, be it over or not."""
    return bool(_of_ancestors(database))


def _of_ancestors(database: str) -> list[Address]:
    return [address for address in inherited() if address.database == database and address.pid != os.getpid()]


def _store(without: Address | None) -> None:
    # Runs begin and end in several threads: whoever writes last has looked at all that they did before.
    while True:
        others = [other for other in inherited() if other.pid != os.getpid() and other != without]
        own = [address for address in _own.copy() if address.pid == os.getpid()]
        _write([*others, *own])
        if own == [address for address in _own.copy() if address.pid == os.getpid()]:
            return


def _write(addresses: list[Address]) -> None:
    # Not by json: this is on the path of the first call, and imported by the check of the path before.
    from urllib.parse import quote

    if addresses:
        entries = (_WITHIN.join(quote(str(field), safe="/") for field in address) for address in addresses)
        os.environ[VARIABLE] = _BETWEEN.join(entries)
    else:
        # `pop` looks first and then deletes, and another thread may have deleted it in between.
        with suppress(KeyError):
            del os.environ[VARIABLE]
