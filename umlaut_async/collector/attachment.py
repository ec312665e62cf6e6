"""How a measured process is attached to a collector in another process, from the first signal to the last answer."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.collector.threads import abandon_connections, end_with
from umlaut_async.errors import StoreError

if TYPE_CHECKING:
    import threading

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.limits import Tally
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings

_logger = logging.getLogger("umlaut_async")

_DEFECT = "the link to the collector failed, which is a defect of umlaut_async"


def attach(channel: Channel, link: Link) -> None:
    """Let the calls signal over a channel what they need at once."""

    def notify(kind: int, series: int, call: int, at: int) -> None:
        # Behind those that wait: a call must not leave before it has entered.
        if (link.unsent or not channel.notify(kind, series, call, at)) and len(link.unsent) < link.limits.records:
            link.unsent.append((kind, series, call, at))
            link.wake()

    link.notify = notify


def forward(
    settings: RunSettings,
    parent: int | None,
    channel: Channel,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
    unmeasured: Tally,
) -> bool:
    """Forward to the collector in this thread, until the run has ended or the collector has gone.

    Args:
        settings: What the run is.
        parent: The process from which this one was forked while it recorded the same run.
        channel: The connection.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
        unmeasured: Counts what comes after the collector has gone.

    Returns:
        Whether there ever was a collector.
    """
    # Here, so that the first call does not wait for the import of msgspec.
    from umlaut_async.collector import aftermath
    from umlaut_async.collector.forwarder import Forwarder
    from umlaut_async.collector.wire import Hello

    settled.set()
    program = None if settings.joins is None else settings.described_as
    hello = Hello(os.getpid(), settings, settings.location.key, settings.uuid, parent, program=program)
    forwarder = Forwarder(hello, channel, link, ledger, opened, joined=settings.is_shared or settings.is_worker)
    reason = StoreError("the run has ended")
    try:
        with asyncio.Runner(loop_factory=originals.new_loop) as runner:
            if not runner.run(forwarder.run()):
                # What was sent is in no database, and what was asked is left to whoever closes the link.
                ledger.drop("not stored", ledger.account().in_flight)
                for request in forwarder.left:
                    link.append(request)
                return False
            link.ended_elsewhere = settings.is_shared and not forwarder.left_alone
            if forwarder.left_alone:
                reason = StoreError("the collector of the run has ended before it")
                _tell_end(link, ledger)
                if not settings.is_shared and link.stores:
                    runner.run(aftermath.follow(settings, link, ledger, unmeasured, reason, forwarder.left))
    except BaseException as error:
        reason = give_up(error, channel, link, ledger)
    finally:
        abandon_connections()
    end_with(
        opened.set,
        channel.close,
        # Before the last answers: who waits for them may look at the account at once.
        lambda: ledger.drop(aftermath.REASON, ledger.account().in_flight),
        lambda: link.close(reason),
        lambda: forwarder.answer_left(reason),
    )
    return True


def give_up(error: BaseException, channel: Channel, link: Link, ledger: Ledger) -> StoreError:
    """Say that the link has failed, and answer whoever waits; return what they are told."""
    _logger.error("%s; nothing more is recorded", _DEFECT, exc_info=error)
    channel.close()
    ledger.drop("not stored", ledger.account().in_flight)
    reason = StoreError(f"{_DEFECT}: {error!r}")
    link.close(reason)
    return reason


def _tell_end(link: Link, ledger: Ledger) -> None:
    """Say that the collector has gone, once for all calls that come."""
    link.recording, link.explained = False, True
    lost = link.account(ledger).in_flight
    _logger.error(
        "the collector has ended before the run: up to %d records are lost, and nothing more is recorded", lost
    )
