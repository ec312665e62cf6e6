"""The CPU time of a tree of processes, as one reading."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from umlaut_async.clock import now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from umlaut_async.probes.tree_sources import Source


_TRIES = 5
_AT_ONCE = 30_000
_PER_CLOCK = 5_000
"""Nanoseconds in which clocks are read where nothing comes between."""


class TreeTime(int):
    """The CPU time of a tree in nanoseconds, and what is to be known beside it."""

    own: int
    """The part of the root."""
    at: int
    """When the clocks were read."""

    def __new__(cls, total: int, own: int, at: int) -> Self:
        made = super().__new__(cls, total)
        made.own, made.at = own, at
        return made

    @property
    def others(self) -> int:
        """What all processes but the root have used."""
        return int(self) - self.own


def others_stood_still(earlier: TreeTime | None, later: TreeTime) -> bool:
    """Return whether no process but the root has used any CPU time between two readings; None is the beginning."""
    return later.others == (0 if earlier is None else earlier.others)


def read_clocks(source: Source, pids: Sequence[int], here: bool) -> tuple[list[int | None], int]:
    """Read the CPU clocks of processes at one moment, and tell the moment.

    Nothing here is a system call at which another thread could take the interpreter, and with it some milliseconds.

    Args:
        source: Where the processes are read.
        pids: The processes.
        here: Whether this process may be among them, under the pid that it knows.
    """
    own = os.getpid() if here else None
    for _ in range(_TRIES):
        began = now()
        clocks = [time.process_time_ns() if pid == own else _clock(source, pid) for pid in pids]
        at = now()
        # Else this thread did not run all the time, and it cannot be told when the clocks were read.
        if at - began < _AT_ONCE + len(pids) * _PER_CLOCK:
            break
    return clocks, (began + at) // 2


def _clock(source: Source, pid: int) -> int | None:
    try:
        return source.cpu_clock(pid)
    except OSError:
        return None  # It has just ended.
