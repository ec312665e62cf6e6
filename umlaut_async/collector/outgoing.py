"""What the records, the series and the readings of a measured process are on their way to a collector elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.clock import now
from umlaut_async.collector import wire
from umlaut_async.collector.lacks import dropped_samples
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.threads import ThreadNames
from umlaut_async.probes import Place, UnavailableError, UnreadableError
from umlaut_async.records import CallRecord, StageRecord, ValueRecord
from umlaut_async.store.values import encode, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.calls import Call
    from umlaut_async.collector.faults import Faults
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.series import Edges, Series
    from umlaut_async.records import EventRecord


_PROGRESS = 500_000_000
"""After how many nanoseconds it is told anew how long generators have been inside their producers."""


class _LocalMetric(NamedTuple):
    """A metric of a stage whose readings only this process can take, or understand."""

    source: Series | LoopSeries
    edge: int | None

    @property
    def elsewhere(self) -> bool:
        """Whether its readings at the edges are not taken by the caller."""
        return self.source.probe.place is not Place.CALLER

    def series_of(self, call: int) -> Series | None:
        """Return the series of a call."""
        return self.source.of(call) if isinstance(self.source, LoopSeries) else self.source


class Outgoing:
    """Fills messages.

    Args:
        link: Where the records come from.
        faults: Takes what could not be read.
        events: Events that have come up here.
    """

    def __init__(self, link: Link, faults: Faults, events: list[EventRecord]) -> None:
        self._link = link
        self._faults = faults
        self._events = events
        self._threads = ThreadNames()
        self._local: dict[int, list[_LocalMetric]] = {}
        self._shown: dict[int, str] = {}
        """The calls that the collector knows to be running, and who runs them."""
        self._told = 0
        """When it was told last how much of their time generators have spent in their producers."""
        self._announced: set[int] = set()
        self._provenance: dict[int, str | None] = {}

    @property
    def has_news(self) -> bool:
        """Whether there is a series, or a source on event loops, of which the collector does not know."""
        sources, series = list(self._link.sources.values()), list(self._link.series.values())
        return any(isinstance(each, LoopSeries) and each.number not in self._announced for each in sources) or not all(
            each.announced for each in series
        )

    def needs_readings(self, call: CallRecord) -> bool:
        """Return whether readings that only this process takes belong to an ended call."""
        return bool(self._local[call.stage])

    def forget_threads(self) -> None:
        """Look anew who the threads are."""
        self._threads.forget()

    def add_stage(self, stage: StageRecord) -> None:
        """Take note of a stage."""
        sources = [(self._link.sources[metric.series], metric.edge) for metric in stage.metrics if metric.series]
        self._local[stage.number] = [
            _LocalMetric(source, edge) for source, edge in sources if source.probe.outside is None
        ]

    def awaits_edges(self, call: CallRecord, answering: bool) -> bool:
        """Return whether readings at the edges of an ended call are still on their way.

        Args:
            call: The call.
            answering: Whether requests for such readings are being answered at all.
        """
        for metric in self._local[call.stage]:
            source, edge = metric
            if metric.elsewhere:
                if answering and source.awaits_edges(call.number):
                    return True
            elif edge is not None and source.probe.pending is not None and source.probe.pending(call.left[edge]):
                return True
        return False

    def add_records(self, records: Sequence[Any], batch: wire.Batch) -> list[CallRecord]:
        """Add records to a message, but for calls of which more than their thread has to be looked up: return these."""
        local, shown, add_call = self._local, self._shown, batch.calls.append
        others: list[CallRecord] = []
        for record in records:
            if type(record) is tuple:
                # Written out, since to put a tuple together of parts takes three times as long.
                (stage, number, parent, task, started, duration, status, error,
                 entries, items, steps, entered, left) = record  # fmt: skip
                is_named = isinstance(task, str)
                if local[stage] or error is not None or number in shown or (is_named and not task.isascii()):
                    others.append(CallRecord(*record))
                elif is_named:
                    add_call(record)
                else:
                    add_call((stage, number, parent, self._threads[task], started, duration, status, error,
                              entries, items, steps, entered, left))  # fmt: skip
            elif isinstance(record, ValueRecord):
                batch.values.append(record)
            elif isinstance(record, StageRecord):
                self.add_stage(record)
                batch.stages.append(record)
        return others

    def ended_call(self, call: CallRecord, batch: wire.Batch) -> wire.EndedCall:
        """Return what is sent of a call that has ended, and add the readings that only this process could take."""
        entered, left = call.entered, call.left
        for metric in self._local[call.stage]:
            source, edge = metric
            series = metric.series_of(call.number)
            if series is None:
                continue
            series.windows.pop(call.number, None)
            if isinstance(source, LoopSeries):
                source.forget(call.number)
            if metric.elsewhere:
                edges = _at_the_edges(series, call)
                numbers = source.number, series.number, call.number
                batch.edges.append(wire.Edge(*numbers, True, edges.entered_at, edges.entered))
                batch.edges.append(wire.Edge(*numbers, False, edges.left_at, edges.left))
            elif edge is not None and series.probe.settle is not None:
                settled = self._settled(series, entered[edge], left[edge])
                entered = (*entered[:edge], None, *entered[edge + 1 :])
                left = (*left[:edge], settled, *left[edge + 1 :])
        # A thread that was seen running may have ended as well by now.
        task = self._shown.pop(call.number, None) or self._task(call.task)
        self._link.shown.discard(call.number)
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
            self._faults.add(series, error)
            return None

    def show(self, open_calls: dict[int, Call], batch: wire.Batch) -> None:
        """Tell of the calls that have not ended."""
        while self._link.unrecorded:
            number = self._link.unrecorded.popleft()
            self._link.shown.discard(number)
            if self._shown.pop(number, None) is not None:
                batch.unrecorded.append(number)
        if anew := bool(batch.requests) or now() - self._told > _PROGRESS:
            self._told = now()
        for number, call in open_calls.items():
            task, producing = self._shown.get(number), call.producing()
            # Its record may have gone meanwhile, and would not come again.
            if (task is not None and (producing is None or not anew)) or not self._link.show(number):
                continue
            if task is None:
                task = self._shown[number] = self._task(call.task)
            opened = number, call.plan.stage, call.parent_number(), task, call.started, producing
            batch.opened.append(wire.OpenCall(*opened))

    def _task(self, task: str | int) -> str:
        return storable(task) if isinstance(task, str) else self._threads[task]

    def describe(self, batch: wire.Batch) -> None:
        """Tell of new series, of events, and of what was read here."""
        for source in list(self._link.sources.values()):
            if isinstance(source, LoopSeries) and source.number not in self._announced:
                self._announced.add(source.number)
                batch.loops.append(wire.AnnouncedLoops(source.number, source.probe.source))
        for series in list(self._link.series.values()):
            if not series.announced:
                series.announced = True
                batch.series.append(announcement(series))
            if series.probe.outside is None:
                self._add_samples(series, batch)
            if series.dropped:
                self._events.append(dropped_samples(series))
        for t, kind, message, data in self._events:
            batch.events.append(wire.Event(t, kind, storable(message), None if data is None else encode(data)))
        self._events.clear()

    def _add_samples(self, series: Series, batch: wire.Batch) -> None:
        series.take_edge_samples()
        changed = self._provenance.get(series.number) != series.provenance
        if not series.log.times and not series.missed and not changed:
            return
        self._provenance[series.number] = series.provenance
        missed, series.missed = series.missed, 0
        times, values, since = series.log.take_all()
        unstored = [(at, float(reading), asked) for at, reading, asked in series.unstored]
        series.unstored.clear()
        packed = times.tobytes(), values.tobytes(), since.tobytes()
        batch.samples.append(wire.Samples(series.number, *packed, missed, series.provenance, unstored))


def _at_the_edges(series: Series, call: CallRecord) -> Edges:
    """Return the readings for the edges of a call, which are as of then where this process finds that nothing moved."""
    edges = series.take_edges(call.number)
    still = series.probe.still
    if still is None or edges.entered is None or edges.left is None or not still(edges.before, edges.left):
        return edges
    return edges._replace(entered_at=call.started, left_at=call.started + call.duration)


def announcement(series: Series) -> wire.AnnouncedSeries:
    """Return what is said of a series before anything else."""
    probe = series.probe
    interval = series.interval if series.samples else None
    return wire.AnnouncedSeries(
        series.number, series.measure_type, series.unit, series.description, interval, probe.source, probe.place.value,
        probe.provenance, probe.rate is not None, probe.outside,
    )  # fmt: skip
