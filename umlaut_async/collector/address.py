"""Where the collector of a run is reached by the other processes of the run, told from process to process."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import NamedTuple

VARIABLE = "UMLAUT_COLLECTOR"
"""The environment variable that children inherit."""
_LONGEST = 100
"""How many bytes the path of a socket may have; the systems allow 104 or 108."""


class Address(NamedTuple):
    """The collector of a run."""

    socket: str
    """The path of its socket, in a folder of its own that is nobody else's."""
    run: str
    """The uuid of the run."""
    database: str
    """The URL of its database."""
    pid: int
    """The process that began the run."""


def new_address(run: str, database: str) -> Address | None:
    """Make a folder for the socket of a run; None where its path would be too long or there can be none."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if base and len(os.fsencode(base)) + len("/umlaut-xxxxxxxx/collector") <= _LONGEST:
            with suppress(OSError):
                return Address(f"{tempfile.mkdtemp(prefix='umlaut-', dir=base)}/collector", run, database, os.getpid())
    return None


def publish(address: Address) -> None:
    """Let the processes that this one starts know of a collector."""
    _store([*inherited(), address])


def withdraw(address: Address) -> None:
    """Let them know no longer, since the run has ended."""
    _store([other for other in inherited() if other != address])


def inherited() -> list[Address]:
    """Return the collectors that this process knows of: those of its ancestors, and of its own runs."""
    if VARIABLE not in os.environ:
        return []
    import json

    try:
        return [Address(*entry) for entry in json.loads(os.environ[VARIABLE])]
    except (ValueError, TypeError):
        return []


def collector_for(database: str) -> Address | None:
    """Return the collector of an ancestor's run into this database, the latest one."""
    others = [address for address in inherited() if address.database == database and address.pid != os.getpid()]
    return others[-1] if others else None


def _store(addresses: list[Address]) -> None:
    import json

    if addresses:
        os.environ[VARIABLE] = json.dumps(addresses)
    else:
        os.environ.pop(VARIABLE, None)
