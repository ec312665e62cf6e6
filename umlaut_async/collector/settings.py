"""What a run is, before it begins."""

from __future__ import annotations

from typing import NamedTuple

from umlaut_async.collector.address import Address  # noqa: TC001  # as the next one
from umlaut_async.store.location import Location  # noqa: TC001  # its fields are looked up where it is sent


class RunSettings(NamedTuple):
    """What the collector is told of a run."""

    location: Location
    replacing: bool
    """Whether a file that is there is replaced."""
    uuid: str
    description: str
    name: str
    tags: tuple[str, ...]
    collector: str
    """Where the collector runs: "thread" or "process"."""
    flush_interval: float
    """Seconds."""
    argv: tuple[str, ...]
    directory: str
    """The working directory when the benchmark was made: stages may change it."""
    implied: bool
    """Whether a call began it: then nobody waits for the opening, and its failure must be logged."""
    address: Address | None = None
    """Where other processes of the run reach its collector."""
    beside: tuple[Address, ...] = ()
    """The collectors of the runs into other databases in which this one was begun."""
    joins: Address | None = None
    """The collector of the run, where another process has begun it."""
    pid: int = 0
    """The process whose settings these are."""
