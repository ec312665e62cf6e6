"""What comes to a collector that cannot store it is counted, and who asks for it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.records import CallRecord, FlushRequest, is_counted

if TYPE_CHECKING:
    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.link import Link
    from umlaut_async.errors import StoreError

NO_DATABASE = "no database"
EXCLUDED = "excluded"
"""The reasons under which such records are counted: none could be opened, or it did not take the process."""


class Excluded(NamedTuple):
    """A process that cannot take part in a run."""

    link: Link
    ledger: Ledger
    failure: StoreError
    reason: str

    def answer(self) -> bool:
        """Count what has come from it, and answer its requests; return whether it has ended."""
        requests = discard(self.link, self.ledger, self.reason)
        for request in requests:
            request.answer(self.failure)
        return any(request.ending is not None for request in requests)


def discard(link: Link, ledger: Ledger, reason: str = NO_DATABASE) -> list[FlushRequest]:
    """Count what has come as lost, and return the requests among it."""
    requests: list[FlushRequest] = []
    lost = link.take_refused(ledger)
    for record in link.take(len(link.records), ledger):
        if isinstance(record, FlushRequest):
            requests.append(record)
        elif is_counted(record):
            lost += 1
            if type(record) is tuple:
                link.leave_out(CallRecord(*record).number)
    link.idle.clear()
    link.waiting.clear()
    link.unrecorded.clear()
    ledger.drop(reason, lost)
    return requests
