"""The processes that this package starts itself: what they use is not to be counted as the user's."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from operator import add, sub
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from umlaut_async import originals
from umlaut_async.probes.probe import UnavailableError
from umlaut_async.probes.process import NO_IO, IOCounters
from umlaut_async.probes.tree_sources import source_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

NAME = "umlaut-helper"
"""The name of every process of this package's own, which stands in its command line too."""

_TRIES = 1000
_ALL_KINDS = 0x40000000 if sys.platform == "linux" else 0
"""Children without a signal for their end too (`__WALL`)."""


class Spent(NamedTuple):
    """What the helpers that were waited for have used: the kernel credits this process with it."""

    cpu: int = 0
    """Nanoseconds."""
    io: IOCounters = NO_IO


class Pid(Protocol):
    """Where the system writes the pid of a new process."""

    value: int


class _State:
    """What a forked child begins with anew: the helpers of its parent are not its own."""

    def __init__(self) -> None:
        self.changing = originals.lock()
        """Who only reads does without."""
        self.excluded: set[int] = set()
        self.begun: tuple[Pid, ...] = ()
        self.spent = Spent()
        self.waiting = False
        """Whether a helper is being waited for, so that `spent` may be too low."""


_state = _State()


def _begin_anew() -> None:
    global _state
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def exclude(pid: int) -> None:
    """Leave a process and its descendants out of all process trees that this process reads.

    Args:
        pid: The process. Call it before a tree is read with the process in it.
    """
    _state.excluded.add(pid)


def is_excluded(pid: int) -> bool:
    """Return whether a process is left out of process trees."""
    return pid in _state.excluded or any(pid == begun.value for begun in _state.begun)


def is_starting() -> bool:
    """Return whether a new child of this process may be a helper whose pid is not known yet."""
    return any(begun.value == 0 for begun in _state.begun)


@contextmanager
def beginning(pid: Pid) -> Iterator[None]:
    """Start a helper inside this block and `reap` it: it and its descendants are in no tree until the block's end.

    Args:
        pid: Where its pid is written as soon as it is there; 0 until then. New children of this process are not counted
            while it is.
    """
    state = _state
    with state.changing:
        state.begun = (*state.begun, pid)
    try:
        yield
    finally:
        with state.changing:
            state.begun = tuple(begun for begun in state.begun if begun is not pid)


def reap(pid: int) -> int | None:
    """Wait for a helper if it has ended, and note what it used; return its status as `os.waitpid` does, else None.

    Args:
        pid: A child of this process, of which ever kind.

    Raises:
        ChildProcessError: It was waited for already, or needs no waiting for since SIGCHLD is ignored.
    """
    state = _state
    if hasattr(os, "waitid") and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | _ALL_KINDS) is None:
        return None
    io = _io_of(pid)  # Of a zombie these are the last numbers, which this process is not credited with yet.
    with state.changing:
        state.waiting = True
        try:
            waited, status, usage = os.wait4(pid, os.WNOHANG | _ALL_KINDS)
            if not waited:
                return None
            cpu = round((usage.ru_utime + usage.ru_stime) * 1e9)
            state.spent = Spent(state.spent.cpu + cpu, IOCounters(*map(add, state.spent.io, io)))
        finally:
            state.waiting = False
    return status


def adopted() -> list[int]:
    """Return the helpers that are children of this process: the first one of a container is given all orphans."""
    source, own = source_for("/proc"), os.getpid()
    statuses = ((pid, source.status(pid)) for pid in source.children(own, len(os.listdir("/proc/self/task"))))
    return [pid for pid, status in statuses if status is not None and status.name == NAME.encode()]


def beside(read: Callable[[], T]) -> tuple[T, Spent]:
    """Return what a function reads of this process, and what of it was used by helpers.

    Args:
        read: Reads what the kernel credits this process with.
    """
    for _ in range(_TRIES):
        before = _state.spent
        value = read()
        if not _state.waiting and before is _state.spent:
            break
        time.sleep(0)
    # Who runs in the thread that waits, as a finalizer may, would never see it done.
    return value, before


def io_without(read: Callable[[], IOCounters | None]) -> IOCounters | None:
    """Return I/O counters of this process without what of it was used by helpers.

    Args:
        read: Reads them; None where they cannot be read.
    """
    counters, helped = beside(read)
    return counters and IOCounters(*map(sub, counters, helped.io))


def _io_of(pid: int) -> IOCounters:
    try:
        return source_for("/proc").io(pid) or NO_IO
    except (OSError, IndexError, UnavailableError):
        return NO_IO
