"""What a run is, before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from umlaut_async.store.location import Location


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
    """Where the collector runs: "thread"."""
    flush_interval: float
    """Seconds."""
    argv: tuple[str, ...]
    directory: str
    """The working directory when the benchmark was made: stages may change it."""
    implied: bool
    """Whether a call began it: then nobody waits for the opening, and its failure must be logged."""
