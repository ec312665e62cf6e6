"""How SQLite may keep a database whole: what its version and the file system of the database allow."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Journal", "choose", "loses_commits", "network_file_system"]

# From the kernel's linux/magic.h and from the sources of those that are not part of it.
_NETWORK_FILE_SYSTEMS = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x20030528: "OrangeFS",
    0xAAD7AAEA: "PanFS",
    0xBEEFDEAD: "StorNext",
    0x013111A8: "IBRIX",
    0x61636673: "ACFS",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x01021997: "9p",
    0xBACBACBC: "a shared folder of VMware",
    0x786F4256: "a shared folder of VirtualBox",
    0x7C7C6673: "a shared folder of Parallels",
    # Most of these are remote (sshfs, GlusterFS, S3), and which one it is cannot be told.
    0x65735546: "FUSE",
}


class Journal(NamedTuple):
    """How a database is written."""

    log: bool
    """Whether there is a write-ahead log; else a rollback journal, and every commit is synced."""
    lock: bool
    """Whether one lock is held in every write transaction and at every checkpoint."""
    file_system: str | None
    """The network file system that allows no log; None where there is none."""


def choose(
    path: str,
    version: tuple[int, ...] = sqlite3.sqlite_version_info,
    statfs: Callable[[str], int | None] | None = None,
) -> Journal:
    """Return how a database is to be written.

    Args:
        path: The file, in a folder that is there.
        version: The version of SQLite.
        statfs: Returns the magic number of the file system of a folder.
    """
    name = network_file_system(os.path.dirname(path), statfs or magic_number)
    if name is not None:
        return Journal(log=False, lock=False, file_system=name)
    return Journal(log=True, lock=loses_commits(version), file_system=None)


def loses_commits(version: tuple[int, ...]) -> bool:
    """Tell whether a version of SQLite may lose data where a checkpoint meets a commit of another connection.

    It came with the log in 3.7.0, and was mended in 3.51.3 and, for those who stay, in 3.50.7 and 3.44.6.

    Args:
        version: Its three numbers.
    """
    if version[:2] in ((3, 44), (3, 50)):
        return version < ((3, 44, 6) if version[1] == 44 else (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3)


def network_file_system(folder: str, statfs: Callable[[str], int | None] | None = None) -> str | None:
    """Return the name of the network file system that a folder is on; None if it is on none, or nobody can tell.

    A log needs memory that all its readers and writers share, which these do not have, and locks that work, which they
    do not always have.

    Args:
        folder: The folder.
        statfs: Returns the magic number of the file system of a folder, or None.
    """
    number = (statfs or magic_number)(folder)
    return None if number is None else _NETWORK_FILE_SYSTEMS.get(number & 0xFFFFFFFF)


def magic_number(folder: str) -> int | None:
    """Return the number by which Linux names the file system of a folder; None elsewhere, or where it does not say."""
    if not sys.platform.startswith("linux"):
        return None
    # The kernel's structure has about 120 bytes, and begins with the number, a long nearly everywhere.
    answer = ctypes.create_string_buffer(512)
    try:
        failed = ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder or "."), answer)
    except (AttributeError, OSError):
        return None
    return None if failed else ctypes.c_ulong.from_buffer(answer).value & 0xFFFFFFFF
