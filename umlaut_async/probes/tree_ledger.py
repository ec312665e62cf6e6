"""What a tree of processes has used so far: a sum that counts nothing twice and never decreases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Key: TypeAlias = tuple[int, int]
"""The identity of a process: its pid and its start time."""


class Entry(NamedTuple):
    """What one living process has used, as read this time."""

    key: Key
    parent: Key | None
    """None where the parent is outside the tree."""
    own: int
    """What the process used itself."""
    reaped: int
    """What the kernel credits it with for children that it waited for. It is read before any of its children is, so
    that no living child is in it."""
    step: int
    """How much more than `reaped` the truth may be: the kernel rounds it down."""


@dataclass
class _Account:
    parent: Key | None
    own: int
    dead: int
    """What its dead children used, as far as that is known."""


class Ledger:
    """Adds up what the processes of a tree used, the dead ones too.

    A child that is waited for lives on in what its parent is credited with; one that is not (the parent ignores
    SIGCHLD, or died first) keeps what was last seen of it. Which of the two happened shows in whether the credit covers
    what was seen. So the sum is never more than what was used.
    """

    def __init__(self) -> None:
        self._accounts: dict[Key, _Account] = {}
        self._lost = 0
        """What dead processes used that nobody was credited with."""

    def update(self, living: Sequence[Entry], gone: Sequence[Key]) -> int:
        """Take in a reading of the tree and return what it has used so far.

        Args:
            living: The processes that could be read.
            gone: Those that are found to have ended, in the order in which they were first seen.
        """
        for entry in living:
            self._settle(entry)
        # Children are seen after their parents, so that here they pass on what they used before their parents do.
        for key in reversed(gone):
            self._bury(key)
        for key, parent, own, reaped, _ in living:
            account = self._accounts.get(key)
            if account is None:
                self._accounts[key] = _Account(parent, own, reaped)
            else:
                account.parent = parent
                account.own = max(account.own, own)
                # Of the children just buried it is not known whether the credit has them already: hence not the sum.
                account.dead = max(account.dead, reaped)
        return self._lost + sum(account.own + account.dead for account in self._accounts.values())

    def _settle(self, entry: Entry) -> None:
        """Find out what the parent was not credited with, now that the credit was read after the last burials."""
        account = self._accounts.get(entry.key)
        if account is not None and (excess := account.dead - entry.reaped - entry.step) > 0:
            account.dead -= excess
            self._lost += excess

    def _bury(self, key: Key) -> None:
        account = self._accounts.pop(key, None)
        if account is None:
            return
        used = account.own + account.dead
        parent = None if account.parent is None else self._accounts.get(account.parent)
        if parent is None:
            self._lost += used
        else:
            parent.dead += used
