"""What a measured process still does for its run when the collector of the run has died: it says what is missing.

It records nothing any more. The database gets a heartbeat, an event that counts what was lost, and the end of the run.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from umlaut_async.clock import now
from umlaut_async.collector.address import remove
from umlaut_async.collector.threads import in_thread
from umlaut_async.collector.vitals import wait
from umlaut_async.records import FlushRequest, is_counted

if TYPE_CHECKING:
    from types import ModuleType

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.limits import Tally
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.errors import StoreError

_logger = logging.getLogger("umlaut_async")

_LONGEST = 3600.0
REASON = "collector ended"
"""The reason under which records are counted that were lost with the collector."""


async def follow(
    settings: RunSettings,
    link: Link,
    ledger: Ledger,
    unmeasured: Tally,
    reason: StoreError,
    requests: list[FlushRequest],
) -> None:
    """Go on until the run ends.

    Args:
        settings: What the run is.
        link: Where requests come from, and the records of calls that had begun before.
        ledger: Where records are counted.
        unmeasured: Counts what came after the death of the collector.
        reason: The answer to all requests.
        requests: What the collector has not answered; one of them may end the run.
    """
    attention = asyncio.Event()
    attention.set()
    link.listen(asyncio.get_running_loop(), attention.set)
    closing: Any = None
    if not any(request.ending for request in requests):
        _answer(requests, reason)
    try:
        try:
            module: ModuleType = await in_thread(_import_closing)
            closing = await module.open_closing(settings)
            await closing.tell(ledger, unmeasured)
        except Exception as error:
            _logger.error("the database cannot be told that the collector has ended: %s", error)
        while not any(request.ending for request in requests):
            _answer(requests, reason)
            await wait(attention, _LONGEST, closing.beat if closing is not None else _nothing)
            attention.clear()
            _take(link, ledger, requests)
        for call in link.open_calls.copy().values():
            call.abandon()
        _take(link, ledger, requests)
        if closing is not None:
            try:
                ending = next(request.ending for request in requests if request.ending)
                await closing.end(ledger, unmeasured, ending, settings.epoch + (ending.at or now()))
            except Exception as error:
                _logger.error("the database cannot be told how the run ended: %s", error)
        ledger.drop(REASON, ledger.account().in_flight)
        link.close(reason)
        if settings.address is not None:
            remove(settings.address)
        _answer(requests, reason)
    finally:
        if closing is not None:
            await closing.close()


def _take(link: Link, ledger: Ledger, requests: list[FlushRequest]) -> None:
    """Take the requests that have come, and count the records."""
    for _ in range(len(link.records)):
        record = link.records.popleft()
        if isinstance(record, FlushRequest):
            requests.append(record)
        else:
            ledger.take(is_counted(record))


def _answer(requests: list[FlushRequest], reason: StoreError) -> None:
    while requests:
        requests.pop().answer(reason)


async def _nothing() -> None:
    """Make no heartbeat, for want of a database."""


def _import_closing() -> ModuleType:
    import importlib

    return importlib.import_module("umlaut_async.collector.closing")
