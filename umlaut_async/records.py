"""What travels from the measured code to the collector: plain values, in the order in which they were appended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.errors import StoreError

Reading: TypeAlias = Any
"""What a probe read: a number, or a tuple of numbers where one source has several counters."""


class MetricRecord(NamedTuple):
    """What the collector must know of one metric of a stage."""

    measure_type: str
    description: str
    unit: str
    reduction: str
    """The name of the function that makes a call's value, see `umlaut_async.metrics.reductions`."""
    series: int | None
    """The number of the series that it samples."""
    edge: int | None
    """The position in a call's record of what the caller reads at the edges; None where the collector reads all.

    Of a counter, before and behind it are the moments between which it was read; see `NEEDS_EDGES`. Of memory, the
    highest value so far is behind it; see `NEEDS_PEAK`.
    """


class StageRecord(NamedTuple):
    """A stage, announced before its first call."""

    number: int
    name: str
    kind: str
    metrics: tuple[MetricRecord, ...]


class Steps(NamedTuple):
    """The steps of a coroutine, a generator or an iteration, in nanoseconds."""

    running: int
    """The time inside steps."""
    longest: int
    first_item: int | None
    """The time from the start to the first item."""


IN_PARENT = 1 << 40
"""Set in the number of a parent that is a call of the process from which this one was forked."""


Status: TypeAlias = Literal["ok", "error", "cancelled", "closed", "abandoned"]
"""How a call ends."""


class CallRecord(NamedTuple):
    """A call that has ended.

    It travels as a plain tuple of its fields: the garbage collector stops to follow these once it has seen them, but
    never those of a class of their own, and thousands may wait.
    """

    stage: int
    number: int
    parent: int | None
    task: str | int
    """The name of the asyncio task, or the identifier of the thread."""
    started: int
    duration: int
    status: Status
    error: str | None
    entries: dict[int, float] | None
    """What was tracked, by the position of the metric."""
    items: int | None
    """How many items a generator or an iteration yielded."""
    steps: Steps | None
    """What the steps of a call came to that has steps."""
    entered: tuple[Reading, ...]
    """The edge readings at the start."""
    left: tuple[Reading, ...]
    """The edge readings at the end."""


class ValueRecord(NamedTuple):
    """A value that the user recorded."""

    recorded: int
    measure_type: str
    description: str
    unit: str
    method: str
    value: float | None
    data: str | None
    """JSON text of what is not a plain number."""


class EventRecord(NamedTuple):
    """Something that a reader of the numbers must know."""

    t: int
    kind: str
    message: str
    data: dict[str, Any] | None


COMMAND = "command"
"""The kind of the call that a command is which is measured from outside."""
LOST = "lost"
"""The status of what was running when its process ended without a word."""
UNKNOWN = "ended without closing, cause unknown"
"""How a process ended of which nobody can tell more."""


class Ending(NamedTuple):
    """How a run ends."""

    status: str
    """The status of the run: ok, error or lost."""
    how: str
    """What ended the process's part in it."""
    at: int = 0
    """When that was asked for or noticed, on the clock of `now()`; 0 where nobody has said."""


CLOSED = Ending("ok", "closed")
"""How a run ends that is closed."""


def ending_after(error: BaseException | None) -> Ending:
    """Return how a run ends whose block is left by this exception, or by none."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return CLOSED
    return Ending("error", f"exception: {type(error).__name__}")


Answer: TypeAlias = "Callable[[StoreError | None], None]"
"""Takes the error, or None, once and in any thread; it must not wait."""


class FlushRequest(NamedTuple):
    """A wish to be told when everything before it is on disk."""

    answer: Answer
    ending: Ending | None = None
    """Set where the request also ends the run."""
    pause: Ending | None = None
    """How the run has ended if nothing follows, where nobody has closed it and nothing more is expected."""


CallFields: TypeAlias = (
    "tuple[int, int, int | None, str | int, int, int, Status, str | None, dict[int, float] | None, int | None,"
    " Steps | None, tuple[Reading, ...], tuple[Reading, ...]]"
)
"""The fields of a `CallRecord` in their order."""

Record: TypeAlias = "StageRecord | CallFields | ValueRecord | FlushRequest"


def is_counted(record: Record) -> bool:
    """Return whether a record is of a call or of a value, which the account of a run counts."""
    return type(record) is tuple or isinstance(record, ValueRecord)
