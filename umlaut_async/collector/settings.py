"""What a run is, before it begins."""

from __future__ import annotations

from typing import NamedTuple

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
