"""The running call: what is its own, and the context variable through which it is found.

Entering and leaving a call never waits and takes no lock: it reads clocks and counters and appends one record.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar, Token
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from umlaut_async import gc_guard
from umlaut_async.clock import now
from umlaut_async.errors import ArgumentError, ArgumentTypeError, NoRunningCallError
from umlaut_async.records import IN_PARENT, Steps
from umlaut_async.scalars import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.plan import Metric, Plan
    from umlaut_async.records import Reading, Status

P = ParamSpec("P")
T = TypeVar("T")

_ERROR_LENGTH = 1000
_LOOK = 0x3FF
"""Where a call's number has none of these bits, it looks whether the collector still takes records."""
_EXACT = 2**53
"""The largest number up to which floats hold every integer."""

_current: ContextVar[Call | None] = ContextVar("umlaut_async_call", default=None)
_running_loop = asyncio._get_running_loop
_current_task = asyncio.current_task


class Call:
    """One supervised call while it runs.

    State that belongs to a call lives here and nowhere else, so overlapping calls of one stage never meet.
    """

    __slots__ = (
        "_entered", "_link", "_token",
        "ended", "entries", "number", "parent", "plan", "started", "task",
    )  # fmt: skip

    stepped = False

    def __init__(self, plan: Plan) -> None:
        parent = _current.get()
        while parent is not None and parent.ended:
            parent = parent.parent
        self.parent: Call | None = parent
        self.plan = plan
        self.ended: bool = False
        self.entries: dict[int, float] | None = None
        self._link = link = plan.link
        self.number = number = next(link.numbers)
        loop = _running_loop()
        task = None if loop is None else _current_task(loop)
        self.task = get_ident() if task is None else task.get_name()
        try:
            self._token: Token[Call | None] | None = None if self.stepped else _current.set(self)
            self._entered = _read(plan.readers) if plan.readers else ()
            self.started = now()
            # Last: the collector may look at it at once.
            link.open_calls[number] = self
            if plan.subscriptions:
                self._subscribe()
        except BaseException as interrupt:
            # Ctrl-C comes anywhere, and nobody will end what nobody was given.
            self._token = None
            if _current.get() is self:
                _current.set(parent)
            self.end(interrupt)
            raise

    def _subscribe(self) -> None:
        try:
            for subscription, edge in self.plan.subscriptions:
                subscription.enter(self.number, self.started, None if edge is None else self._entered[edge])
        except Exception as failure:
            self._link.failed(failure)

    def track(self, num_entries: float) -> None:
        """Add entries to every metric of this call.

        Args:
            num_entries: How many entries were processed, a number of at least 0.

        Raises:
            ArgumentError: The number is negative or not finite.
            ArgumentTypeError: It is not a number.
            NoRunningCallError: The call has ended, other than by the end of the run.
        """
        num_entries = checked_entries(num_entries)
        if self.closed and self._link.recording:
            raise NoRunningCallError("track() came after the end of its call; track the entries before the block ends")
        for position in self.plan.positions.values():
            self.add_entries(position, num_entries)

    def add_entries(self, position: int, num_entries: float) -> None:
        """Add checked entries to the metric at this position."""
        if self.entries is None:
            self.entries = {}
        self.entries[position] = self.entries.get(position, 0) + num_entries

    def parent_number(self) -> int | None:
        """Return the number of the call of the same run that this one runs in, be it in the parent of a fork."""
        link, parent = self._link, self.parent
        while parent is not None and parent._link is not link:
            if parent._link is link.inherited:
                return IN_PARENT | parent.number
            parent = parent.parent
        return None if parent is None else parent.number

    def producing(self) -> int | None:
        """Return the nanoseconds that a generator has been inside its producer so far; None of any other call."""
        return None

    def resume(self) -> None:
        """Begin a step; a call of this class has none."""

    def suspend(self, yielded: bool) -> None:
        """End a step; a call of this class has none."""

    def end(self, error: BaseException | None) -> None:
        """End the call with what the stage raised, or None."""
        ended = now()
        self.ended = True
        try:
            if self._token is not None:
                self._release()
            if error is None:
                self._append(ended, "ok", None)
            else:
                self._append(ended, _status(error), _describe(error))
        except Exception as failure:
            self._link.failed(failure)

    def close(self) -> None:
        """End the call, if it has not ended; leaving its block then does nothing any more."""
        if not self.ended:
            self.end(None)

    @property
    def closed(self) -> bool:
        """Whether the call has ended, other than by the end of its run."""
        return self.ended and self._token is None

    def abandon(self) -> None:
        """End a call whose producer was destroyed without being closed, or that outlives its run."""
        if not self.ended:
            self.ended = True
            try:
                self._append(now(), "abandoned", None)
            except Exception as failure:
                self._link.failed(failure)

    def _release(self) -> None:
        token, self._token = self._token, None
        try:
            _current.reset(token)  # type: ignore[arg-type]  # every caller has set it
        except ValueError:
            pass  # The garbage collector ends a destroyed task in another context, where nothing was set.

    def _stepped(self) -> tuple[int | None, Steps | None]:
        return None, None

    def _append(self, ended: int, status: Status, error: str | None) -> None:
        plan, link, number = self.plan, self._link, self.number
        if link.open_calls.pop(number, None) is None:
            return  # It was ended before: from another thread by the end of the run, or in the parent of a fork.
        try:
            left = _read(plan.readers) if plan.readers else ()
            for subscription, edge in plan.subscriptions:
                subscription.leave(number, ended, None if edge is None else left[edge])
            parent = None if self.parent is None else self.parent_number()
            link.append(
                (
                    plan.stage, number, parent, self.task, self.started, ended - self.started, status, error,
                    self.entries, *self._stepped(), self._entered, left,
                )
            )  # fmt: skip
            if not number & _LOOK:
                link.look()
            if gc_guard.owed:
                gc_guard.make_up()
        except Exception as failure:
            link.failed(failure)


class SteppedCall(Call):
    """A call that is current only while one of its steps runs.

    Args:
        plan: What it reads, and where it reports.
        items: 0 where its steps yield items that are counted, else None.
    """

    __slots__ = ("_first_item", "_items", "_longest", "_resumed", "_running")

    stepped = True

    def __init__(self, plan: Plan, items: int | None) -> None:
        self._items = items
        self._running = self._longest = self._resumed = 0
        self._first_item: int | None = None
        super().__init__(plan)

    def producing(self) -> int | None:
        """Return the nanoseconds that a generator has been inside its producer so far; None of any other call."""
        if self._items is None:
            return None
        # Another thread asks. Where a step begins or ends just now, the answer may be wrong by that one step.
        running, moment = self._running, now()
        if self._token is not None:
            running += moment - self._resumed
        return max(0, min(running, moment - self.started))

    def resume(self) -> None:
        """Begin a step."""
        self._token = _current.set(self)
        self._resumed = now()

    def suspend(self, yielded: bool) -> None:
        """End a step.

        Args:
            yielded: Whether it gave an item.
        """
        suspended = now()
        spent = suspended - self._resumed
        self._running += spent
        if spent > self._longest:
            self._longest = spent
        if yielded and self._items is not None:
            if self._first_item is None:
                self._first_item = suspended - self.started
            self._items += 1
        try:
            self._release()
        except Exception as failure:
            self._link.failed(failure)

    def _stepped(self) -> tuple[int | None, Steps | None]:
        return self._items, Steps(self._running, self._longest, self._first_item)


def current_call() -> Call | None:
    """Return the innermost call of this context that has not ended."""
    call = _current.get()
    while call is not None and call.ended:
        call = call.parent
    return call


def within(call: Call, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns in whose context this call is the current one."""
    token = _current.set(call)
    try:
        return function(*args, **kwargs)
    finally:
        _current.reset(token)


def innermost(metric: Metric) -> Call | None:
    """Return the innermost running call of this context whose stage has this metric, or else a copy of it."""
    call = innermost_call = current_call()
    while call is not None and (call.ended or id(metric) not in call.plan.positions):
        call = call.parent
    if call is None:
        call = innermost_call
        while call is not None and (call.ended or not call.plan.knows(metric)):
            call = call.parent
    return call


def checked_entries(num_entries: object) -> float:
    """Return a number of entries, which may be a scalar of numpy or torch, as a plain number.

    Raises:
        ArgumentTypeError: It is not a number.
        ArgumentError: It is negative, not finite, or too large for a float.
    """
    num_entries = unwrapped(num_entries)
    if not isinstance(num_entries, (int, float)) or isinstance(num_entries, bool):
        raise ArgumentTypeError(f"num_entries must be a number, not {type(num_entries).__name__}")
    if abs(num_entries) > _EXACT:
        try:
            num_entries = float(num_entries)
        except OverflowError:
            raise ArgumentError("num_entries is too large for a floating-point number") from None
    if not 0 <= num_entries < inf:
        raise ArgumentError(f"num_entries must be a finite number of at least 0, not {num_entries}")
    return num_entries


def _read(readers: tuple[Callable[[], Reading], ...]) -> tuple[Reading, ...]:
    try:
        return tuple([read() for read in readers])
    except Exception:
        # Unreadable is absent: the readings that work are kept, the others are None.
        return tuple([_read_or_none(read) for read in readers])


def _read_or_none(read: Callable[[], Reading]) -> Reading:
    try:
        return read()
    except Exception:
        return None


def _status(error: BaseException) -> Status:
    if _is_cancellation(error):
        return "cancelled"
    if isinstance(error, GeneratorExit):
        return "closed"
    return "error"


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        # Older releases of trio raise one for the tasks of a nursery that was cancelled.
        return all(map(_is_cancellation, error.exceptions))
    # Where it was never imported nothing is cancelled by it.
    of_trio = getattr(sys.modules.get("trio"), "Cancelled", asyncio.CancelledError)
    return isinstance(error, (asyncio.CancelledError, of_trio))


def _describe(error: BaseException) -> str | None:
    if isinstance(error, GeneratorExit) or _is_cancellation(error):
        return None
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be read)"
    name = type(error).__qualname__
    return f"{name}: {message}"[:_ERROR_LENGTH] if message else name
