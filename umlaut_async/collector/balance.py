"""The balance of a run: what became of its records, what is missing of its samples, and what the collector costs."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from umlaut_async.errors import StoreError, StoreNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.intake import Intake
    from umlaut_async.collector.sampler import Sampler


DELETED = "database deleted"
"""The reason of what was stored in a file that is no more."""


class Watched:
    """What the processes of a run come to, also those that have left it."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []
        self.samplers: list[Sampler] = []
        self.intakes: list[Intake] = []
        self._lost_so_far = 0
        self._samples_dropped = self._ticks_missed = self._worst_lateness = 0

    def progress(self) -> int:
        """Return how much was taken and stored so far: as long as it grows, the collector gets on."""
        accounts = [ledger.account() for ledger in self.ledgers]
        return sum(account.recorded + account.stored for account in accounts)

    def see_off(self, intake: Intake) -> None:
        """Remember of a process that has left only what it came to: a run may have any number of these."""
        self._samples_dropped += intake.samples_dropped
        self._ticks_missed += intake.missed
        self._worst_lateness = max(self._worst_lateness, intake.sampler.worst_lateness)
        self.intakes.remove(intake)
        self.samplers.remove(intake.sampler)

    def lose(self, error: StoreError, *, ended: bool) -> int:
        """Count as lost what an error leaves no hope for; return how many records that are.

        Args:
            error: Why the database could not be written.
            ended: Whether there is no next time.
        """
        deleted = isinstance(error, StoreNotFoundError)
        before = sum(sum(ledger.account().dropped.values()) for ledger in self.ledgers)
        for ledger in self.ledgers:
            if deleted:
                ledger.lose(DELETED)
            if ended:
                ledger.drop(DELETED if deleted else "not stored", ledger.account().in_flight)
        return sum(sum(ledger.account().dropped.values()) for ledger in self.ledgers) - before

    def refusal(self) -> StoreError | None:
        """Return an error if records were dropped since a request was last answered."""
        dropped = self.ledgers[0].account().dropped
        lost = sum(dropped.values()) - self._lost_so_far
        self._lost_so_far += lost
        if not lost:
            return None
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
        return StoreError(f"{lost} record(s) could not be stored and are lost ({reasons}); all others are on disk")

    def counts(self) -> dict[str, object]:
        """Return the account of the run's records, and what is missing of its samples."""
        accounts = [ledger.account() for ledger in self.ledgers]
        dropped = sum((Counter(account.dropped) for account in accounts), Counter[str]())
        return {
            "recorded": sum(account.recorded for account in accounts),
            "stored": sum(account.stored for account in accounts),
            "dropped": dict(dropped),
            "samples_dropped": sum((intake.samples_dropped for intake in self.intakes), self._samples_dropped),
            "ticks_missed": sum((intake.missed for intake in self.intakes), self._ticks_missed),
            "worst_lateness": _seconds([self._worst_lateness, *(sampler.worst_lateness for sampler in self.samplers)]),
        }


def overhead(*, own_process: bool, writer_seconds: float) -> dict[str, object]:
    """Return the CPU time in seconds and the peak memory in MiB of the collector that runs in this thread.

    Args:
        own_process: Whether nothing but the collector runs in this process. In one that it shares, nobody can tell
            whose the memory is.
        writer_seconds: The CPU time of the thread that writes.
    """
    if not own_process:
        return {"cpu_time": round(time.thread_time() + writer_seconds, 6), "memory": None}
    # macOS counts bytes, all others kibibytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {
        "cpu_time": round(time.process_time(), 6),
        "memory": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 3),
    }


def _seconds(nanoseconds: Iterable[int]) -> float:
    return max(nanoseconds, default=0) / 1e9
