"""The account of a run's records: nothing is lost without being counted."""

from __future__ import annotations

from typing import NamedTuple


class Accounting(NamedTuple):
    """How many records of calls and of user values there were, and what became of them.

    At every quiet moment `recorded == stored + sum(dropped.values()) + in_flight`.
    """

    recorded: int = 0
    stored: int = 0
    """Committed."""
    dropped: dict[str, int] = {}
    """By the reason."""
    in_flight: int = 0
    """On their way: in the buffer, or waiting for the writer."""


class Ledger:
    """Keeps the account of the records that the collector has taken.

    Only the collector writes it. Each entry replaces the whole account at once, so that who reads it from another
    thread never sees half an entry.
    """

    def __init__(self) -> None:
        self._account = Accounting()

    def take(self, count: int) -> None:
        """Enter records that were taken from the link."""
        recorded, stored, dropped, in_flight = self._account
        self._account = Accounting(recorded + count, stored, dropped, in_flight + count)

    def store(self, count: int) -> None:
        """Enter records that were committed."""
        recorded, stored, dropped, in_flight = self._account
        self._account = Accounting(recorded, stored + count, dropped, in_flight - count)

    def drop(self, reason: str, count: int) -> None:
        """Enter records that will never be stored."""
        if count:
            recorded, stored, dropped, in_flight = self._account
            dropped = {**dropped, reason: dropped.get(reason, 0) + count}
            self._account = Accounting(recorded, stored, dropped, in_flight - count)

    def lose(self, reason: str) -> None:
        """Enter that nothing is left of what was committed."""
        recorded, stored, dropped, in_flight = self._account
        if stored:
            dropped = {**dropped, reason: dropped.get(reason, 0) + stored}
            self._account = Accounting(recorded, 0, dropped, in_flight)

    def learn(self, stored: int, dropped: dict[str, int]) -> None:
        """Enter what a collector in another process tells became of the records."""
        recorded = self._account.recorded
        self._account = Accounting(recorded, stored, dropped, recorded - stored - sum(dropped.values()))

    def account(self) -> Accounting:
        """Return the account."""
        return self._account
