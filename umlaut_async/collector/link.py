"""The link in memory: how the measured code hands records to a collector in the same process.

What calls use here runs on the measured path, in finalizers and in signal handlers: no locks, no waiting.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.limits import Limits, Tally
from umlaut_async.collector.loop_lag import LoopLagSeries
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.outside import OutsideSeries
from umlaut_async.collector.series import Series
from umlaut_async.probes import Place
from umlaut_async.records import CallRecord, FlushRequest, Record, ValueRecord, is_counted

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Hashable

    from umlaut_async.calls import Call
    from umlaut_async.collector.account import Accounting, Ledger
    from umlaut_async.errors import StoreError
    from umlaut_async.metrics import Metric
    from umlaut_async.probes import Probe

_logger = logging.getLogger("umlaut_async")

_LIMITS = Limits()
_LONG = 1_000_000
"""Nanoseconds from which on a call is sent as soon as it has ended, if no other one is open."""
_OFTEN = 5_000_000
"""Nanoseconds that lie between two shorter ones that are sent so."""
_CONNECTING, _SENDING, _LOOK = 1.0, 0.05, 0.0005
"""How many seconds a call of a worker waits at most until it is connected, and until a record is sent, and how often it
looks."""
_LOOKS = 100
"""How often the account is looked at, at most, until nothing moves meanwhile."""


class Link:
    """The records of one process on their way to the collector.

    Args:
        limits: How much may wait here. What comes beyond that is counted and dropped.

    Attributes:
        recording: Whether calls are measured.
        inherited: The link of the process from which this one was forked while it recorded the same run.
        numbers: The numbers of calls.
        stages: The numbers of stages.
        copied_stages: Those of stages that came from other processes, by what is recorded of them.
        open_calls: The calls that have not ended, by number.
        shown: The open calls that the collector has told of.
        unrecorded: Those of them that have ended and of which nothing is recorded.
        records: What the collector has not taken yet, oldest first.
        append: Adds a record.
        refused: How many records of calls and values were dropped, since too many waited.
        full: Whether records are dropped at present.
        pressed: Whether so much waits that samples, which are the first to be dropped, are to make room.
        series: All series, by number.
        sources: What the stages use, by number: series, and what has one series for each event loop.
        idle: Series that a call entered while no task sampled them.
        waiting: Series of which a call wants a reading at its edge.
        requested: Whether a request has come that the collector has not looked at.
        ended_elsewhere: Whether another process, that of the run, has ended it.
        explained: Whether the log says why nothing is recorded any more.
        resting: Whether the collector waits for a record; see `hasten`.
        stirred: Whether a record has come since `arm` that the collector has not looked at.
        progress: How much the collector has taken and stored, as far as is known.
        stores: Whether the database of the run could be opened.
        deliver: Sends what has come to a collector in another process, in the thread of the caller; returns whether it
            has all that came, or else is to be woken.
        sent: Whether a collector in another process has all that came, where the calls of a worker wait for that.
        handed_over: Called when all records up to the end of the run are with the process that has started this one.
        is_handed_over: Whether they are with a collector that does not end with this process.
        unsent: Signals that the connection to a collector in another process did not take at once.
        notify: Signals something to a collector in another process, if it is in one.
        announce: Makes a new series known to it, as soon as that can be done at once.
    """

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self.limits = limits
        self.recording = True
        self.inherited: object | None = None
        self.numbers = itertools.count(1)
        self.stages = itertools.count(1)
        self.copied_stages: dict[Hashable, int] = {}
        self.open_calls: dict[int, Call] = {}
        self.shown: set[int] = set()
        self.unrecorded: deque[int] = deque()
        self.records: deque[Record] = deque()
        self._add: Callable[[Record], None] = self.records.append
        self.append = self._add
        self.refused = Tally()
        self.full = self.pressed = False
        self._data_added = self._data_taken = 0
        self._moving = False
        """Whether records are on their way into the ledger just now, and in neither place."""
        self.series: dict[int, Series] = {}
        self.sources: dict[int, Series | LoopSeries] = {}
        self.idle: deque[Series] = deque()
        self.waiting: deque[Series] = deque()
        self.requested = False
        self.resting = self.stirred = False
        self.progress = 0
        self.stores = False
        self.ended_elsewhere = self.explained = False
        self.deliver: Callable[[], bool] | None = None
        self._delivered = 0
        self.sent: bool | None = None
        self.handed_over: Callable[[], object] | None = None
        self.is_handed_over = False
        self.unsent: deque[tuple[int, int, int, int]] = deque()
        self.notify: Callable[[int, int, int, int], None] | None = None
        self.announce: Callable[[Series], None] | None = None
        self._series_by_source: dict[Hashable, Series | LoopSeries] = {}
        self._series_numbers = itertools.count(1)
        self._failures = itertools.count()
        self._listener: tuple[AbstractEventLoop, Callable[[], None]] | None = None
        self._waking = False
        self._closed: StoreError | None = None

    def series_of(self, metric: Metric, probe: Probe) -> Series | LoopSeries:
        """Return the one series of a probe at the interval of a metric, described by the first metric that wants it."""
        source = (metric.measure_type, probe.key, metric.interval)
        series = self._series_by_source.get(source)
        if series is None:
            new: Series | LoopSeries
            if probe.place in (Place.LOOP, Place.TIMER):
                new = LoopSeries(next(self._series_numbers), probe, lambda: self._series_of_loop(metric, probe))
            else:
                new = self._new_series(metric, probe)
            # Another thread may have been first; then its series counts.
            series = self._series_by_source.setdefault(source, new)
            self.sources[series.number] = series
            if isinstance(series, Series):
                self.series[series.number] = series
                if self.announce is not None:
                    self.announce(series)
        return series

    def _series_of_loop(self, metric: Metric, probe: Probe) -> Series:
        series = self._new_series(metric, probe)
        self.series[series.number] = series
        return series

    def _new_series(self, metric: Metric, probe: Probe) -> Series:
        described = (metric.measure_type, metric.unit, metric.description)
        interval = None if metric.interval is None else round(metric.interval * 1e9)
        make: type[Series] = LoopLagSeries if probe.place is Place.TIMER else Series
        if self.notify is not None and probe.outside is not None:
            make = OutsideSeries
        return make(self, next(self._series_numbers), *described, probe, interval)

    def append_value(self, value: ValueRecord) -> None:
        """Add a value of the user, which can be of any size."""
        if value.data is not None:
            self._data_added += len(value.data)
        self.append(value)
        self.look()

    def look(self) -> None:
        """Drop what comes from now on, if as much waits as may. Calls look now and then: the collector may hang."""
        records, data = len(self.records), self._data_added - self._data_taken
        self.pressed = 2 * records >= self.limits.records or 2 * data >= self.limits.data
        if records >= self.limits.records or data >= self.limits.data:
            self.full = True
            self.append = self._refuse

    def _refuse(self, record: Record) -> None:
        if not is_counted(record):
            self.records.append(record)
            return
        self.refused.add()
        if isinstance(record, ValueRecord):
            self._data_taken += len(record.data or "")
        else:
            self.leave_out(CallRecord(*record).number)

    def show(self, number: int) -> bool:
        """Take note that the collector tells of an open call; return whether it still is one."""
        # In this order: if it ends meanwhile, either it is seen here or `leave_out` sees what was noted.
        self.shown.add(number)
        if number in self.open_calls:
            return True
        self.shown.discard(number)
        return False

    def leave_out(self, number: int) -> None:
        """Let go of a call that has ended, and of which nothing is recorded."""
        self.open_calls.pop(number, None)
        if number in self.shown:
            self.unrecorded.append(number)
        self.forget_call(number)

    def forget_call(self, number: int) -> None:
        """Let go of what the series know of an ended call, of which nothing is recorded."""
        for source in list(self.sources.values()):
            if isinstance(source, LoopSeries):
                source.forget(number)
        for series in list(self.series.values()):
            series.forget_call(number)

    def take(self, count: int, ledger: Ledger) -> list[Record]:
        """Return the oldest records, and take new ones again once there is room; only the collector does so.

        Args:
            count: How many.
            ledger: Where they are entered.
        """
        records: list[Record] = []
        self._moving = True
        try:
            records += [self.records.popleft() for _ in range(count)]
            others = [record for record in records if type(record) is not tuple]  # Few: nearly all are calls.
            ledger.take(len(records) - len(others) + sum(map(is_counted, others)))
        except BaseException:
            self.records.extendleft(reversed(records))  # Requests among them are still to be answered.
            raise
        finally:
            self._moving = False
        for record in others:
            if isinstance(record, ValueRecord) and record.data is not None:
                self._data_taken += len(record.data)
        if self.pressed:
            self.look()
            if self.full and not self.pressed:
                self.full = False
                self.append = self._add
        return records

    def take_refused(self, ledger: Ledger) -> int:
        """Return how many records were refused since the last time, and enter them; only the collector does so."""
        self._moving = True
        try:
            if refused := self.refused.take():
                ledger.take(refused)
        finally:
            self._moving = False
        return refused

    def hasten(self) -> None:
        """Have the first record that comes while the collector is `resting` wake it."""
        self._add = self.append = self._add_and_wake

    def _add_and_wake(self, record: Record) -> None:
        self.records.append(record)
        if not self.open_calls and self.deliver is not None and is_counted(record):
            # Whoever started this process may end it at any moment now. It costs a few hundredths of a long call; short
            # ones are sent so as often as the others would be.
            moment = now()
            lasted = CallRecord(*record).duration if type(record) is tuple else 0
            if lasted > _LONG or moment > self._delivered + _OFTEN:
                self._delivered = moment
                if self.deliver():
                    return
                if self.sent is not None:
                    self._await_sending(_SENDING)
                    return
        if self.resting:
            self.resting = False
            self.wake()

    def connect_first(self) -> None:
        """Have the first call that has ended, or value, wait until the process is connected to the collector."""
        self.sent = False
        self._add = self.append = self._add_and_connect

    def _add_and_connect(self, record: Record) -> None:
        self.records.append(record)
        if not self.open_calls and is_counted(record):
            self._await_sending(_CONNECTING)
            if self._add == self._add_and_connect:  # It takes too long.
                self._add = self.append = self.records.append

    def _await_sending(self, seconds: float) -> None:
        # Whoever started this process may end it as soon as it has the result of the call. Without a lock, which the
        # finalizer or the handler of a signal that interrupts this might wait for.
        self.sent = False
        self.hurry()
        deadline = time.monotonic() + seconds
        while not self.sent and self._closed is None and time.monotonic() < deadline:
            time.sleep(_LOOK)

    def arm(self) -> None:
        """Have the next record wake the collector, and only that one."""
        self.stirred = False
        if not self.full:
            self.append = self._add_and_stir
            if self.full:  # It has become so between these lines.
                self.append = self._refuse

    def _add_and_stir(self, record: Record) -> None:
        self.append = self._add
        self._add(record)
        self.stirred = True
        self.wake()

    def request(self, request: FlushRequest) -> None:
        """Append a request and wake the collector; the request is answered whatever happens."""
        self.append(request)
        self.hurry()
        if self._closed is not None:
            self._answer_left()

    def hurry(self) -> None:
        """Let the collector know that somebody waits for it."""
        self.requested = True
        self.wake()

    def listen(self, loop: AbstractEventLoop, listener: Callable[[], None]) -> None:
        """Let every wake-up call the listener on this loop, beginning with one for what has happened before."""
        self._listener = loop, listener
        self.wake()

    def wake(self) -> None:
        """Wake the collector, unless a wake-up is already on its way."""
        if self._waking or self._listener is None:
            return
        self._waking = True
        loop, _ = self._listener
        try:
            loop.call_soon_threadsafe(self._woken)
        except RuntimeError:
            pass  # The loop is closed, since the collector has ended.

    def rearm(self) -> None:
        """Make up for a wake-up that was lost, since an interrupt came between its two steps."""
        self._woken()

    def _woken(self) -> None:
        # Reset first: whoever appends after this line wakes again.
        self._waking = False
        if self._listener is not None:
            self._listener[1]()

    def close(self, reason: StoreError) -> None:
        """Record nothing any more, and answer with the reason every request that is left or still comes."""
        self.recording = False
        self._listener = None
        self._closed = reason
        self._answer_left()

    @property
    def was_closed(self) -> bool:
        """Whether the run has ended, or could not begin."""
        return self._closed is not None

    def forget(self) -> None:
        """Record nothing any more, since this is a forked child: what is here belongs to the parent."""
        self.recording = False
        self._listener = None
        self.notify = self.deliver = None
        self.records.clear()
        self.open_calls.clear()

    def _answer_left(self) -> None:
        reason = self._closed
        for _ in range(len(self.records)):
            try:
                record = self.records.popleft()
            except IndexError:
                return  # Another thread answers them.
            if isinstance(record, FlushRequest):
                record.answer(reason)
            else:
                self.append(record)

    def account(self, ledger: Ledger) -> Accounting:
        """Return what became of the records, with those that the collector has not taken yet.

        Args:
            ledger: Where those are counted that it has.
        """
        for _ in range(_LOOKS):
            # Of one moment, as near as may be: what is taken between two looks would count twice, or not at all.
            moving, account = self._moving, ledger.account()
            refused, records = self.refused.waiting, self.records.copy()
            if not (moving or self._moving) and ledger.account() is account:
                break
            time.sleep(0)
        waiting = sum(map(is_counted, records)) + refused
        return account._replace(recorded=account.recorded + waiting, in_flight=account.in_flight + waiting)

    def failed(self, failure: Exception) -> None:
        """Report the first failure of our own on the measured path."""
        if next(self._failures) == 0:
            _logger.error("a call could not be measured, which is a defect of umlaut_async", exc_info=failure)
