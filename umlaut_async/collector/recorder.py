"""A run while it is recorded: its link and its collector, also across fork and at the end of the interpreter."""

from __future__ import annotations

import atexit
import importlib
import itertools
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async import originals
from umlaut_async.clock import now
from umlaut_async.collector import joining, process, registry, thread
from umlaut_async.collector.account import Accounting, Ledger
from umlaut_async.collector.address import Address, new_address, publish, remove, withdraw
from umlaut_async.collector.limits import Tally
from umlaut_async.collector.link import Link
from umlaut_async.collector.outcome import Outcome
from umlaut_async.collector.threads import start_daemon
from umlaut_async.collector.uncaught import ending_at_exit
from umlaut_async.collector.workers import makers
from umlaut_async.errors import StoreError
from umlaut_async.records import Ending, FlushRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.records import Answer, ValueRecord

_logger = logging.getLogger("umlaut_async")

_OPENING = 2.5
"""How many seconds the end of the interpreter waits for databases to be opened."""
_STANDSTILL = 1.5
"""How many seconds it then waits while no run gets on: a disk may hang."""
_LONGEST = 30.0
"""How many seconds it waits while they do, all runs together."""
_LOOK = 0.05
"""How often it looks whether they do, in seconds."""

_TAKING_OVER = 30.0
"""How many seconds a run that replaces the database waits for one of this process that is being ended."""

_FORK_DEADLINE = 1.0
"""How many seconds a fork waits, if it comes while a collector starts."""

_LAST = -100
"""The priority of what is to come after everything that users have finalized."""

_MISSED = "not measured"
_LEFT = "not stored"
"""The reason of what waits for a collector that is no more."""

_exit_began: list[int] = []
"""When the interpreter began to end, on the clock of `now()`: what is waited for after that is not part of a run."""
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
        before_end: Called before the run ends, with what records a value.
        inherited: What records the run in the process from which this one was forked.
    """

    def __init__(
        self,
        settings: RunSettings,
        before_end: Callable[[Callable[[ValueRecord], None]], None],
        inherited: Inherited | None = None,
    ) -> None:
        self.uuid = settings.uuid
        self.link = Link(settings.limits)
        self.link.inherited = None if inherited is None else inherited.link
        self._parent = None if inherited is None else inherited.pid
        self.opened = originals.event()
        """Set when the database was opened, or could not be."""
        self.settled = originals.event()
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
            _end_with_forking_thread()
            self._start()
        except Exception as error:
            _live.discard(self)
            self._withdraw()
            if self.address is not None and not self._settings.is_shared:
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
        _end_with_worker()
        settings, others = self._settings, (self.link, self._ledger, self.opened, self.settled)
        if settings.is_worker:
            self.link.connect_first()
        if settings.is_shared:
            self._channel = joining.start(settings, self._parent, *others, self.unmeasured)
            return
        self.address = new_address(settings.uuid, settings.location.key)
        settings = settings._replace(address=self.address)
        if self.address is not None:
            publish(self.address)
            if (this := registry.identity(os.getpid())) is not None:
                for kind in ("", settings.kind_of_copies):
                    registry.enter(self.address, this, kind)
        first = self._after_others() if settings.replacing is not None else None
        if settings.collector == "process" or (settings.is_worker and settings.address is not None):
            self._channel = process.start(settings, *others, self.unmeasured, first)
        else:
            thread.start(settings, *others, first)

    def _after_others(self) -> Callable[[], None]:
        """Return what waits until the runs have left the database that this process is ending in it just now."""
        left = []
        for other in list(_live):
            if other is not self and other._ended.began and other._settings.location.key == self._settings.location.key:
                left.append(event := originals.event())
                other._ended.wait(lambda _, event=event: event.set())  # type: ignore[misc]  # it binds

        def wait() -> None:
            deadline = time.monotonic() + _TAKING_OVER
            for event in left:
                event.wait(max(0, deadline - time.monotonic()))

        return wait

    @property
    def failed(self) -> bool:
        """Whether the database could not be opened."""
        return self.opened.is_set() and not self.link.stores

    @property
    def cannot_open(self) -> bool:
        """Whether the interpreter ends, and the database is still not open: no thread can be started any more."""
        return self.overdue and not self.opened.is_set()

    @property
    def joins(self) -> bool:
        """Whether another process collects the run."""
        return self._settings.is_shared

    @property
    def is_over_elsewhere(self) -> bool:
        """Whether the run of other processes in which this one took part has ended."""
        return self.joins and self.link.was_closed

    @property
    def progress(self) -> tuple[object, ...]:
        """What changes as long as records are taken and stored."""
        return self.opened.is_set(), self.link.progress, *self._ledger.account()

    @property
    def ending(self) -> bool:
        """Whether the user has ended the run, and not the end of the interpreter."""
        return self._ended.began and not self._left_to_exit

    @property
    def is_over_at_exit(self) -> bool:
        """Whether the end of the interpreter has ended the run, and something still goes on."""
        return self._left_to_exit and self._ended.known

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
            self._before_end(self.link.append_value)
            self.link.recording = False
        finally:
            # Also if Ctrl-C comes here: whoever ends the run after this waits for the same answer.
            self.link.request(FlushRequest(self._answer_end, ending._replace(at=ending.at or now())))

    def pause(self, answer: Answer) -> None:
        """Have the answer called when everything before this is on disk; if nothing follows, the run is over."""
        if self._ended.began:
            answer(None)
        else:
            self.link.request(FlushRequest(answer, pause=Ending("ok", "its event loop was closed", now())))

    def end_dropped(self) -> None:
        """End the run without waiting, since nothing can record into it any more."""
        if not (self._ended.began or self.link.was_closed):
            self.end(lambda error: None, Ending("ok", "dropped", now()))

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
        if self.address is not None and not self._settings.is_shared:
            withdraw(self.address)
            if (this := registry.identity(os.getpid())) is not None:
                for kind in ("", self._settings.kind_of_copies):
                    registry.leave(self.address, this, kind)

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


before_exit: list[Callable[[], None]] = []
"""Called when the interpreter is about to end, while threads can still be started."""


def _await_opening() -> None:
    _exit_began.append(now())
    for call in before_exit:
        call()
    deadline = time.monotonic() + _OPENING
    for recorder in list(_live):
        recorder.link.hurry()
    for recorder in list(_live):
        recorder.overdue = not recorder.opened.wait(max(0, deadline - time.monotonic()))


def _end_all() -> None:
    """End the runs that nobody closed, in a bounded time."""
    ending = ending_at_exit(_exit_began[0] if _exit_began else now())
    waiting: dict[Recorder, threading.Event] = {}
    for recorder in list(_live):
        waiting[recorder] = answered = originals.event()
        recorder.link.handed_over = answered.set
        recorder.end_at_exit(lambda _, answered=answered: answered.set(), ending)  # type: ignore[misc]  # it binds
    _await_end(waiting)
    for recorder, answered in waiting.items():
        if not (answered.is_set() or recorder.link.is_handed_over):
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


_forked_in: list[threading.Thread] = []
"""In a child that was forked in another thread than the main one, that thread, until it is watched."""
_forks_in_main = True


def _note_fork() -> None:
    global _forks_in_main
    _forks_in_main = threading.current_thread() is threading.main_thread()


def _end_with_forking_thread() -> None:
    """Let a child end with the thread in which it was forked.

    Such a child runs no exit functions: it is over when its last thread is, and those of a collector would not end.
    """
    if _forked_in:
        thread = _forked_in.pop()

        def end() -> None:
            thread.join()
            _end_all()

        start_daemon(end, "umlaut-exit")


def _forget_in_child() -> None:
    _forked_in[:] = [] if _forks_in_main else [threading.current_thread()]
    for recorder in list(_live):
        _inherited.append(recorder)
        recorder.forget()
    _live.clear()


_ended_with: list[int] = []
"""The process in which that is so, and those from which it was forked."""


def _end_with_worker() -> None:
    """Have the runs ended at the end of a worker, which calls no other exit functions than those of multiprocessing."""
    if os.getpid() in _ended_with:
        return
    for package, _ in makers():
        _ended_with.append(os.getpid())
        importlib.import_module(f"{package}.util").Finalize(None, _end_all, exitpriority=_LAST)


def _await_imports() -> None:
    """Let a fork wait, for a bounded time, for imports of the collector: the child would inherit their locks."""
    deadline = time.monotonic() + _FORK_DEADLINE
    for recorder in list(_live):
        if not recorder.settled.is_set():
            recorder.link.hurry()
    for recorder in list(_live):
        recorder.settled.wait(max(0, deadline - time.monotonic()))


os.register_at_fork(before=_note_fork)
os.register_at_fork(before=_await_imports, after_in_child=_forget_in_child)
# Now, so that what users register later runs earlier, and is still recorded.
atexit.register(_end_all)
# Once threads are shut down no new one can be started, and opening a database needs one.
if (_register := getattr(threading, "_register_atexit", None)) is not None:
    _register(_await_opening)
