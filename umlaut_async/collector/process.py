"""The collector in a process of its own, as the measured process starts it and speaks with it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from umlaut_async.collector import thread
from umlaut_async.collector.attachment import attach, forward
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.threads import start_daemon

if TYPE_CHECKING:
    import threading

    from umlaut_async.collector.account import Ledger, Tally
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings

_GRACE = 0.005
_IN_A_THREAD = "the collector could not be started as a process of its own (%s); it runs in a thread"

_logger = logging.getLogger("umlaut_async")

# Forked once more at once, so that it is no child of the measured process, whose `wait` it would confuse.
_START = """
import os, sys
if os.fork():
    os._exit(0)
sys.path.insert(0, sys.argv[1])
import umlaut_async
del sys.path[0]
from umlaut_async.collector.host import main
main(int(sys.argv[2]))
"""
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start(
    settings: RunSettings,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
    unmeasured: Tally,
) -> Channel | None:
    """Collect a run in a process of its own, or in a thread of this one where none can be started.

    Args:
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
        unmeasured: Counts what comes after the collector has died.

    Returns:
        The connection, which belongs to this process alone; None where there can be none.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        # Other systems than Linux have no sockets of packets.
        _logger.warning(_IN_A_THREAD, error)
        thread.start(settings._replace(collector="thread"), link, ledger, opened, settled)
        return None
    channel = Channel(ours)
    attach(channel, link)

    def work() -> None:
        # The call that comes first is under way: starting a process holds the interpreter for a millisecond or two.
        time.sleep(_GRACE)
        why = _launch(theirs)
        if why is None:
            if forward(settings, None, channel, link, ledger, opened, settled, unmeasured):
                return
            why = "it ended before it had begun"
        _logger.warning(_IN_A_THREAD, why)
        channel.close()
        link.notify = None
        link.idle.extend(series for series in list(link.series.values()) if series.calls)
        thread.collect(settings._replace(collector="thread", resumes=True), link, ledger, opened, settled)

    try:
        start_daemon(work, "umlaut-collector")
    except RuntimeError:
        theirs.close()
        channel.close()
        link.notify = None
        raise
    return channel


def _launch(theirs: socket.socket) -> str | None:
    """Start the process; return why it could not be, if so."""
    with theirs:
        if not sys.executable:
            return "this Python is part of another program"
        command = [sys.executable, "-P", "-c", _START, _ROOT, str(theirs.fileno())]
        try:
            status = subprocess.run(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True, check=False,
            ).returncode  # fmt: skip
        except OSError as error:
            return str(error)
    return None if status == 0 else f"it ended with status {status}"
