"""What a tree of processes has used so far: a sum that counts nothing twice and never decreases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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
    ended: bool = False
    """Whether it has ended and waits to be waited for: it has no children any more."""


@dataclass
class _Account:
    parent: Key | None
    own: int
    reaped: int
    """What the kernel last showed as its credit."""
    step: int
    dead: int
    """What its dead children used, as far as that is known."""
    stray: int = 0
    """What those used beside that ended when their parents had, or together with them. It is in the credit of this
    process, or in that of one further up that takes in orphans, or in nobody's."""
    moved: bool = False
    """Whether it has another parent than the time before."""


class Ledger:
    """Adds up what the processes of a tree used, the dead ones too.

    A child that is waited for lives on in what its parent is credited with; one that is not (the parent ignores
    SIGCHLD, or died first) keeps what was last seen of it. Which of the two happened shows in whether the credit covers
    what was seen. One whose parent has ended as well may have been waited for further up, by the first process of a
    container or another one that takes in orphans. So the sum is never more than what was used.
    """

    def __init__(self) -> None:
        self._accounts: dict[Key, _Account] = {}
        self._lost = 0
        """What dead processes used that nobody was credited with."""
        self._most = 0
        """The last sum."""

    def update(self, living: Sequence[Entry], gone: Sequence[Key]) -> int:
        """Take in a reading of the tree and return what it has used so far.

        Args:
            living: The processes that could be read.
            gone: Those that are found to have ended, in the order in which they were first seen.
        """
        accounts = self._accounts
        for entry in living:
            self._credit(entry)
        self._find_strays(gone, decide=True)
        ended = {*gone, *(entry.key for entry in living if entry.ended)}
        # Children are seen after their parents, so that here they pass on what they used before their parents do.
        for key in reversed(gone):
            self._bury(key, ended)
        # Where the parent of before still has an account, that counts for the strays: it may have taken them in, and
        # ended after its credit was read.
        for key, parent, *_ in living:
            if accounts[key].parent not in accounts:
                accounts[key].parent = parent
        self._find_strays(gone, decide=False)
        for key, parent, *_ in living:
            accounts[key].parent = parent
        for account in accounts.values():
            # Of the children just buried it is not known whether the credit has them already: hence not the sum.
            account.dead = max(account.dead, account.reaped)
        total = self._lost + sum(account.own + account.dead + account.stray for account in accounts.values())
        # It falls where strays were dropped for a credit that turns out to be of somebody else.
        self._most = max(self._most, total)
        return self._most

    def _credit(self, entry: Entry) -> None:
        """Take in what one process has used, and find out with which of its dead children it was not credited."""
        key, parent, own, reaped, step, ended = entry
        account = self._accounts.get(key)
        if account is None:
            self._accounts[key] = _Account(parent, own, reaped, step, reaped)
            return
        account.moved = account.parent != parent
        account.reaped, account.step = reaped, step
        account.own = max(account.own, own)
        if ended:
            account.stray += max(0, account.dead - reaped)
            account.dead = min(account.dead, reaped)
        elif (excess := account.dead - reaped - step) > 0:
            # The credit was read after the last burials.
            account.dead -= excess
            self._lost += excess

    def _bury(self, key: Key, ended: Collection[Key]) -> None:
        account = self._accounts.pop(key, None)
        if account is None:
            return
        # What this one was not seen to be credited with may be the credit of another one.
        sure = 0 if account.parent in ended else account.own + min(account.dead, account.reaped)
        unsure = account.own + account.dead + account.stray - sure
        parent = None if account.parent is None else self._accounts.get(account.parent)
        if parent is None:
            self._lost += sure + unsure
        else:
            parent.dead += sure
            parent.stray += unsure

    def _find_strays(self, gone: Collection[Key], *, decide: bool) -> None:
        """Drop strays as far as there is a credit that they may be in.

        Args:
            gone: Those that are found to have ended.
            decide: Whether all credits were read after these strays ended, so that what is in none now is lost.
        """
        taken: dict[Key, int] = {}
        for holder, account in self._accounts.items():
            if not account.stray:
                continue
            hidden, decided = 0, decide
            key: Key | None = holder
            while key is not None and (above := self._accounts.get(key)) is not None:
                found = min(account.stray, max(0, above.reaped - above.dead - taken.get(key, 0)))
                account.stray -= found
                taken[key] = taken.get(key, 0) + found
                hidden += above.step
                # A credit that was read before its process ended, or handed on its children, is not the last word.
                decided = decided and not above.moved and key not in gone
                key = above.parent
            if decided and (excess := account.stray - hidden) > 0:
                account.stray -= excess
                self._lost += excess
