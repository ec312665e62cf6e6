"""The runs that processes take part in, so that the processes which they have started find the run that is open now.

The environment of a process tells it what was true when it was started. A worker may be older than the run, as those of
a fork server or of a pool that is kept, and several workers may record before the process that has started them all.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.collector.address import Address, bases, inherited

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_FIELD, _PARENT_FIELD = 22, 4
_GENERATIONS = 32
"""How many ancestors are asked."""


class Identity(NamedTuple):
    """A process: a pid alone is used again."""

    pid: int
    started: int
    """As the kernel has it, in ticks since the machine was started."""


def identity(pid: int) -> Identity | None:
    """Return the identity of a process; None where there is none, or it cannot be known."""
    fields = _stat(pid)
    return None if fields is None else Identity(pid, int(fields[_START_FIELD - 3]))


def is_alive(process: Identity) -> bool:
    """Return whether a process has not ended, whether or not somebody has waited for it."""
    fields = _stat(process.pid)
    return fields is not None and int(fields[_START_FIELD - 3]) == process.started and fields[0] not in b"ZX"


def parent(pid: int) -> int | None:
    """Return the parent of a process."""
    fields = _stat(pid)
    return None if fields is None else int(fields[_PARENT_FIELD - 3])


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The first field here is the third of the file.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def enter(address: Address, process: Identity, kind: str = "") -> None:
    """Note that a process has begun a run; this replaces the one that it has begun before, in the same database.

    Args:
        address: The collector of the run.
        process: The process.
        kind: Which run, where its workers have begun it in its name; see `Benchmark`.
    """
    if (folder := _own_folder()) is None:
        return
    path = os.path.join(folder, _name(address.database, process, kind))
    with suppress(OSError):
        # As a whole or not at all: others may read it just now.
        with open(f"{path}.{os.getpid()}", "w", opener=_private) as file:
            file.write("\0".join(map(str, address)))
        os.replace(file.name, path)


def leave(address: Address, process: Identity, kind: str = "") -> None:
    """Note that a run that a process has begun has ended."""
    for folder in _folders():
        path = os.path.join(folder, _name(address.database, process, kind))
        if _read(path) == address:
            with suppress(OSError):
                os.unlink(path)


def find(database: str, process: Identity, kind: str = "") -> Address | None:
    """Return the collector of the run into a database that a process has begun, if that may still go on."""
    for folder in _folders():
        found = _read(os.path.join(folder, _name(database, process, kind)))
        if found is not None and found.database == database and found.is_in_use:
            return found
    return None


def collector_for(
    database: str, run: str | None = None, kind: str | None = None, of_copies: str | None = None
) -> Address | None:
    """Return the collector of a run into this database in which this process was started, or that its workers share.

    Args:
        database: The key of the database.
        run: The run, where it is only this one.
        kind: Which of those that its workers have begun.
        of_copies: Which of those that an ancestor has begun is looked for first, and which that any other process has
            begun last, where there is one only: a scheduler may have started this process.
    """
    for process in _lineage():
        kinds = (kind,) if process.pid == os.getpid() else (of_copies, "")
        for found in (find(database, process, each) for each in kinds if each is not None):
            if found is not None and run in (None, found.run):
                return found
    told = [each for each in inherited() if each.database == database and each.pid != os.getpid()]
    fitting = [each for each in told if run in (None, each.run) and each.is_in_use]
    if not fitting and of_copies is not None:
        others = _begun_anywhere(database, of_copies)
        fitting = [each for each in others if run in (None, each.run)] if len(others) == 1 else []
    return fitting[-1] if fitting else None


def _begun_anywhere(database: str, kind: str) -> list[Address]:
    """Return the collectors of all open runs of a kind that other processes of this user have begun here."""
    found: dict[Address, None] = {}
    digest = _digest(database, kind)
    for folder in _folders():
        with suppress(OSError):
            for name in os.listdir(folder):
                words = name.split("-")
                if words[0] != digest or len(words) != 3 or not (words[1].isdecimal() and words[2].isdecimal()):
                    continue
                address = _read(os.path.join(folder, name))
                if address is None or address.database != database or address.pid == os.getpid():
                    continue
                if address.is_in_use and is_alive(Identity(int(words[1]), int(words[2]))):
                    found[address] = None
    return list(found)


def _lineage() -> Iterator[Identity]:
    """Yield this process and its ancestors, the nearest first."""
    pid: int | None = os.getpid()
    for _ in range(_GENERATIONS):
        if pid is None or pid <= 0 or (process := identity(pid)) is None:
            return
        yield process
        pid = parent(pid)


@contextmanager
def alone(database: str, process: Identity, kind: str) -> Iterator[int]:
    """Yield a file by which the workers of a process can take turns.

    Args:
        database: The key of their database.
        process: The process.
        kind: Which run they mean.

    Raises:
        OSError: There can be none here.
    """
    if (folder := _own_folder()) is None:
        raise OSError("there is no folder for the addresses of runs")
    descriptor = _private(
        os.path.join(folder, f"{_name(database, process, kind)}.turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    )
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _name(database: str, process: Identity, kind: str) -> str:
    return f"{_digest(database, kind)}-{process.pid}-{process.started}"


def _digest(database: str, kind: str) -> str:
    return hashlib.sha256(f"{database}\0{kind}".encode(errors="replace")).hexdigest()[:24]


def _folders() -> list[str]:
    """Return the folders in which entries may be, which nobody else can have written."""
    if sys.platform != "linux":
        return []
    return [folder for base in bases() if _is_private(folder := f"{base}/umlaut-{os.geteuid()}")]


def _own_folder() -> str | None:
    """Return the folder for entries, which is made where there is none."""
    if sys.platform != "linux":
        return None
    for base in bases():
        folder = f"{base}/umlaut-{os.geteuid()}"
        with suppress(OSError):
            os.mkdir(folder, 0o700)
        if _is_private(folder):
            return folder
    return None


def _is_private(folder: str) -> bool:
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _read(path: str) -> Address | None:
    try:
        with open(path, opener=_private) as file:
            socket, run, database, pid = file.read(1 << 16).split("\0")
        return Address(socket, run, database, int(pid))
    except (OSError, ValueError):
        return None


def sweep() -> None:
    """Remove the entries of processes that have ended, which were killed."""
    for folder in _folders():
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                words = entry.name.partition(".")[0].split("-")
                if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal():
                    process = Identity(int(words[1]), int(words[2]))
                    if not is_alive(process):
                        with suppress(OSError):
                            os.unlink(entry.path)
