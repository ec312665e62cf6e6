"""A measured process as a collector in another process sees it: its messages become a link as of this process."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.collector import wire
from umlaut_async.collector.lacks import dropped_records
from umlaut_async.collector.link import Link
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.series import EdgeRequest, Series, Taken
from umlaut_async.collector.signals import LAST_EDGE
from umlaut_async.probes import Place, Probe
from umlaut_async.probes.outside import from_outside
from umlaut_async.records import EventRecord, FlushRequest
from umlaut_async.store.values import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.limits import Limits
    from umlaut_async.errors import StoreError
    from umlaut_async.records import Ending, StageRecord


class _Plan(NamedTuple):
    stage: int
    kind: str


class DistantCall:
    """A call of another process that has not ended, as far as is known."""

    def __init__(self, opened: wire.OpenCall, kind: str) -> None:
        self.number = opened.number
        self.plan = _Plan(opened.stage, kind)
        self.parent = opened.parent
        self.task = opened.task
        self.started = opened.started
        self._producing = opened.producing

    def go_on(self, opened: wire.OpenCall) -> None:
        """Take note of what is told of it anew."""
        self._producing = opened.producing

    def producing(self) -> int | None:
        """Return the nanoseconds that a generator has been inside its producer so far; None of any other call."""
        return self._producing

    def abandon(self) -> None:
        """Leave it to the process, which has ended it or has gone."""

    def parent_number(self) -> int | None:
        """Return the number of the call that this one runs in."""
        return self.parent


class Connection:
    """Acts on a link as the calls of the process at the other end would.

    Args:
        channel: The connection.
        pid: The process.
        ledger: Where its records are counted.
        report: Takes the events of the process.
        limits: How much of it may wait.
    """

    def __init__(
        self, channel: Channel, pid: int, ledger: Ledger, report: Callable[[EventRecord], None], limits: Limits
    ) -> None:
        self.link = Link(limits)
        self._channel = channel
        self._pid = pid
        self._ledger = ledger
        self._report = report
        self._stages: dict[int, list[tuple[Series | LoopSeries, int | None]]] = {}
        self._kinds: dict[int, str] = {}
        self._early: dict[int, list[tuple[int, int, int]]] = {}
        """Signals of series that are not announced yet."""
        self._reply = wire.Reply()
        self._told: tuple[int, int] = (0, 0)
        self._progress = 0
        self.has_ended = False
        """Whether the process has said that it records nothing more."""

    def signal(self, kind: int, number: int, call: int, at: int) -> None:
        """Take a signal."""
        series = self.link.series.get(number)
        if series is None:
            self._early.setdefault(number, []).append((kind, call, at))
        elif kind == LAST_EDGE:
            series.leave(call, at, None)
        elif call not in series.windows:
            series.enter(call, at, None)

    def take(self, batch: wire.Batch) -> None:
        """Take a message."""
        for announced in batch.series:
            self._add_series(announced)
        for loops in batch.loops:
            probe = Probe(("elsewhere", loops.number), _not_read, loops.source, Place.LOOP)
            self.link.sources[loops.number] = LoopSeries(loops.number, probe, _not_made)
        for stage in batch.stages:
            self._add_stage(stage)
        for opened in batch.opened:
            self._open(opened)
        # A reading that failed has no time, and others come late.
        starts = {call[1]: call[4] for call in batch.calls} if batch.edges else {}
        for edge in batch.edges:
            series = self.link.series[edge.series]
            source = self.link.sources[edge.source]
            if isinstance(source, LoopSeries):
                source.assign(edge.call, series)
            series.windows.setdefault(edge.call, starts.get(edge.call, edge.at))
            series.edges[EdgeRequest(edge.call, edge.first)] = Taken(edge.at, edge.reading, edge.at)
        for samples in batch.samples:
            self._add_samples(samples)
        for call in batch.calls:
            self._end(call)
        for number in batch.unrecorded:
            self.link.leave_out(number)
        self.link.look()
        for value in batch.values:
            self.link.append_value(value)
        for t, kind, message, data in batch.events:
            self._report(EventRecord(t, kind, message, None if data is None else decode(data)))
        for reason, count in batch.dropped.items():
            self._ledger.take(count)
            self._ledger.drop(reason, count)
            self._report(dropped_records(reason, count, f" in process {self._pid}"))
        for number, ending, pause in batch.requests:
            self._request(number, ending, pause)

    def _add_series(self, announced: wire.AnnouncedSeries) -> None:
        number, measure_type, unit, description, interval = announced[:5]
        if number in self.link.series:
            return
        series = Series(self.link, number, measure_type, unit, description, self._probe(announced), interval)
        self.link.series[number] = self.link.sources[number] = series
        for kind, call, at in self._early.pop(number, []):
            self.signal(kind, number, call, at)

    def _probe(self, announced: wire.AnnouncedSeries) -> Probe:
        if announced.outside is not None:
            return from_outside(announced.outside, self._pid)
        # Read by the process itself: only what it is called and how it is reduced are of use here.
        rate = _no_rate if announced.is_rate else None
        key = ("elsewhere", announced.number)
        return Probe(key, _not_read, announced.source, Place(announced.place), rate, announced.provenance)

    def _add_stage(self, stage: StageRecord) -> None:
        self._kinds[stage.number] = stage.kind
        self._stages[stage.number] = [
            (self.link.sources[metric.series], metric.edge) for metric in stage.metrics if metric.series is not None
        ]
        self.link.append(stage)

    def _open(self, opened: wire.OpenCall) -> None:
        if isinstance(known := self.link.open_calls.get(opened.number), DistantCall):
            known.go_on(opened)
            return
        call = DistantCall(opened, self._kinds[opened.stage])
        self.link.open_calls[opened.number] = call  # type: ignore[assignment]  # as far as it is needed
        for series, _ in self._stages[opened.stage]:
            if isinstance(series, LoopSeries):
                continue
            if series.probe.read is _not_read:
                series.windows[opened.number] = opened.started
            elif series.probe.place is Place.CALLER and opened.number not in series.windows:
                series.enter(opened.number, opened.started, None)

    def _add_samples(self, samples: wire.Samples) -> None:
        series = self.link.series[samples.series]
        series.provenance = samples.provenance or series.provenance
        series.missed += samples.missed
        times, values, since = array("q", samples.times), array("d", samples.values), array("q", samples.since)
        for index, (t, value) in enumerate(zip(times, values, strict=True)):
            series.add(Taken(t, value, since[index] if since else 0))
        for t, value, asked in samples.unstored:
            series.add(Taken(t, value, asked), store=False)
        series.make_room()

    def _end(self, call: wire.EndedCall) -> None:
        number, started, duration, entered, left = call[1], call[4], call[5], call[11], call[12]
        self.link.open_calls.pop(number, None)
        if not self._stages[call[0]]:
            self.link.append(call)
            return
        for series, edge in self._stages[call[0]]:
            if isinstance(series, LoopSeries):
                continue
            series.calls.pop(number, None)
            series.end_window(number, started + duration)
            if edge is None or series.probe.place is not Place.CALLER or series.probe.read is _not_read:
                continue
            if series.probe.restore is not None:
                entered = _restored(entered, edge, series.probe.restore)
                left = _restored(left, edge, series.probe.restore)
            series.edge_sample(started, entered[edge])
            series.edge_sample(started + duration, left[edge])
        self.link.append((*call[:11], entered, left))

    def dismiss(self) -> None:
        """Ask the process for what it still has, since the run ends."""
        self._reply.dismissed = True

    def _request(self, number: int, ending: Ending | None, pause: Ending | None) -> None:
        self.has_ended |= ending is not None

        def answer(error: StoreError | None) -> None:
            self._reply.answers.append((number, None if error is None else type(error).__name__, str(error)))

        self.link.request(FlushRequest(answer, ending, pause))

    def log(self, level: int, line: str) -> None:
        """Have a line written to the log of the process."""
        self._reply.log.append((level, line))

    def opened(self, *, stores: bool) -> None:
        """Tell whether the database could be opened."""
        self._reply.opened = stores

    async def reply(self) -> None:
        """Send what there is to say.

        Raises:
            OSError: The process has gone.
        """
        account = self._ledger.account()
        dropped = sum(account.dropped.values())
        if (account.stored, dropped) != self._told:
            self._told = account.stored, dropped
            self._reply.stored, self._reply.dropped = account.stored, account.dropped
        if self.has_ended and self.link.progress != self._progress:
            self._reply.progress = self._progress = self.link.progress
        if self._reply != _NOTHING:
            reply, self._reply = self._reply, wire.Reply()
            await self._channel.send(wire.encode(reply))


def _restored(readings: tuple[Any, ...], edge: int, restore: Callable[[Any], Any]) -> tuple[Any, ...]:
    reading = readings[edge]
    return (*readings[:edge], None if reading is None else restore(reading), *readings[edge + 1 :])


def _no_rate(earlier: Any, later: Any, elapsed: int) -> None:
    return None


def _not_made() -> Series:
    raise AssertionError("the series of another process are made there")


def _not_read() -> None:
    raise AssertionError("what another process reads itself is not read here")


_NOTHING = wire.Reply()
