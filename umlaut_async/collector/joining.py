"""How a process takes part in a run that another process has begun, or that it begins for all workers of its kind."""

from __future__ import annotations

import errno
import logging
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.collector import thread
from umlaut_async.collector.attachment import attach, forward
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.meeting import meet
from umlaut_async.collector.signals import LAST_TAG
from umlaut_async.collector.threads import start_daemon
from umlaut_async.errors import StoreError

if TYPE_CHECKING:
    import threading

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.address import Address
    from umlaut_async.collector.limits import Tally
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings

_logger = logging.getLogger("umlaut_async")

_PATIENCE = 10.0
"""How many seconds a collector that has just been started is waited for."""
_REFUSALS = 2.0
"""How many seconds it may refuse: nobody listens where the collector was killed."""
_PAUSE = 0.02
_MEETINGS = 3
"""How often a worker looks for the run that it shares."""


def start(
    settings: RunSettings,
    parent: int | None,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
    unmeasured: Tally,
) -> Channel:
    """Send what is recorded to the collector of a run that another process has begun.

    Args:
        settings: What the run is, with the address of its collector, or whose worker this process is.
        parent: The process from which this one was forked while it recorded the same run.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the collector has answered, or will not.
        settled: Set when everything is imported.
        unmeasured: Counts what comes after the collector has gone.

    Returns:
        The connection, which belongs to this process alone.
    """
    channel = Channel(originals.new_socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    attach(channel, link)

    def work() -> None:
        failed = "cannot be reached"
        try:
            if (reached := _reach(settings, channel)) is not None and forward(
                reached, parent, channel, link, ledger, opened, settled, unmeasured
            ):
                return
            if settings.joins is None:
                alone = settings._replace(collector="thread", employer=None)
                thread.collect_instead(channel, alone, link, ledger, opened, settled)
                return
        except Exception as error:
            failed = f"cannot be used, which is a defect: {error!r}"
        reason = StoreError(f"the collector of run {settings.uuid} {failed}")
        try:
            _logger.warning("what runs in this process is not measured: %s", reason)
            channel.close()
            link.explained = True
            link.ended_elsewhere = settings.joins is not None and not settings.joins.is_in_use
            link.close(reason)
        finally:
            opened.set()
            settled.set()

    try:
        start_daemon(work, "umlaut-collector")
    except RuntimeError:
        channel.close()
        link.notify = None
        raise
    return channel


def tell(addresses: tuple[Address, ...], settings: RunSettings) -> None:
    """Tell the collectors of runs into other databases that this run was begun within them."""
    from umlaut_async.collector import wire

    for address in addresses:
        hello = wire.Hello(
            settings.pid, None, settings.location.key, settings.uuid, shown=settings.location.path or "a server"
        )
        with suppress(OSError), originals.new_socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connected:
            connected.settimeout(1)
            connected.connect(address.socket)
            connected.send(bytes((LAST_TAG,)) + wire.greeting(hello))


def _reach(settings: RunSettings, channel: Channel) -> RunSettings | None:
    """Connect to the collector of the run, and return the settings with its address; None where it is out of reach."""
    if settings.joins is not None:
        return settings._replace(address=settings.joins) if _connect(channel, settings.joins) else None
    try:
        for _ in range(_MEETINGS):
            # What was met may end just now, and then another one begins.
            meeting = meet(settings)
            if _connect(channel, meeting.address):
                if meeting.listening is not None:
                    meeting.launch(settings)
                return settings._replace(address=meeting.address)
    except OSError as error:
        _logger.warning("this process records a run of its own, since it cannot share that of others: %s", error)
    return None


def _connect(channel: Channel, address: Address) -> bool:
    started = time.monotonic()
    while error := channel.connect(address.socket):
        patience = _REFUSALS if error == errno.ECONNREFUSED else _PATIENCE
        if not address.is_in_use or time.monotonic() > started + patience:
            return False
        time.sleep(_PAUSE)
    return True
