"""Who belongs to a tree of processes: found once, known by pid and start time, followed until the end."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from umlaut_async.probes import helpers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umlaut_async.probes.tree_ledger import Key
    from umlaut_async.probes.tree_sources import Source, Status

T = TypeVar("T")

_HELPER = helpers.NAME.encode()
_BEGINNING = (0, 0.0002, 0.0005)
"""Seconds to wait for a process that has no command line yet."""

_LISTING_PAUSE = 50
"""Children are listed again only after this many times the CPU time that the last listing took: at most 2 % of a core
goes into it, however large the tree."""


class Member(NamedTuple, Generic[T]):
    """A living process of the tree and what was measured of it."""

    key: Key
    parent: Key | None
    value: T | None
    """None where the process lives, but could not be read."""
    status: Status


@dataclass
class Reading(Generic[T]):
    """One walk over the tree."""

    living: list[Member[T]] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    """Processes that are found to have ended, in the order in which they were first seen."""
    fresh: bool = False
    """Whether the children were listed."""


class Family:
    """A root process and its descendants.

    A process stays known until it ends, wherever it was re-parented to. One that is new is admitted only if its parent
    is still the process whose list it was found in, so that a pid that was used again brings in nobody.

    Args:
        root: The pid of the root.
        source: Where processes are read.
    """

    def __init__(self, root: int, source: Source) -> None:
        self._root = root
        self._source = source
        self._start: int | None = None
        self._known: dict[int, Key] = {}
        """By pid, in the order in which they were found: parents stand before their children."""
        self._list_again = 0

    def read(self, measure: Callable[[int], T | None]) -> Reading[T]:
        """Measure every living process of the tree, each parent before its children.

        Args:
            measure: Takes a pid; returns None or raises OSError where it cannot read the process. What it returns is
                used only if the pid is found to be the same process afterwards.

        Raises:
            ProcessLookupError: The root has ended.
        """
        reading: Reading[T] = Reading(fresh=time.perf_counter_ns() >= self._list_again)
        self._find_root()
        began = time.thread_time_ns()
        if reading.fresh:
            self._source.begin_listing(self._root)
        listing = time.thread_time_ns() - began
        pending: deque[tuple[Key, Member[T] | None]] = deque((key, None) for key in self._known.values())
        while pending:
            key, member = pending.popleft()
            if member is None:
                value = _measured(measure, key[0])
                try:
                    status = self._source.status(key[0])
                except OSError:
                    continue  # Hidden at present: it is known, and what was last seen of it stands.
                if status is None or status.start != key[1]:
                    del self._known[key[0]]
                    reading.gone.append(key)
                    continue
                member = Member(key, self._known.get(status.parent), value, status)
            reading.living.append(member)
            if reading.fresh:
                began = time.thread_time_ns()
                pending.extend((child.key, child) for child in self._new_children(member, measure))
                listing += time.thread_time_ns() - began
        if reading.fresh:
            self._list_again = time.perf_counter_ns() + _LISTING_PAUSE * listing
        if (self._root, self._start) in reading.gone:
            raise ProcessLookupError(f"the process {self._root} has ended")
        return reading

    def adopt(self, living: Sequence[Member[Any]]) -> bool:
        """Know the processes that another walk over the same tree has found, if all that are known are among them.

        Where one is missing, it has ended, or is an orphan that the other walk came too late to find.

        Args:
            living: Each parent before its children.

        Returns:
            Whether they are what a walk would have found.
        """
        seen = {member.key[0]: member.key for member in living}
        if self._root not in seen or not self._known.items() <= seen.items():
            return False
        self._known, self._start = seen, seen[self._root][1]
        return True

    def is_same(self, key: Key) -> bool:
        """Return whether a pid still is the process that was meant."""
        try:
            status = self._source.status(key[0])
        except OSError:
            return False
        return status is not None and status.start == key[1]

    def _find_root(self) -> None:
        if self._start is None:
            status = self._source.status(self._root)
            if status is not None:
                self._start = status.start
                self._known[self._root] = (self._root, status.start)
        if self._root not in self._known:
            raise ProcessLookupError(f"the process {self._root} has ended")

    def _new_children(self, parent: Member[T], measure: Callable[[int], T | None]) -> Sequence[Member[T]]:
        pid = parent.key[0]
        try:
            listed = self._source.children(pid, parent.status.threads)
        except (OSError, ValueError):
            return ()
        # Asked in this order, after the listing: a helper in the list is still being started or known by its pid.
        if pid == os.getpid() and helpers.is_starting():
            return ()
        found: list[Member[T]] = []
        for child in listed:
            if child in self._known or helpers.is_excluded(child):
                continue
            value = _measured(measure, child)
            try:
                status = self._source.status(child)
                if status is None or self._may_be_helper(child, status):
                    continue
            except OSError:
                continue
            if status.parent == pid:
                found.append(Member((child, status.start), parent.key, value, status))
        # Looked at after the children: were the parent's pid used again meanwhile, they would be somebody else's.
        if not found or not self.is_same(parent.key):
            return ()
        self._known.update((member.key[0], member.key) for member in found)
        return found

    def _may_be_helper(self, pid: int, status: Status) -> bool:
        """Return whether a process is of this package's own, or begins a program just now, so that the next look tells.

        The first process of a container is given collectors whose parents have ended, also those of its children.
        """
        if status.name == _HELPER:
            return True
        for pause in _BEGINNING:
            command = _measured(self._source.command, pid)
            if command != b"" or status.ended:
                return command is not None and _HELPER in command
            time.sleep(pause)
        later = self._source.status(pid)
        return later is not None and not later.ended


def _measured(measure: Callable[[int], T | None], pid: int) -> T | None:
    try:
        return measure(pid)
    except (OSError, ValueError, IndexError):
        return None  # It ends just now, or may not be read.
