"""What one transaction of the writer stores, as far as it must be known afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.collector.rows import Row
    from umlaut_async.collector.tails import TailWrite


class Rest(NamedTuple):
    """What is written beside records."""

    events: list[Row]
    series: list[Row]
    unrecorded: list[int]
    """The keys of calls that were stored as running, and of whose end nothing will be stored."""
    tails: list[TailWrite]
    running: Sequence[Row]
    run: dict[str, Any]
    """What columns of the run are to hold; tags come to those that it has."""


class Doubt(NamedTuple):
    """A transaction of which it is not known whether it was committed."""

    transaction: str
    units: int
    rest: Rest | None
