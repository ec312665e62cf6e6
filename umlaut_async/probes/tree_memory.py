"""The memory of a tree of processes, in which pages that several of them share are counted once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.probes.tree_sight import Sight
    from umlaut_async.probes.tree_sources import Source
    from umlaut_async.probes.tree_walk import Family, Member

_PAUSE = 800
_PAUSE_AFTER_CHANGE = 50
"""Shares are read again only after this many times the CPU time that it took, since the kernel walks every page table
for it: at most 0.125 % of a core, or 2 % while processes come and go."""
_SOON = 2


class Life(NamedTuple):
    """A process with one address space: it has another one after it has executed a program."""

    pid: int
    start: int
    forked: bool


class _Part(NamedTuple):
    """What was read of one process."""

    offset: int
    """What to add to its RSS to have its part of the tree; not more than 0."""
    shared: int
    """How much of its part falls to those that it shares pages with, when it ends."""


class TreeMemory:
    """Reads the memory of a tree as its processes come and go.

    Args:
        family: The processes.
        source: Where they are read.
        has_shares: Whether the kernel tells the part of a process in shared pages.
        sight: What other readings of the tree have just seen.
    """

    def __init__(self, family: Family, source: Source, has_shares: bool, sight: Sight) -> None:
        self._family = family
        self._sight = sight
        self._source = source
        self._shares = Shares(family, source) if has_shares else None
        self._own: set[Life] = set()
        """Those that are known to have an address space of their own."""
        self._doubtful: set[Life] = set()

    def total(self) -> int:
        """Return the bytes of the tree.

        Raises:
            ProcessLookupError: No process can be read.
        """
        resident: dict[Life, int] = {}
        doubtful: set[Life] = set()
        for member in self._members():
            if not member.value:
                continue  # It cannot be read, or is a zombie: what it shared is its parent's.
            life = Life(*member.key, member.status.forked)
            if life in self._own:
                resident[life] = member.value
            elif self._shares_that_of_its_parent(member, life):
                doubtful.add(life)
            elif now := self._resident(life.pid):
                # Read once more: what the walk has read may have been that of its parent.
                resident[life] = now
        self._own, self._doubtful = set(resident), doubtful
        if not resident:
            raise ProcessLookupError("the memory of the processes cannot be read")
        return sum(resident.values()) if self._shares is None else self._shares.total(resident)

    def _members(self) -> Sequence[Member[int]]:
        """Return the living with their RSS."""
        if (seen := self._sight.recent()) is not None and self._family.adopt(seen):
            members = [member._replace(value=self._resident(member.key[0])) for member in seen]
            if any(member.value for member in members):
                return members
        return self._family.read(self._source.resident).living

    def _shares_that_of_its_parent(self, member: Member[int], life: Life) -> bool:
        """Return whether a child was begun by `vfork` or the like, and has not executed its program yet."""
        if not life.forked or member.parent is None:
            return False
        same = self._source.share_memory(life.pid, member.parent[0])
        # Where the kernel does not tell: such a child is one for a moment only.
        return life not in self._doubtful if same is None else same

    def _resident(self, pid: int) -> int | None:
        try:
            return self._source.resident(pid)
        except (OSError, ValueError, IndexError):
            return None


class Shares:
    """The parts of processes in the pages that they share, read as often as the cost allows.

    Between two readings the growth of RSS is added. What a process that has ended had of shared pages falls to the
    others. One that has executed a program is read at once, alone: it hardly shares anything with the others. One that
    was forked has all of its parent's pages, whose part becomes smaller by that: until both are read, it counts with
    its growth alone.

    All together have no less than the largest: so processes that come and go while the shares are read, which happens
    one after the other, cannot halve the sum.
    """

    def __init__(self, family: Family, source: Source) -> None:
        self._family = family
        self._source = source
        self._parts: dict[Life, _Part] = {}
        self._first: dict[Life, int] = {}
        """The RSS at first sight of those whose part was not read yet."""
        self._left = 0
        """What those that have ended since had of shared pages."""
        self._unsettled = 0
        """How many more times to read soon: what is read while a process ends is not the last word."""
        self._next = self._next_alone = self._cost = 0

    def total(self, resident: dict[Life, int]) -> int:
        """Return the bytes of all together.

        Args:
            resident: The RSS of each.
        """
        for life in self._parts.keys() - resident.keys():
            self._left += self._parts.pop(life).shared
            self._unsettled = _SOON
        new = resident.keys() - self._parts.keys()
        if new:
            self._unsettled = _SOON
        now = time.perf_counter_ns()
        if now >= self._next + self._cost * (_PAUSE_AFTER_CHANGE if self._unsettled else _PAUSE):
            self._read_all(resident)
        elif now >= self._next_alone:
            self._read_alone([life for life in new if not life.forked], resident)
        self._first = {life: self._first.get(life, rss) for life, rss in resident.items() if life not in self._parts}
        total = missing = 0
        for life, rss in resident.items():
            part = self._parts.get(life)
            counted = max(0, rss - self._first[life] if part is None else rss + part.offset)
            total += counted
            missing += 0 if part is None else rss - counted
        # What was left has fallen to those of the living that still have shared pages.
        return max(total + min(self._left, missing), *resident.values())

    def _read_all(self, resident: dict[Life, int]) -> None:
        began = time.thread_time_ns()
        self._parts = {life: self._part(life, resident) for life in [*resident]}
        self._cost = time.thread_time_ns() - began
        self._next = time.perf_counter_ns()
        self._left, self._unsettled = 0, max(0, self._unsettled - 1)

    def _read_alone(self, lives: list[Life], resident: dict[Life, int]) -> None:
        began = time.thread_time_ns()
        self._parts |= {life: self._part(life, resident) for life in lives}
        cost = time.thread_time_ns() - began
        self._next_alone = time.perf_counter_ns() + cost * _PAUSE_AFTER_CHANGE if lives else self._next_alone

    def _part(self, life: Life, resident: dict[Life, int]) -> _Part:
        """Return the part of a process, and take note of its RSS at that time."""
        try:
            share = self._source.share(life.pid)
            rss = self._source.resident(life.pid)
        except PermissionError:
            return _Part(0, 0)
        except (OSError, ValueError, IndexError):
            share, rss = None, 0  # It has ended just now.
        if rss is None or not self._family.is_same((life.pid, life.start)):
            rss = 0
        resident[life] = rss
        if share is None:
            return _Part(0, 0)
        return _Part(min(0, share.proportional - rss), max(0, share.proportional - share.private))
