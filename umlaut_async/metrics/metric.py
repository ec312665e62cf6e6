"""What all metrics have in common."""

from __future__ import annotations

import inspect
import math
import sys
import weakref
from typing import Any, ClassVar, Protocol

from umlaut_async.calls import Call, checked_entries, innermost
from umlaut_async.errors import ArgumentError, ArgumentTypeError, NoRunningCallError
from umlaut_async.probes import Place, Probe, UnreadableError
from umlaut_async.scalars import unwrapped
from umlaut_async.switch import disabled

_SHORTEST_INTERVAL = 0.001


class Stage(Protocol):
    """A supervised stage, as its metrics see it."""

    @property
    def measured(self) -> bool:
        """Whether its calls are measured at present."""
        ...

    def running_calls(self) -> list[Call]:
        """Return the calls of the stage that have not ended, in every thread."""
        ...


class Metric:
    """Specify one measurement of a stage; subclass it for measurements of your own.

    A subclass sets `measure_type` and `unit`, and has a `read()` that returns a number: an ordinary method, which runs
    in a thread of its own with a deadline, or an `async def`, which runs on the event loop of the stage. With
    `counter = True` a call's value is the difference of the readings at its two edges, else their mean. The readings at
    the edges are requested by the call and taken a little later, so for a call that is shorter than a reading the
    difference is what happened between the two readings.

        class QueueLength(Metric):
            measure_type = "queue"
            unit = "items"

            def read(self):
                return queue.qsize()

    Args:
        description: What the numbers are, in the words of the user.
        interval: The seconds between two samples, at least 0.001.

    Raises:
        ArgumentError: The description is empty, the interval cannot be, or there is no such `reduction`.
        ArgumentTypeError: An argument is of the wrong type, or a subclass lacks `measure_type` or `read`, or its `unit`
            is no text.
    """

    measure_type: ClassVar[str] = ""
    """The identity of the measurement in the database."""
    unit: ClassVar[str] = ""
    counter: ClassVar[bool] = False
    """Whether the readings are of a counter that only grows."""
    reduction: str = ""
    """How the value of a call is made, by name; empty for the way that `counter` says."""

    steps: ClassVar[bool] = False
    """Whether a coroutine must be driven step by step for it."""

    interval: float | None

    def __init__(self, description: str, interval: float = 1) -> None:
        self.description = _checked_description(description)
        self.interval = _checked_interval(interval)
        self._stages: weakref.WeakSet[Stage] = weakref.WeakSet()
        if not self.measure_type or not isinstance(self.measure_type, str):
            raise ArgumentTypeError(f"{type(self).__name__} needs a class attribute measure_type, a text")
        if not isinstance(self.unit, str):
            raise ArgumentTypeError(f"the unit of {type(self).__name__} must be a text, not {type(self.unit).__name__}")
        _check_reduction(self.reduction)
        if self.probe() is None and not self.reduction:
            raise ArgumentTypeError(f"{type(self).__name__} needs a method read() that returns a number")

    def probe(self) -> Probe | None:
        """Return what this metric reads; None for a metric that needs no readings."""
        read: Any = getattr(self, "read", None)
        if read is None:
            return None
        place = Place.LOOP if inspect.iscoroutinefunction(read) else Place.THREAD
        return Probe(("user", id(self)), read, "user", place, check=_number)

    def check(self, kind: str) -> None:
        """Refuse a kind of stage on which this cannot be measured.

        Args:
            kind: "function", "coroutine", "generator", "async generator", "with", "async with", "iterate" or "async
                iterate".

        Raises:
            ArgumentTypeError: It cannot be measured there.
        """

    def track(self, num_entries: float) -> None:
        """Add entries to the innermost running call that uses this metric.

        In a thread that has no context of the call they are added to the only running call with this metric.

        Args:
            num_entries: How many entries were processed, a number of at least 0.

        Raises:
            ArgumentError: The number is negative or not finite.
            ArgumentTypeError: It is not a number.
            NoRunningCallError: No running call uses this metric, or it cannot be told which of several is meant.
        """
        num_entries = checked_entries(num_entries)
        call = innermost(self) or self._only_running_call()
        if call is not None:
            call.add_entries(call.plan.positions[id(self)], num_entries)

    def _only_running_call(self) -> Call | None:
        stages = list(self._stages)
        calls = [call for stage in stages for call in stage.running_calls()]
        if len(calls) == 1:
            return calls[0]
        if calls:
            raise NoRunningCallError(
                f"track() of {self.description!r} was called outside the context of its calls, and {len(calls)} run "
                "at present; call it inside the stage, or start the thread with contextvars.copy_context().run"
            )
        if not disabled() and all(stage.measured for stage in stages):
            raise NoRunningCallError(
                f"track() of {self.description!r} was called while no stage with this metric runs; call it inside one"
            )
        return None  # The stage runs unmeasured, and measuring must not break it.

    def attach(self, stage: Stage) -> None:
        """Let the metric know of a stage that uses it."""
        self._stages.add(stage)

    def __getstate__(self) -> dict[str, Any]:
        # In another process it belongs to the stages there.
        return {name: value for name, value in vars(self).items() if name != "_stages"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # By the names that the class has, so that what is pickled of a copy is the same again.
        vars(self).update({sys.intern(name): value for name, value in state.items()}, _stages=weakref.WeakSet())

    def __repr__(self) -> str:
        interval = "" if self.interval is None else f", interval={self.interval:g}"
        return f"{type(self).__name__}({self.description!r}{interval})"


def _number(value: Any) -> float:
    """Return what a user's `read` gave as a plain number."""
    value = unwrapped(value)
    if not isinstance(value, (int, float)):
        raise UnreadableError(f"read() returned {_shortened(value)}, which is not a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        raise UnreadableError("read() returned an integer that is too large for a floating-point number") from None
    if not finite:
        raise UnreadableError(f"read() returned {value}, which is not finite")
    return value


def _shortened(value: Any) -> str:
    try:
        return repr(value)[:100]
    except Exception:
        return f"a {type(value).__name__}"


def _checked_description(description: object) -> str:
    if not isinstance(description, str):
        raise ArgumentTypeError(f"the description of a metric must be a text, not {type(description).__name__}")
    if not description.strip():
        raise ArgumentError("the description of a metric must not be empty: it is what tells its numbers from others")
    return description


def _check_reduction(reduction: object) -> None:
    # The families of metrics are made of this module.
    from umlaut_async.metrics.families import REDUCTIONS

    if not isinstance(reduction, str):
        raise ArgumentTypeError(f"reduction must be a name, not {type(reduction).__name__}")
    if reduction and reduction not in REDUCTIONS:
        raise ArgumentError(f"there is no reduction {reduction!r}; there are {', '.join(sorted(REDUCTIONS))}")


def _checked_interval(interval: object) -> float:
    if isinstance(interval, bool) or not isinstance(interval, (int, float)):
        raise ArgumentTypeError(f"interval must be a number of seconds, not {type(interval).__name__}")
    if not _SHORTEST_INTERVAL <= interval <= sys.float_info.max:
        raise ArgumentError(f"interval must be at least {_SHORTEST_INTERVAL} seconds and finite, not {interval}")
    return float(interval)
