"""A lock between processes, in a file of its own beside a database."""

from __future__ import annotations

import fcntl
import os
import random
import time
import weakref
from typing import TYPE_CHECKING

from umlaut_async.errors import StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LockFile"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.01
"""Seconds between two looks at a lock that another one holds."""

_open: weakref.WeakSet[LockFile] = weakref.WeakSet()


class LockFile:
    """A lock that the kernel frees when its holder dies.

    It is not on the database itself: closing any descriptor of that would free the locks that SQLite has on it. Each
    object locks out every other one, in this process too. Only one thread at a time may use it.

    Args:
        path: The file; made when it is first needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.held = False
        self._descriptor: int | None = None

    def acquire(self, seconds: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait for the lock.

        Args:
            seconds: How long to wait for others.
            given_up: Asked meanwhile whether nobody wants it any more.

        Raises:
            StoreBusyError: Others held it all the time, or nobody wants it any more.
            StoreError: The file cannot be made or locked.
        """
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while not self._tried():
            if time.monotonic() > deadline or given_up():
                raise StoreBusyError(
                    f"{self.path} was held by another process for {seconds:g} s; end the process that hangs while it "
                    "writes, or use another path"
                )
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
        self.held = True

    def release(self) -> None:
        """Let others have it; if it is not held, do nothing."""
        if self.held:
            self.held = False
            assert self._descriptor is not None
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def remove(self) -> None:
        """Delete the file, while the lock is held; whoever waits for it will make a new one."""
        os.unlink(self.path)

    def close(self) -> None:
        """Let go of the lock and of the file."""
        self.release()
        self.forget()

    def forget(self) -> None:
        """Close the file without freeing the lock, which may be another process's by now."""
        self.held = False
        _open.discard(self)
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _tried(self) -> bool:
        try:
            return self._try()
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be locked: {error.strerror or error}; check the permissions of the folder"
            ) from error

    def _try(self) -> bool:
        if self._descriptor is None:
            self._descriptor = self._opened()
            _open.add(self)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if self._is_current():
            return True
        # The last holder removed it, so what is locked here locks nobody out.
        self.close()
        return self._try()

    def _opened(self) -> int:
        try:
            # Of another user's file, reading is all that is allowed, and enough.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _is_current(self) -> bool:
        assert self._descriptor is not None
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))


def _close_in_child() -> None:
    # A lock belongs to the open file, which a forked child shares: it would hold it on after the death of the parent.
    for lock in list(_open):
        lock.forget()


os.register_at_fork(after_in_child=_close_in_child)
