"""A run while it is recorded: its link and its collector, also across fork and at the end of the interpreter."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.clock import now
from umlaut_async.collector import joining, process, thread
from umlaut_async.collector.account import Accounting, Ledger
from umlaut_async.collector.address import Address, new_address, publish, remove, withdraw
from umlaut_async.collector.limits import Tally
from umlaut_async.collector.link import Link
from umlaut_async.collector.outcome import Outcome
from umlaut_async.collector.uncaught import ending_at_exit
from umlaut_async.errors import StoreError
from umlaut_async.records import FlushRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.records import Answer, Ending

_logger = logging.getLogger("umlaut_async")

_OPENING = 2.5
"""How many seconds the end of the interpreter waits for databases to be opened."""
_STANDSTILL = 1.5
"""How many seconds it then waits while no run gets on: a disk may hang."""
_LONGEST = 30.0
"""How many seconds it waits while they do, all runs together."""
_LOOK = 0.05
"""How often it looks whether they do, in seconds."""

_FORK_DEADLINE = 1.0
"""How many seconds a fork waits, if it comes while a collector starts."""

_LAST = -100
"""The priority of what is to come after everything that users have finalized."""

_MISSED = "not measured"
_LEFT = "not stored"
"""The reason of what waits for a collector that is no more."""

_live: set[Recorder] = set()
_inherited: list[Recorder] = []
"""What a forked child has of its parent: kept, so that nothing of it is finalized, and never used."""


class Inherited(NamedTuple):
    """What a forked process has of the run of its parent."""

    link: object
    pid: int
    address: Address | None


class Recorder:
    """Records one run.

    Args:
        settings: What the run is.
        before_end: Called before the run ends, as long as records are taken.
        inherited: What records the run in the process from which this one was forked.
    """

    def __init__(
        self, settings: RunSettings, before_end: Callable[[], None], inherited: Inherited | None = None
    ) -> None:
        self.uuid = settings.uuid
        self.link = Link(settings.limits)
        self.link.inherited = None if inherited is None else inherited.link
        self._parent = None if inherited is None else inherited.pid
        self.opened = threading.Event()
        """Set when the database was opened, or could not be."""
        self.settled = threading.Event()
        """Set when the collector has imported all that it needs."""
        self.overdue = False
        """Whether the end of the interpreter has waited in vain for that."""
        self._settings = settings
        self._ledger = Ledger()
        self._left_to_exit = False
        self.unmeasured = Tally()
        """Counts calls and values that came when nothing was recorded any more."""
        self._before_end = before_end
        self._ended = Outcome()
        self._starts = itertools.count()
        self._channel: Channel | None = None
        self.address = settings.joins
        """Where other processes of the run reach its collector."""

    def start(self) -> None:
        """Start the collector, at the first call of several."""
        if next(self._starts) > 0:
            return
        _live.add(self)
        try:
            self._start()
        except Exception as error:
            _live.discard(self)
            self._withdraw()
            if self.address is not None and self._settings.joins is None:
                remove(self.address)
            if not isinstance(error, RuntimeError):
                raise
            # The system has no thread left, or the interpreter is ending. The stage must not suffer from it.
            failure = StoreError(f"no thread for the collector could be started: {error}")
            _logger.error("nothing will be recorded: %s", failure)
            self.link.close(failure)
            self.opened.set()
            self.settled.set()

    def _start(self) -> None:
        _end_with_multiprocessing()
        settings, others = self._settings, (self.link, self._ledger, self.opened, self.settled)
        if settings.joins is not None:
            self._channel = joining.start(settings, self._parent, *others, self.unmeasured)
            return
        self.address = new_address(settings.uuid, settings.location.key)
        settings = settings._replace(address=self.address)
        if self.address is not None:
            publish(self.address)
        if settings.collector == "process":
            self._channel = process.start(settings, *others, self.unmeasured)
        else:
            thread.start(settings, *others)

    @property
    def failed(self) -> bool:
        """Whether the database could not be opened."""
        return self.opened.is_set() and not self.link.stores

    @property
    def cannot_open(self) -> bool:
        """Whether the interpreter ends, and the database is still not open: no thread can be started any more."""
        return self.overdue and not self.opened.is_set()

    @property
    def progress(self) -> tuple[object, ...]:
        """What changes as long as records are taken and stored."""
        return self.opened.is_set(), self.link.progress, *self._ledger.account()

    @property
    def ending(self) -> bool:
        """Whether the user has ended the run, and not the end of the interpreter."""
        return self._ended.began and not self._left_to_exit

    def flush(self, answer: Answer) -> None:
        """Have the answer called when everything before this is on disk, or cannot be."""
        if self._ended.began:
            self._ended.wait(answer)
        else:
            self.link.request(FlushRequest(lambda error: answer(self._unless_kept(error))))

    def end(self, answer: Answer, ending: Ending) -> None:
        """End the run, and have the answer called when everything before this is on disk, or cannot be.

        Who ends it while that is going on gets the same answer, and who comes later is not told of an error again.
        """
        if self._ended.known:
            answer(None)
            return
        self._ended.wait(answer)
        if not self._ended.begin():
            return
        try:
            self._before_end()
            self.link.recording = False
        finally:
            # Also if Ctrl-C comes here: whoever ends the run after this waits for the same answer.
            self.link.request(FlushRequest(self._answer_end, ending._replace(at=now())))

    def end_at_exit(self, answer: Answer, ending: Ending) -> None:
        """Do what `end` does, at the end of the interpreter, which daemon threads may not notice."""
        if not self._ended.began:
            self._left_to_exit = self.link.explained = True
        self.end(answer, ending)

    def _answer_end(self, error: StoreError | None) -> None:
        # Not before: who waits may be interrupted, and then the end of the interpreter waits instead.
        _live.discard(self)
        try:
            self._withdraw()
        finally:
            # What was lost by it is counted, and the log says so.
            self._ended.answer(None if self.link.ended_elsewhere else error)

    def _unless_kept(self, error: StoreError | None) -> StoreError | None:
        """Return an error, unless it is only that the run was ended elsewhere, when all records were stored."""
        if error is None or not self.link.ended_elsewhere:
            return error
        account = self.accounting()
        return None if account.recorded == account.stored + account.dropped.get(_MISSED, 0) else error

    def _withdraw(self) -> None:
        if self.address is not None and self._settings.joins is None:
            withdraw(self.address)

    def forget(self) -> None:
        """Let go of everything in a forked child: the run and its connection belong to the parent."""
        self.link.forget()
        if self._channel is not None:
            self._channel.forget()

    def accounting(self) -> Accounting:
        """Return what became of the records."""
        closed, missed = self.link.was_closed, self.unmeasured.waiting
        recorded, stored, dropped, in_flight = self.link.account(self._ledger)
        if missed:
            recorded, dropped = recorded + missed, {**dropped, _MISSED: missed}
        if closed and in_flight:
            # What nobody will take any more is on its way no longer.
            in_flight, dropped = 0, {**dropped, _LEFT: dropped.get(_LEFT, 0) + in_flight}
        return Accounting(recorded, stored, dropped, in_flight)


def _await_opening() -> None:
    deadline = time.monotonic() + _OPENING
    for recorder in list(_live):
        recorder.overdue = not recorder.opened.wait(max(0, deadline - time.monotonic()))


def _end_all() -> None:
    """End the runs that nobody closed, in a bounded time."""
    ending = ending_at_exit()
    waiting: dict[Recorder, threading.Event] = {}
    for recorder in list(_live):
        waiting[recorder] = answered = threading.Event()
        recorder.end_at_exit(lambda _, answered=answered: answered.set(), ending)  # type: ignore[misc]  # it binds
    _await_end(waiting)
    for recorder, answered in waiting.items():
        if not answered.is_set():
            in_flight = recorder.accounting().in_flight
            lost = f"up to {in_flight} records are lost" if in_flight else "its end may not be stored"
            _logger.error("the end of the process did not wait any longer for run %s: %s", recorder.uuid, lost)


def _await_end(waiting: dict[Recorder, threading.Event]) -> None:
    """Wait until the runs have ended, for as long as one of them gets on, in a bounded time."""
    last = time.monotonic() + _LONGEST
    deadline, seen = 0.0, None
    while left := [each for each, answered in waiting.items() if not (answered.is_set() or each.cannot_open)]:
        if (progress := [recorder.progress for recorder in left]) != seen:
            patience = _STANDSTILL if all(recorder.opened.is_set() for recorder in left) else _OPENING
            deadline, seen = min(last, time.monotonic() + patience), progress
        if time.monotonic() >= deadline:
            return
        waiting[left[0]].wait(_LOOK)


def _forget_in_child() -> None:
    for recorder in list(_live):
        _inherited.append(recorder)
        recorder.forget()
    _live.clear()


_ended_with: list[int] = []
"""The process in which that is so, and those from which it was forked."""


def _end_with_multiprocessing() -> None:
    """Have the runs ended at the end of a child of multiprocessing, which calls no other exit functions."""
    context = sys.modules.get("multiprocessing.process")
    if context is not None and context.parent_process() is not None and os.getpid() not in _ended_with:
        from multiprocessing.util import Finalize

        _ended_with.append(os.getpid())
        Finalize(None, _end_all, exitpriority=_LAST)


def _await_imports() -> None:
    """Let a fork wait, for a bounded time, for imports of the collector: the child would inherit their locks."""
    deadline = time.monotonic() + _FORK_DEADLINE
    for recorder in list(_live):
        recorder.settled.wait(max(0, deadline - time.monotonic()))


os.register_at_fork(before=_await_imports, after_in_child=_forget_in_child)
# Now, so that what users register later runs earlier, and is still recorded.
atexit.register(_end_all)
# Once threads are shut down no new one can be started, and opening a database needs one.
if (_register := getattr(threading, "_register_atexit", None)) is not None:
    _register(_await_opening)
