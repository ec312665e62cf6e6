"""The intake: takes records from the link, makes their rows, and hands these to the writer."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from socket import gethostname
from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.death import is_orderly
from umlaut_async.collector.lacks import dropped_records, dropped_samples, missed_ticks
from umlaut_async.collector.limits import FULL
from umlaut_async.probes import FIRST_DEADLINE
from umlaut_async.records import COMMAND, LOST, CallRecord, FlushRequest, Record, StageRecord, ValueRecord, is_counted
from umlaut_async.store.deaths import Death, OpenCall, Witness
from umlaut_async.store.models import key

if TYPE_CHECKING:
    from collections.abc import Collection

    from umlaut_async.calls import Call
    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.rows import Row, Rows
    from umlaut_async.collector.sampler import Sampler
    from umlaut_async.collector.vitals import Seen, Vitals
    from umlaut_async.collector.writer import Writer
    from umlaut_async.records import Ending, EventRecord

_logger = logging.getLogger("umlaut_async")

# The constructor of a NamedTuple from an iterable takes twice the time.
new_call_record = tuple.__new__

_EDGE_DEADLINE = FIRST_DEADLINE + 1
"""How many seconds a flush waits for edge readings of calls that have ended: until they are taken or given up."""
_EDGE_LOOK = 0.01
"""How often it looks for them, in seconds."""
_NEVER = -1
_PRODUCING = -3
"""The place in the row of a call of the time inside its producer."""
_TURN = 500
"""How many records are taken before the sampling tasks get their turn."""


class Intake:
    """Takes the records of one process, once the database is open.

    Args:
        pid: The process.
        link: Where the records come from.
        sampler: What answers edge requests.
        rows: What makes the rows.
        writer: What stores them.
        ledger: Where records are counted.
        events: Events that come up in the collector itself.
        is_worker: Whether the process may be ended without notice, as workers are.
    """

    def __init__(
        self,
        pid: int,
        link: Link,
        sampler: Sampler,
        rows: Rows,
        writer: Writer,
        ledger: Ledger,
        events: list[EventRecord],
        *,
        is_worker: bool = False,
    ) -> None:
        self._is_worker = is_worker
        self.link = link
        self.process_id = rows.process_id
        self.pid = pid
        self._shares_interpreter = pid == os.getpid()
        self.ending: Ending | None = None
        """How the process ends, once that is known."""
        self.pause: Ending | None = None
        """How the process has ended if nothing follows, where nobody has closed the run."""
        self.death: Death | None = None
        """What is known of it, where it ended without a word."""
        self.sampler = sampler
        self._rows = rows
        self._writer = writer
        self._ledger = ledger
        self._events = events
        self._held: list[CallRecord] = []
        self._ended: set[int] = set()
        self._shown: dict[int, int | None] = {}
        """What was stored of running calls: the time inside the producer so far, by the number."""
        self._running: dict[int, Row] = {}
        self._open_calls: dict[int, Call] = {}
        self._drops: Counter[str] = Counter()
        """Records that were dropped since this was last reported, by the reason."""
        self.missed = self.samples_dropped = 0
        """How many ticks were missed, and samples dropped, from the beginning of the process."""

    @property
    def command(self) -> int | None:
        """The key of the call of its process that is a command which that measures, while it runs."""
        calls = self.link.open_calls.copy()
        return next((key(self.process_id, each) for each in calls if calls[each].plan.kind == COMMAND), None)

    @property
    def first(self) -> float:
        """When its first call began, or its first value was recorded, on the clock of `now()`."""
        return self._rows.first

    @property
    def recorded(self) -> int:
        """How many records there have been so far."""
        return self._ledger.account().recorded + len(self.link.records)

    @property
    def last(self) -> int:
        """When its last call ended, or its last value was recorded, on the clock of `now()`."""
        return self._rows.last

    def ended(self, run: Ending | None) -> int:
        """Return when the part of the process in the run ended, on the clock of `now()`: after all its calls.

        Args:
            run: How the run ends, if it does.
        """
        asked = (self.ending and self.ending.at) or (run and run.at) or now()
        return max(asked, self._rows.last)

    async def close(self) -> None:
        """Let go of what reads for the process."""
        await self.sampler.close()

    async def take(self, requests: list[FlushRequest]) -> None:
        """Take the records that have come.

        Args:
            requests: Gets the requests among them.
        """
        # What comes from now on is for the next round.
        self.link.arm()
        # Before records are taken: a call that is open now cannot have left its record among those taken earlier.
        self._open_calls = self.link.open_calls.copy()
        await self._take_records(requests)

    async def abandon(self, requests: list[FlushRequest], ending: Ending, vitals: Vitals) -> None:
        """End the calls that have not ended, and take their records.

        Args:
            requests: Gets the requests that have come meanwhile.
            ending: How the process has ended: where that was without a word, nothing more is known of its calls.
            vitals: What was seen of the process.
        """
        calls = self.link.open_calls.copy().values()
        if ending.status != LOST:
            for call in calls:
                call.abandon()
        elif self.death is None:
            self._lose(calls, ending, vitals.seen(self.pid))
        await self._take_records(requests)
        if ending.status != LOST:
            # Those of another process that does not answer, as one that is stopped.
            self._write_off(self.link.open_calls.copy().values(), now(), "abandoned")

    def _write_off(self, calls: Collection[Call], ended: int, status: str) -> list[Row]:
        spans = [self._rows.lost(call, ended, status) for call in calls]
        self._ledger.take(len(spans))
        for span in spans:
            self.link.open_calls.pop(span[2], None)
            self._writer.units.add((span,))
        return spans

    def _lose(self, calls: Collection[Call], ending: Ending, seen: Seen) -> None:
        """Take note that the process has ended without a word, in the midst of calls."""
        ended = ending.at or now()
        spans = self._write_off(calls, ended, LOST)
        open_calls = tuple(OpenCall(span[4], span[7]) for span in spans)
        identity = self._writer.run_uuid, (self.process_id,), gethostname(), self.pid, self._writer.epoch + ended
        self.death = Death(*identity, open_calls, Witness(ending.how, *seen))

    async def _take_records(self, requests: list[FlushRequest]) -> None:
        waiting = len(self.link.records)
        if refused := self.link.take_refused(self._ledger):
            self._drop(FULL, refused)
        while waiting > 0:
            turn = min(waiting, _TURN)
            self._take_turn(turn, requests)
            waiting -= turn
            await asyncio.sleep(0)

    def _take_turn(self, turn: int, requests: list[FlushRequest]) -> None:
        self._rows.forget_threads()
        records = self.link.take(turn, self._ledger)
        # First of all: whatever happens here, they are answered.
        requests += [record for record in records if isinstance(record, FlushRequest)]
        for record in records:
            self._note_end(record)
            try:
                self._take_record(record)
            except Exception:
                self._defect(counted=is_counted(record))

    def _note_end(self, record: Record) -> None:
        """Take note of how the process ends, or has ended if nothing follows."""
        ending = record.ending if isinstance(record, FlushRequest) else None
        if ending is None:
            self.pause = record.pause if isinstance(record, FlushRequest) else None
        elif ending.status == LOST and self.pause is not None and not self.link.open_calls:
            self.ending = self.ending or self.pause._replace(how=f"{self.pause.how}, then it was {ending.how}")
        elif ending.status == LOST and self._is_worker and is_orderly(ending.how) and not self.link.open_calls:
            self.ending = self.ending or ending._replace(status="ok")
        else:
            self.ending = self.ending or ending

    def _take_record(self, record: Record) -> None:
        if is_counted(record) and self._is_full:
            self._refuse(record)
        elif type(record) is tuple:
            # Made one at a time: many at once would be followed by the garbage collector.
            call = new_call_record(CallRecord, record)
            self._ended.add(call.number)
            if self._awaits_edges(call):
                self._held.append(call)
            else:
                self._writer.units.add(self._rows.call(call))
        elif isinstance(record, ValueRecord):
            self._writer.units.add_value(self._rows.value(record))
        elif isinstance(record, StageRecord):
            self._rows.add_stage(record)

    @property
    def _is_full(self) -> bool:
        limits, units = self.link.limits, self._writer.units
        return len(units) + len(self._held) >= limits.records or units.data >= limits.data

    def _refuse(self, record: Record) -> None:
        self._drop(FULL, 1)
        if type(record) is tuple:
            self.link.leave_out(CallRecord(*record).number)

    def _drop(self, reason: str, count: int) -> None:
        self._ledger.drop(reason, count)
        self._drops[reason] += count

    def _defect(self, *, counted: bool = True) -> None:
        if counted:
            self._drop("defect", 1)
        _logger.exception("a record could not be stored, which is a defect of umlaut_async")

    def _awaits_edges(self, call: CallRecord) -> bool:
        # Where a defect has ended what answers, nobody waits for it.
        return self._rows.awaits_edges(call, self.sampler.answers_edges or bool(self.link.waiting))

    async def settle(self, wait: bool) -> None:
        """Take the ended calls whose edge readings have come.

        Args:
            wait: Whether to wait for those that have not, within a deadline.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + _EDGE_DEADLINE
        while self._held:
            self.sampler.edge_taken.clear()
            late: list[CallRecord] = []
            ready: list[CallRecord] = []
            for record in self._held:
                (late if self._awaits_edges(record) else ready).append(record)
            if late and wait and clock() < deadline:
                # Not all that is awaited is told of: what happens on a GPU must be looked for.
                try:
                    async with asyncio.timeout(_EDGE_LOOK):
                        await self.sampler.edge_taken.wait()
                except TimeoutError:
                    pass
                continue
            if wait:
                ready, late = self._held, []
            self._held = late
            self._rows.forget_threads()
            for record in ready:
                try:
                    self._writer.units.add(self._rows.call(record))
                except Exception:
                    self._defect()
            return

    def prepare(self) -> list[Row]:
        """Hand the writer what is to be stored beside records, and return the spans of running calls."""
        for series in list(self.link.series.values()):
            self._writer.add_series(self.process_id, series)
            # What cannot be read has no samples that could be missing, and is told of in other words.
            if series.missed and series.provenance not in (None, "unavailable"):
                self.missed += series.missed
                self._events.append(missed_ticks(series, shares_interpreter=self._shares_interpreter))
            series.make_room()
            if series.dropped:
                self.samples_dropped += series.dropped
                self._events.append(dropped_samples(series))
        self.add_events()
        self._rows.forget_threads()
        while self.link.unrecorded:
            number = self.link.unrecorded.popleft()
            self._ended.add(number)
            self._rows.leave_out(number)
            self._writer.add_unrecorded(key(self.process_id, number))
        self.link.shown -= self._ended
        for number in self._ended & self._shown.keys():
            del self._shown[number]
        self._ended.clear()
        self._running = {
            number: self._rows.running(call)
            for number, call in self._open_calls.items()
            if self._shown.get(number, _NEVER) != call.producing() and self.link.show(number)
        }
        return list(self._running.values())

    def stored(self) -> None:
        """Take note that what was handed to the writer is stored."""
        self._shown.update((number, row[_PRODUCING]) for number, row in self._running.items())

    @property
    def has_events(self) -> bool:
        """Whether events have come up that the writer does not have."""
        return bool(self._events)

    def add_events(self) -> None:
        """Hand the writer the events that have come up."""
        while self._drops:
            self._events.append(dropped_records(*self._drops.popitem()))
        while self._events:
            event = self._events.pop(0)
            try:
                self._writer.add_event(self._rows.event(event))
            except Exception:
                # No record of the user's is lost, so the account does not count it.
                _logger.exception("an event could not be stored, which is a defect of umlaut_async: %r", event)
