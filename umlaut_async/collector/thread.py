"""The collector in a daemon thread of the measured process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from umlaut_async.collector.threads import start_daemon
from umlaut_async.errors import StoreError

if TYPE_CHECKING:
    import threading

    from umlaut_async.collector.collector import Collector
    from umlaut_async.collector.link import Link

_logger = logging.getLogger("umlaut_async")


def start(collector: Collector, link: Link) -> threading.Thread:
    """Run a collector in a daemon thread, and return the thread.

    It makes a loop of its own: the user's policy may be another, and its loop may be blocked.
    """

    def work() -> None:
        reason = StoreError("the run has ended")
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(collector.run())
        except Exception as error:
            reason = StoreError(f"the collector failed, which is a defect of umlaut_async: {error!r}")
            _logger.exception("the collector failed, which is a defect of umlaut_async; nothing more is recorded")
        finally:
            collector.opened.set()
            link.close(reason)

    return start_daemon(work, "umlaut-collector")
