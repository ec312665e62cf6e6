"""A probe: one source of readings, and where it may be read."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from umlaut_async.records import Reading


FIRST_DEADLINE = 5.0
"""The seconds after which the first reading of a source is given up: a driver that nobody keeps loaded takes some."""


class UnreadableError(Exception):
    """A reading could not be taken this time; the message says why."""


class ProcessGoneError(UnreadableError):
    """The process that was to be read has ended, which is nothing to be told."""


class UnavailableError(Exception):
    """A probe can never be read here as things are.

    Args:
        reason: Why not, in a sentence for users.
        cure: What would change it: a command, or what to do.
    """

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason, cure)
        self.reason = reason
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.reason}; {self.cure}"


class Stamped(float):
    """A number, and when it was read."""

    at: int

    def __new__(cls, value: float, at: int) -> Self:
        self = super().__new__(cls, value)
        self.at = at
        return self


class Lack(NamedTuple):
    """What a reading lacks that is good all the same, and why."""

    part: str
    """What is missing, in words that follow "without"."""
    reason: str
    cure: str | None = None
    """What would change it, where that is known: a command, or what to do."""


class Place(enum.Enum):
    """Where a probe is read."""

    CALLER = "caller"
    """In a few microseconds: the caller reads the edges, the collector the ticks."""
    THREAD = "thread"
    """In a thread of its own, or with others in one, with a deadline."""
    LOOP = "loop"
    """As a coroutine on the event loop of the stage, since its clients belong to that loop."""
    TIMER = "timer"
    """By a timer on the event loop of the stage, whose lateness is what is measured: nothing is asked of `read`."""


class Probe(NamedTuple):
    """One source of readings."""

    key: Hashable
    """Probes of equal key are the same source: their samples are shared."""
    read: Callable[[], Any]
    """Takes one reading: a number, or a tuple of numbers. Raises `UnavailableError` where there can never be one, and
    anything else where this one failed. What is expensive is done at the first reading."""
    source: str
    """The name of the source, which is stored as provenance."""
    place: Place = Place.CALLER
    rate: Callable[[Any, Any, int], float | None] | None = None
    """Makes a counter a rate: from two readings, the earlier first, and the nanoseconds between them; None is a gap."""
    provenance: str = "measured"
    """How the numbers come about: measured or estimated."""
    check: Callable[[Any], Reading] | None = None
    """Makes a number of what `read` returned, or raises `UnreadableError`."""
    keep_awake: Callable[[], int | None] | None = None
    """Asked after a reading: the nanoseconds within which the next must follow, whatever the interval."""
    deadline: float | None = 2.0
    """The seconds after which a reading elsewhere than in the caller is given up."""
    first_deadline: float | None = None
    """The same for the first reading, where that may take longer."""
    stamp: Callable[[Any], int] | None = None
    """Tells when a reading was taken, where that is known better than by the end of `read`: another thread may hold the
    interpreter for milliseconds between the two."""
    lacks: Callable[[Any], Sequence[Lack]] | None = None
    """Given a reading: the parts that it lacks, each of which the user is told once."""
    step: int = 0
    """The nanoseconds between two moves of a counter."""
    restless: bool = False
    """Whether a counter never stands for long: where it stood, that is no rate of 0, and the next one reaches back."""
    beside: Callable[[], Reading] | None = None
    """What the caller reads at the edges, as it is cheap, beside the reading that is taken elsewhere."""
    still: Callable[[Any, Any], bool] | None = None
    """Given a reading from before a call, or None, and one from after it: whether all that the caller does not read
    stood still in between. Then it does not matter when it was read."""
    pending: Callable[[Any], bool] | None = None
    """Tells of a reading at the last edge whether what it stands for is still to come."""
    overdue: Callable[[int], float] | None = None
    """What so many nanoseconds without an answer come to, of a probe of `Place.TIMER`."""
    peak: Callable[[], float] | None = None
    """Reads the highest value that there has ever been, as the kernel keeps it, where the caller reads the rest."""
    close: Callable[[], None] | None = None
    """Called when nothing reads the probe any more."""
    together: Hashable | None = None
    """Probes of `Place.THREAD` that have the same here are read in one thread, one right after the other: to read what
    another has just read takes the kernel, and this package, far less time. They have nothing to close."""
    outside: tuple[Any, ...] | None = None
    """How another process reads the same of this one, see `umlaut_async.probes.outside`; None where it cannot."""
    settle: Callable[[Any, Any], Reading] | None = None
    """Makes of two edge readings, that only this process understands, one that every process does."""
    restore: Callable[[Any], Reading] | None = None
    """Makes a reading again of what is left of it after a journey between processes."""
