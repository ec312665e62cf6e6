"""The collector in a process of its own, as the measured process starts it and speaks with it."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING

from umlaut_async import originals
from umlaut_async.collector import modules, thread
from umlaut_async.collector.attachment import attach, forward, give_up
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.threads import start_daemon
from umlaut_async.collector.unseen import run_python
from umlaut_async.probes import helpers

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.limits import Tally
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.registry import Identity
    from umlaut_async.collector.settings import RunSettings

_GRACE = 0.005
_IN_A_THREAD = "the collector could not be started as a process of its own (%s); it runs in a thread"

_logger = logging.getLogger("umlaut_async")

_START = f"""
{modules.FIND}
from umlaut_async.collector.host import main
main(descriptor)
"""
_START_FOR_WORKERS = f"""
{modules.FIND}
from umlaut_async.collector.host import collect_workers
collect_workers(descriptor, int(sys.argv[4]), int(sys.argv[5]))
"""
_collected: set[Channel] = set()
"""The connections of the runs that are under way."""
_REAPING = 5.0


def start(
    settings: RunSettings,
    link: Link,
    ledger: Ledger,
    opened: threading.Event,
    settled: threading.Event,
    unmeasured: Tally,
    first: Callable[[], None] | None = None,
) -> Channel | None:
    """Collect a run in a process of its own, or in a thread of this one where none can be started.

    Args:
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
        unmeasured: Counts what comes after the collector has died.
        first: Called before that, in a thread.

    Returns:
        The connection, which belongs to this process alone; None where there can be none.
    """
    try:
        ours, theirs = originals.socket_pair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        # Other systems than Linux have no sockets of packets.
        _logger.warning(_IN_A_THREAD, error)
        thread.start(settings._replace(collector="thread"), link, ledger, opened, settled, first)
        return None
    channel = Channel(ours)
    attach(channel, link)

    def collect() -> None:
        # The call that comes first is under way, and importing and starting a process take a few milliseconds.
        time.sleep(_GRACE)
        if first is not None:
            first()
        why = _launch(theirs)
        if why is None:
            _collected.add(channel)
            begun = forward(settings, None, channel, link, ledger, opened, settled, unmeasured)
            _collected.discard(channel)
            if begun:
                _reap_adopted()
                return
            why = "it ended before it had begun"
        _logger.warning(_IN_A_THREAD, why)
        here = settings._replace(collector="thread", resumes=True)
        thread.collect_instead(channel, here, link, ledger, opened, settled)

    def work() -> None:
        try:
            collect()
        except BaseException as error:
            theirs.close()
            give_up(error, channel, link, ledger)
        finally:
            opened.set()
            settled.set()

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
        try:
            _run(_START, theirs)
        except OSError as error:
            return str(error)
    return None


def _run(program: str, inherited: socket.socket, *words: str) -> None:
    # Here, so that the import of the package does not wait for it.
    import json

    found = json.dumps(modules.places()), modules.PACKAGE
    run_python(program, inherited.fileno(), *found, *words, options=modules.options(), background=True)


def launch_for_workers(listening: socket.socket, employer: Identity) -> None:
    """Start a collector for the workers of a process.

    Args:
        listening: Where it is to listen.
        employer: The process.

    Raises:
        OSError: It cannot be started.
    """
    _run(_START_FOR_WORKERS, listening, str(employer.pid), str(employer.started))


def _reap_adopted() -> None:
    """Wait for the collectors that the kernel has made children of this process.

    Not while another run is under way, whose collector would take what they have used for that of the user's children.
    """
    deadline = time.monotonic() + _REAPING
    with contextlib.suppress(OSError):
        while not _collected and (left := helpers.adopted()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    helpers.reap(pid)
            time.sleep(_GRACE)
