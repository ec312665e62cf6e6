"""Replace a database file, as mode 'w' does when its run begins."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from umlaut_async.errors import StoreBusyError
from umlaut_async.store.files import regular_file, system_errors
from umlaut_async.store.location import check_identity, is_alive, reading, take_back

if TYPE_CHECKING:
    from umlaut_async.store.location import Location

__all__ = ["Replacing", "replace"]

_NOT_REPLACED = "%s is not replaced: another process has begun run %s in it meanwhile, to which this run is added"
_logger = logging.getLogger("umlaut_async")


class Replacing(NamedTuple):
    """Who means to replace a file."""

    pid: int
    """The process whose run begins."""
    since: int
    """Since when, in nanoseconds since the epoch. What others record from then on may belong to the same work: workers
    may well record before the process that has started them."""
    is_worker: bool = False
    """Whether it is such a worker."""

    @classmethod
    def from_now_on(cls) -> Self:
        """Return that this process means to."""
        if not _is_worker():
            return cls(os.getpid(), time.time_ns())
        return cls.in_worker_of(os.getppid())

    @classmethod
    def in_worker_of(cls, employer: int) -> Self:
        """Return that this process means to, which is a worker of another one."""
        # Others of its kind may have recorded before it, but not before the process that starts them all.
        import psutil

        try:
            since = int(psutil.Process(employer).create_time() * 1e9)
        except psutil.Error:
            since = 0
        return cls(os.getpid(), since, is_worker=True)

    def in_worker(self) -> Self:
        """Return that a process which was forked meanwhile means to."""
        return type(self)(os.getpid(), self.since, is_worker=True)


def _is_worker() -> bool:
    """Return whether this process was started by multiprocessing."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is None:
        return False
    # The first is not known yet while a spawned process imports the script, which is when benchmarks are made.
    return processes.parent_process() is not None or getattr(processes.current_process(), "_inheriting", False)


def replace(location: Location, joining: str | None = None, by: Replacing | None = None) -> None:
    """Delete the database with its log files, as mode 'w' does when its run starts.

    Args:
        location: The database.
        joining: The run that others may have begun already: a database that has it is left as it is.
        by: Who replaces it: one in which others have begun a run since is left as it is, which is said.

    Raises:
        StoreBusyError: A living process of this machine is writing it.
        StoreError: It became a file that is not ours since `look`, or cannot be deleted.
    """
    path = location.path
    if path is None:
        return
    with system_errors(path):
        found = regular_file(path)
        if found is None:
            return
        take_back(path)
        if found.st_size and check_identity(path, "w"):
            if joining is not None and _has_run(path, joining):
                return
            if by is not None and (run := _begun_by_others(path, by)) is not None:
                _logger.log(logging.INFO if by.is_worker else logging.WARNING, _NOT_REPLACED, location.name, run[:8])
                return
            _refuse_while_written(path)
        # The log goes last: without its database it is ignored, while a database without its log may be damaged.
        for name in (path, f"{path}-journal", f"{path}-wal", f"{path}-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _has_run(path: str, uuid: str) -> bool:
    with reading(path) as connection:
        return connection.execute("SELECT 1 FROM run WHERE uuid = ?", (uuid,)).fetchone() is not None


def _begun_by_others(path: str, by: Replacing) -> str | None:
    """Return a run that another process has begun in a file since then."""
    with reading(path) as connection:
        found = connection.execute(
            "SELECT run.uuid FROM run JOIN process ON process.run_uuid = run.uuid"
            " WHERE run.started >= ? AND NOT (process.host = ? AND process.pid = ?) LIMIT 1",
            (by.since, socket.gethostname(), by.pid),
        ).fetchone()
    return None if found is None else str(found[0])


def _refuse_while_written(path: str) -> None:
    with reading(path) as connection:
        running = connection.execute(
            "SELECT run.uuid, process.pid, process.pid_started FROM run JOIN process ON process.run_uuid = run.uuid"
            " WHERE run.status = 'running' AND process.ended IS NULL AND process.host = ?",
            (socket.gethostname(),),
        ).fetchall()
    for uuid, pid, pid_started in running:
        if is_alive(pid, pid_started):
            writer = "this process" if pid == os.getpid() else f"process {pid}"
            raise StoreBusyError(
                f"{writer} is still writing run {uuid[:8]} into {path}; close that benchmark first, "
                "or use mode 'a' or another path"
            )
