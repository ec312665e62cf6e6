"""The forwarder: what a measured process has of a collector that runs in another process.

On a loop in a thread of its own it sends what the calls have recorded, and reads what only this process can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async import errors
from umlaut_async.collector import wire
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.sampler import Sampler
from umlaut_async.collector.threads import ThreadNames
from umlaut_async.errors import StoreError
from umlaut_async.probes import UnavailableError, UnreadableError
from umlaut_async.records import CallRecord, EventRecord, FlushRequest, StageRecord, ValueRecord, is_counted
from umlaut_async.store.values import encode, storable

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
_MESSAGE = 2000
"""How many records a message has at most."""
_EDGE_DEADLINE = 5.0
"""How many seconds a flush waits for readings at the edges of calls."""
_EDGE_LOOK = 0.01


class _LocalMetric(NamedTuple):
    """A metric of a stage whose readings only this process can take, or understand."""

    source: Series | LoopSeries
    edge: int | None

    def series_of(self, call: int) -> Series | None:
        """Return the series of a call."""
        return self.source.of(call) if isinstance(self.source, LoopSeries) else self.source


class Forwarder:
    """Forwards the records of one process.

    Args:
        hello: Who this process is.
        channel: The connection to the collector.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
    """

    def __init__(
        self, hello: wire.Hello, channel: Channel, link: Link, ledger: Ledger, opened: threading.Event
    ) -> None:
        self._hello = hello
        self._channel = channel
        self._link = link
        self._ledger = ledger
        self._opened = opened
        self._answered = asyncio.Event()
        """Set when the collector has said whether it has a database, or will not have this process."""
        self.refusal: str | None = None
        """Why the collector will not have this process."""
        self._events: list[EventRecord] = []
        self._sampler = Sampler(self._events.append)
        self._attention = asyncio.Event()
        self._threads = ThreadNames()
        self._local: dict[int, list[_LocalMetric]] = {}
        self._held: list[CallRecord] = []
        self._shown: dict[int, str] = {}
        """The calls that the collector knows to be running, and who runs them."""
        self._announced: set[int] = set()
        self._provenance: dict[int, str | None] = {}
        self._dropped: dict[str, int] = {}
        self._requests: dict[int, FlushRequest] = {}
        self._ended = False

    async def run(self) -> bool:
        """Forward until the run has ended or the collector has gone; return whether it was ever there."""
        self._channel.listen(self._reply, lambda *_: None)
        self._link.listen(asyncio.get_running_loop(), self._woken)
        with contextlib.suppress(OSError):
            await self._channel.send(wire.encode(wire.Batch(hello=self._hello)))
        await self._first(self._answered.wait(), self._channel.ended())
        if self._answered.is_set() and self.refusal is None:
            self._link.announce = self._announce
            while not self._ended and self._channel.is_open:
                await self._pause()
                await self._round()
        self._channel.close()
        await self._sampler.close()
        return self._answered.is_set()

    @property
    def left_alone(self) -> bool:
        """Whether the collector has gone before the run ended."""
        return not self._ended

    def answer_left(self, reason: StoreError) -> None:
        """Answer the requests that the collector will not answer any more."""
        while self._requests:
            self._requests.popitem()[1].answer(reason)

    def _woken(self) -> None:
        while self._link.idle:
            self._sampler.start(self._link.idle.popleft())
        while self._link.waiting:
            self._sampler.take_edges(self._link.waiting.popleft())
        if self._link.requested or self._link.unsent:
            self._link.requested = False
            self._attention.set()

    async def _pause(self) -> None:
        await self._first(self._attention.wait(), self._channel.ended(), timeout=_INTERVAL)
        self._attention.clear()

    @staticmethod
    async def _first(*waits: Any, timeout: float | None = None) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    async def _round(self) -> None:
        """Send what has come."""
        self._link.rearm()
        self._threads.forget()
        # Before records are taken: a call that is open now cannot have left its record among those taken earlier.
        open_calls = self._link.open_calls.copy()
        batch = wire.Batch()
        await self._send_unsent()
        if not self._link.recording:
            # The run ends: its request comes after the records of the calls that end with it.
            for call in open_calls.values():
                call.abandon()
        left = len(self._link.records)
        while True:
            turn = min(left, _MESSAGE)
            left -= turn
            await self._take([self._link.records.popleft() for _ in range(turn)], batch)
            if not left:
                self._show(open_calls, batch)
            self._describe(batch)
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
        try:
            try:
                message = wire.encode(batch)
            except OverflowError:
                _narrow(batch)
                message = wire.encode(batch)
        except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
            _logger.exception("records could not be sent to the collector, which is a defect of umlaut_async")
            lost = len(batch.calls) + len(batch.values)
            message = wire.encode(wire.Batch(dropped={"defect": lost}, requests=batch.requests))
        with contextlib.suppress(OSError):
            await self._channel.send(message)

    async def _take(self, records: list[Record], batch: wire.Batch) -> None:
        requests = []
        held, self._held = self._held, []
        self._ledger.take(sum(map(is_counted, records)))
        for record in records:
            if type(record) is tuple:
                held.append(CallRecord(*record))
            elif isinstance(record, ValueRecord):
                batch.values.append(record)
            elif isinstance(record, StageRecord):
                self._add_stage(record)
                batch.stages.append(record)
            elif isinstance(record, FlushRequest):
                requests.append(record)
        deadline = asyncio.get_running_loop().time() + (_EDGE_DEADLINE if requests else 0)
        for call in held:
            while self._awaits_edges(call) and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(_EDGE_LOOK)
            if self._awaits_edges(call) and not requests:
                self._held.append(call)
            else:
                batch.calls.append(self._ended_call(call, batch))
        for request in requests:
            number = id(request)
            self._requests[number] = request
            batch.requests.append((number, request.ending))

    def _add_stage(self, stage: StageRecord) -> None:
        sources = [(self._link.sources[metric.series], metric.edge) for metric in stage.metrics if metric.series]
        self._local[stage.number] = [
            _LocalMetric(source, edge) for source, edge in sources if source.probe.outside is None
        ]

    def _awaits_edges(self, call: CallRecord) -> bool:
        for source, edge in self._local[call.stage]:
            if edge is None:
                if source.awaits_edges(call.number):
                    return True
            elif source.probe.pending is not None and source.probe.pending(call.left[edge]):
                return True
        return False

    def _ended_call(self, call: CallRecord, batch: wire.Batch) -> wire.EndedCall:
        entered, left = call.entered, call.left
        for metric in self._local[call.stage]:
            source, edge = metric
            series = metric.series_of(call.number)
            if series is None:
                continue
            series.windows.pop(call.number, None)
            if isinstance(source, LoopSeries):
                source.forget(call.number)
            if edge is None:
                for first, (at, reading) in zip((True, False), series.timed_edges(call.number), strict=True):
                    batch.edges.append(wire.Edge(source.number, series.number, call.number, first, at, reading))
            elif series.probe.settle is not None:
                settled = self._settled(series, entered[edge], left[edge])
                entered = (*entered[:edge], None, *entered[edge + 1 :])
                left = (*left[:edge], settled, *left[edge + 1 :])
        # A thread that was seen running may have ended as well by now.
        task = self._shown.pop(call.number, None) or self._task(call.task)
        error = None if call.error is None else storable(call.error)
        return (
            call.stage, call.number, call.parent, task, call.started, call.duration, call.status, error,
            call.entries, call.items, call.steps, entered, left,
        )  # fmt: skip

    def _settled(self, series: Series, entered: Any, left: Any) -> Any:
        assert series.probe.settle is not None
        try:
            return series.probe.settle(entered, left)
        except (UnavailableError, UnreadableError) as error:
            self._sampler.faults.add(series, error)
            return None

    def _show(self, open_calls: dict[int, Any], batch: wire.Batch) -> None:
        """Tell of the calls that have not ended."""
        ended = {call[1] for call in batch.calls}
        for number, call in open_calls.items():
            if number in self._shown or number in ended:
                continue
            task = self._shown[number] = self._task(call.task)
            batch.opened.append(wire.OpenCall(number, call.plan.stage, call.parent_number(), task, call.started))

    def _task(self, task: str | int) -> str:
        return storable(task) if isinstance(task, str) else self._threads[task]

    def _describe(self, batch: wire.Batch) -> None:
        """Tell of new series, and of what was read here."""
        for source in list(self._link.sources.values()):
            if isinstance(source, LoopSeries) and source.number not in self._announced:
                self._announced.add(source.number)
                batch.loops.append(wire.AnnouncedLoops(source.number, source.probe.source))
        for series in list(self._link.series.values()):
            if not series.announced:
                series.announced = True
                batch.series.append(_announcement(series))
            if series.probe.outside is None:
                self._add_samples(series, batch)
        for t, kind, message, data in self._events:
            batch.events.append(wire.Event(t, kind, storable(message), None if data is None else encode(data)))
        self._events.clear()
        if self._dropped:
            batch.dropped, self._dropped = self._dropped, {}

    def _add_samples(self, series: Series, batch: wire.Batch) -> None:
        series.take_edge_samples()
        changed = self._provenance.get(series.number) != series.provenance
        if not series.log.times and not series.missed and not changed:
            return
        self._provenance[series.number] = series.provenance
        missed, series.missed = series.missed, 0
        times, values, since = series.log.take_all()
        batch.samples.append(
            wire.Samples(series.number, times.tobytes(), values.tobytes(), since.tobytes(), missed, series.provenance)
        )

    def _announce(self, series: Series) -> None:
        """Make a series known at once, in the thread of the call that is the first to use it."""
        series.announced = self._channel.send_at_once(wire.encode(wire.Batch(series=[_announcement(series)])))

    def _reply(self, message: bytes) -> None:
        reply = wire.decode_reply(message)
        for level, line in reply.log:
            _logger.log(level, "%s", line)
        if reply.stored is not None:
            self._ledger.learn(reply.stored, reply.dropped)
        if reply.opened is not None:
            self._link.stores = reply.opened
            self._answered.set()
            self._opened.set()
        if reply.refusal is not None:
            self.refusal = reply.refusal
            self._answered.set()
        for number, error, text in reply.answers:
            request = self._requests.pop(number)
            self._ended |= request.ending is not None
            request.answer(None if error is None else getattr(errors, error, StoreError)(text))


def _announcement(series: Series) -> wire.AnnouncedSeries:
    probe = series.probe
    interval = series.interval if series.samples else None
    return wire.AnnouncedSeries(
        series.number, series.measure_type, series.unit, series.description, interval, probe.source,
        probe.provenance, probe.rate is not None, probe.outside,
    )  # fmt: skip


def _narrow(batch: wire.Batch) -> None:
    """Make floats of integers that are too long for the wire, in what users counted and read."""
    batch.edges = [edge._replace(reading=_narrowed(edge.reading)) for edge in batch.edges]
    batch.calls = [
        (*call[:8], call[8] and {key: _narrowed(value) for key, value in call[8].items()}, *call[9:])
        for call in batch.calls
    ]


def _narrowed(number: Any) -> Any:
    return float(number) if isinstance(number, int) and number.bit_length() > 63 else number


def hello(settings: Any, database: str, parent: int | None) -> wire.Hello:
    """Return who this process is."""
    return wire.Hello(os.getpid(), settings, database, parent)


_NOTHING = wire.Batch()
