"""A probe: one source of readings, and where it may be read."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from umlaut_async.records import Reading


class Place(enum.Enum):
    """Where a probe is read."""

    CALLER = "caller"
    """In a few microseconds: the caller reads the edges, the collector the ticks."""
    THREAD = "thread"
    """In a thread of its own, with a deadline."""
    LOOP = "loop"
    """As a coroutine on the event loop of the stage, since its clients belong to that loop."""


class Probe(NamedTuple):
    """One source of readings."""

    key: Hashable
    """Probes of equal key are the same source: their samples are shared."""
    read: Callable[[], Any]
    """Takes one reading; raises where it cannot."""
    source: str
    """The name of the source, which is stored as provenance."""
    place: Place = Place.CALLER
    rate: Callable[[Reading, Reading, int], float] | None = None
    """Makes a counter a rate: from the earlier and the later reading and the nanoseconds between them."""
