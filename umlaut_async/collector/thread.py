"""The collector in a daemon thread of the measured process."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.collector.address import remove
from umlaut_async.collector.threads import abandon_connections, end_with, start_daemon
from umlaut_async.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings

_logger = logging.getLogger("umlaut_async")

_thread = threading.local()


def collects_here() -> bool:
    """Return whether a collector runs in this thread, so that it would wait for itself."""
    return getattr(_thread, "collects", False)


def start(
    settings: RunSettings,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
    first: Callable[[], None] | None = None,
) -> None:
    """Collect a run in a daemon thread.

    Args:
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
        first: Called before that, in the thread.
    """

    def work() -> None:
        if first is not None:
            first()
        collect(settings, link, ledger, opened, settled)

    start_daemon(work, "umlaut-collector")


def collect_instead(
    channel: Channel,
    settings: RunSettings,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
) -> None:
    """Collect a run in this thread, to its end, where a collector in another process was to do that.

    Args:
        channel: The connection to that, which is closed.
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
    """
    channel.close()
    link.notify = None
    link.idle.extend(series for series in list(link.series.values()) if series.calls)
    collect(settings, link, ledger, opened, settled)


def collect(
    settings: RunSettings, link: Link, ledger: Ledger, opened: threading.Event, settled: threading.Event
) -> None:
    """Collect a run in this thread, to its end.

    It makes a loop of its own: the user's policy may be another, and its loop may be blocked.

    Args:
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
    """
    _thread.collects = True
    reason = StoreError("the run has ended")
    try:
        # Here, so that neither the import of the package nor the first call waits for it.
        from umlaut_async.collector.collector import Collector

        with asyncio.Runner(loop_factory=originals.new_loop) as runner:
            runner.run(Collector(settings, link, ledger, opened, settled).run())
    except BaseException as error:
        reason = StoreError(f"the collector failed, which is a defect of umlaut_async: {error!r}")
        _logger.exception("the collector failed, which is a defect of umlaut_async; nothing more is recorded")
    finally:
        address = settings.address
        end_with(
            opened.set,
            settled.set,
            abandon_connections,
            lambda: None if address is None else remove(address),
            # Before the last answers: who waits for them may look at the account at once.
            lambda: ledger.drop("not stored", ledger.account().in_flight),
            lambda: link.close(reason),
        )
