"""Where the workers of one process meet that record before it does, or instead of it: in one run, collected elsewhere.

A worker is ended without notice, often right after its last call, so that no thread of it could store what it has
recorded. The first one to record starts a collector in a process of its own, which goes on until the process that has
started the workers ends. It listens before that: what the workers send until then waits in the system.
"""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.collector import registry
from umlaut_async.collector.address import Address, new_address, remove
from umlaut_async.collector.listening import listening_socket

if TYPE_CHECKING:
    import socket

    from umlaut_async.collector.settings import RunSettings


class Meeting(NamedTuple):
    """Where a collector is reached."""

    address: Address
    listening: socket.socket | None = None
    """The socket on which the collector is to listen; None where that runs already."""

    def launch(self, settings: RunSettings) -> None:
        """Start the collector.

        Args:
            settings: What the run is.

        Raises:
            OSError: It cannot be started.
        """
        from umlaut_async.collector.process import launch_for_workers

        assert self.listening is not None
        assert settings.employer is not None
        try:
            with self.listening:
                launch_for_workers(self.listening, settings.employer)
        except OSError:
            registry.leave(self.address, settings.employer, settings.kind)
            remove(self.address)
            raise


def meet(settings: RunSettings) -> Meeting:
    """Return where the workers of a process meet, and begin to listen there if this is the first of them.

    Args:
        settings: What the run is, and whose worker this process is.

    Raises:
        OSError: There can be no such place.
    """
    assert settings.employer is not None
    which = settings.location.key, settings.employer, settings.kind
    with registry.alone(*which) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if (found := registry.find(*which)) is not None:
            return Meeting(found)
        if (address := new_address(settings.uuid, settings.location.key)) is None:
            raise OSError("there is no place for its socket")
        try:
            listening = listening_socket(address.socket)
        except OSError:
            remove(address)
            raise
        registry.enter(address, settings.employer, settings.kind)
        return Meeting(address, listening)
