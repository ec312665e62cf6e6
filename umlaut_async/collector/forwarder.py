"""The forwarder: what a measured process has of a collector that runs in another process.

On a loop in a thread of its own it sends what the calls have recorded, and reads what only this process can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from umlaut_async import errors, originals
from umlaut_async.collector import wire
from umlaut_async.collector.limits import FULL
from umlaut_async.collector.outgoing import Outgoing, announcement
from umlaut_async.collector.sampler import Sampler
from umlaut_async.collector.sendable import sendable
from umlaut_async.errors import StoreError
from umlaut_async.records import CallRecord, Ending, EventRecord, FlushRequest, StageRecord, is_counted

if TYPE_CHECKING:
    import threading

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.series import Series
    from umlaut_async.records import Record

_logger = logging.getLogger("umlaut_async")

_INTERVAL = 0.1
"""How many seconds a record waits before it is sent, at most."""
_BRIEFLY = 0.005
"""The same in a process that takes part in a run of another one, which may kill it as soon as its work is done."""
_AT_ONCE = 64
"""How many records the thread of a call sends at most."""
_MESSAGE = 2000
"""How many records a message has at most."""
_EDGE_DEADLINE = 5.0
"""How many seconds a flush waits for readings at the edges of calls."""
_EDGE_LOOK = 0.01


class Forwarder:
    """Forwards the records of one process.

    Args:
        hello: Who this process is.
        channel: The connection to the collector.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        joined: Whether the collector is that of several processes.
    """

    def __init__(
        self,
        hello: wire.Hello,
        channel: Channel,
        link: Link,
        ledger: Ledger,
        opened: threading.Event,
        *,
        joined: bool,
    ) -> None:
        self._hello = hello
        self._joined = joined
        self._channel = channel
        self._link = link
        self._ledger = ledger
        self._opened = opened
        self._answered = asyncio.Event()
        """Set when the collector has said whether it has a database."""
        self._events: list[EventRecord] = []
        self._sampler = Sampler(self._events.append)
        self._outgoing = Outgoing(link, self._sampler.faults, self._events)
        self._attention = asyncio.Event()
        self._urgent = False
        """Whether somebody waits for what is to be sent."""
        self._sent = 0.0
        self._held: list[CallRecord] = []
        self._requests: dict[int, FlushRequest] = {}
        self._ended = False
        self._turn = originals.lock()
        """Held by whoever sends records: this thread, or that of a call, which never waits for it."""
        self._in_turn = False
        """Whether it is this thread that holds it."""
        self._unsent: deque[bytes] = deque()
        """Messages of callers that the connection did not take at once."""

    async def run(self) -> bool:
        """Forward until the run has ended or the collector has gone; return whether it was ever there."""
        self._channel.listen(self._reply, lambda *_: None)
        self._link.listen(asyncio.get_running_loop(), self._woken)
        attending = asyncio.create_task(self._attend_to_end())
        with contextlib.suppress(OSError):
            await self._channel.send(wire.greeting(self._hello))
        if self._joined:
            # What it has may be all that there ever is of it: it is sent, and kept there until it is let in.
            self._link.deliver = self._deliver
            self._link.hasten()
        else:
            await self._first(self._answered.wait(), self._channel.ended())
        if self._joined or self._answered.is_set():
            self._link.announce = self._announce
            try:
                while not self._ended and self._channel.is_open:
                    await self._pause()
                    await self._round()
            except Exception as error:
                self.answer_left(StoreError(f"the link to the collector failed: {error!r}"))
                raise
        attending.cancel()
        self._channel.close()
        await self._sampler.close()
        return self._answered.is_set()

    async def _attend_to_end(self) -> None:
        await self._channel.ended()
        self._attention.set()

    @property
    def left_alone(self) -> bool:
        """Whether the collector has gone before the run ended."""
        return not self._ended

    @property
    def left(self) -> list[FlushRequest]:
        """The requests that are not answered."""
        return list(self._requests.values())

    def answer_left(self, reason: StoreError) -> None:
        """Answer the requests that the collector will not answer any more."""
        for request in self._requests.values():
            request.answer(reason)
        self._requests.clear()

    def _woken(self) -> None:
        while self._link.idle:
            self._sampler.start(self._link.idle.popleft())
        while self._link.waiting:
            self._sampler.take_edges(self._link.waiting.popleft())
        if self._link.requested or self._link.unsent:
            self._link.requested = False
            self._urgent = True
            self._attention.set()
        elif self._joined and self._link.records:
            self._attention.set()

    async def _pause(self) -> None:
        """Wait until something is to be sent."""
        link = self._link
        link.resting = self._joined
        # Looked for after that is set: one that comes now wakes it.
        if not (self._joined and link.records):
            await self._attention_within(_INTERVAL)
        link.resting = False
        clock = asyncio.get_running_loop().time
        if self._joined and not self._urgent and (left := self._sent + _BRIEFLY - clock()) > 0:
            self._attention.clear()
            await self._attention_within(left)
        self._sent = clock()

    async def _attention_within(self, seconds: float) -> None:
        # Not by a timeout, which costs more than all the rest of a round.
        timer = asyncio.get_running_loop().call_later(seconds, self._attention.set)
        await self._attention.wait()
        timer.cancel()

    @staticmethod
    async def _first(*waits: Any, timeout: float | None = None) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _deliver(self) -> bool:
        """Send the records of calls and values that have come, in the thread in which the last of them did."""
        # Without waiting, and not twice: a finalizer in this thread may end a call as well.
        if not self._turn.acquire(blocking=False):
            return False
        try:
            link = self._link
            records = list(link.records)
            if self._held or self._unsent or link.unsent or self._outgoing.has_news or len(records) > _AT_ONCE:
                return False
            if not all(is_counted(record) or isinstance(record, StageRecord) for record in records):
                return False
            batch = wire.Batch()
            self._outgoing.forget_threads()
            for call in self._outgoing.add_records(link.take(len(records), self._ledger), batch):
                if self._outgoing.needs_readings(call):
                    self._held.append(call)
                else:
                    batch.calls.append(self._outgoing.ended_call(call, batch))
            message = _encoded(batch)
            if not self._channel.send_at_once(message):
                self._unsent.append(message)
            return not (self._held or self._unsent)
        finally:
            self._turn.release()

    async def _round(self) -> None:
        """Send what has come."""
        with self._turn:
            self._in_turn = True
            try:
                await self._send_all()
            finally:
                self._in_turn = False
        if self._link.sent is not None and not (self._link.records or self._held):
            self._link.sent = True

    async def _send_all(self) -> None:
        while self._unsent:
            with contextlib.suppress(OSError):
                await self._channel.send(self._unsent[0])
            self._unsent.popleft()
        self._link.rearm()
        # What has come so far is taken in this round.
        self._attention.clear()
        self._urgent = False
        self._outgoing.forget_threads()
        # Before records are taken: a call that is open now cannot have left its record among those taken earlier.
        open_calls = self._link.open_calls.copy()
        batch = wire.Batch()
        if not self._link.recording:
            # The run ends: its request comes after the records of the calls that end with it.
            for call in open_calls.values():
                call.abandon()
        if refused := self._link.take_refused(self._ledger):
            batch.dropped[FULL] = refused
        # First which records are sent, then the signals: those of a call must not come after its record.
        left = len(self._link.records)
        await self._send_unsent()
        while True:
            turn = min(left, _MESSAGE)
            left -= turn
            records = self._link.take(turn, self._ledger)
            # First of all: whatever happens here, they are answered.
            self._requests.update((id(record), record) for record in records if isinstance(record, FlushRequest))
            await self._take(records, batch)
            if not left:
                self._outgoing.show(open_calls, batch)
            self._outgoing.describe(batch)
            await self._send(batch)
            if not left:
                return
            batch = wire.Batch()

    async def _send_unsent(self) -> None:
        """Send the signals that the connection did not take at once."""
        while self._link.unsent and self._channel.is_open:
            if self._channel.notify(*self._link.unsent[0]):
                self._link.unsent.popleft()
            else:
                await asyncio.sleep(_EDGE_LOOK)

    async def _send(self, batch: wire.Batch) -> None:
        if batch == _NOTHING:
            return
        message = _encoded(batch)
        with contextlib.suppress(OSError):
            await self._channel.send(message)
            if any(ending is not None for _, ending, _ in batch.requests):
                # What the system has, the collector gets, also when this process has ended.
                self._link.is_handed_over = self._joined
                if self._link.handed_over is not None and self._channel.peer == os.getppid():
                    # The answer may never come: its process may be waiting for the end of this one.
                    self._link.handed_over()

    async def _take(self, records: list[Record], batch: wire.Batch) -> None:
        requests = [record for record in records if isinstance(record, FlushRequest)]
        held, self._held = self._held, []
        held += self._outgoing.add_records(records, batch)
        deadline = asyncio.get_running_loop().time() + (_EDGE_DEADLINE if requests else 0)
        for call in held:
            while self._awaits_edges(call) and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(_EDGE_LOOK)
            if self._awaits_edges(call) and not requests:
                self._held.append(call)
            else:
                batch.calls.append(self._outgoing.ended_call(call, batch))
        batch.requests += [(id(request), request.ending, request.pause) for request in requests]

    def _awaits_edges(self, call: CallRecord) -> bool:
        # Where a defect has ended what answers, nobody waits for it.
        return self._outgoing.awaits_edges(call, self._sampler.answers_edges or bool(self._link.waiting))

    def _announce(self, series: Series) -> None:
        """Make a series known at once, in the thread of the call that is the first to use it."""
        series.announced = self._channel.send_at_once(wire.encode(wire.Batch(series=[announcement(series)])))

    def _reply(self, message: bytes) -> None:
        reply = wire.decode_reply(message)
        for level, line in reply.log:
            _logger.log(level, "%s", line)
        if reply.stored is not None:
            # Callers enter what they send.
            with contextlib.nullcontext() if self._in_turn else self._turn:
                self._ledger.learn(reply.stored, reply.dropped)
        if reply.opened is not None:
            self._link.stores = reply.opened
            self._answered.set()
            self._opened.set()
        if reply.progress:
            self._link.progress = reply.progress
        if reply.dismissed:
            self._link.recording = False
            self._link.request(FlushRequest(lambda error: None, Ending("ok", "the run ended")))
        for number, error, text in reply.answers:
            request = self._requests[number]
            self._ended |= request.ending is not None
            request.answer(None if error is None else getattr(errors, error, StoreError)(text))
            del self._requests[number]


def _encoded(batch: wire.Batch) -> bytes:
    try:
        return wire.encode(batch)
    except (OverflowError, TypeError, ValueError):
        return wire.encode(sendable(batch))


_NOTHING = wire.Batch()
