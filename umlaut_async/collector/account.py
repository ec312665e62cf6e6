"""The account of a run's records: nothing is lost without being counted."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Accounting:
    """How many records of calls and of user values there were, and what became of them.

    At every quiet moment `recorded == stored + sum(dropped.values()) + in_flight`.
    """

    recorded: int = 0
    stored: int = 0
    """Committed."""
    dropped: dict[str, int] = field(default_factory=dict)
    """By the reason."""
    in_flight: int = 0
    """On their way: in the buffer, or waiting for the writer."""


class Ledger:
    """Keeps the account of one run, on the collector's loop."""

    def __init__(self) -> None:
        self.taken = 0
        """How many records the collector has taken from the link."""
        self.stored = 0
        self.dropped: dict[str, int] = {}

    def drop(self, reason: str, count: int) -> None:
        """Count records that will never be stored."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def account(self, waiting: int, pending: int) -> Accounting:
        """Return the account.

        Args:
            waiting: How many records wait in the link.
            pending: How many the collector has taken but neither stored nor dropped.
        """
        return Accounting(self.taken + waiting, self.stored, dict(self.dropped), waiting + pending)
