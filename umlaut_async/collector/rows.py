"""What the rows of the database are for each record."""

from __future__ import annotations

import itertools
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from umlaut_async.clock import now
from umlaut_async.collector.loops import LoopSeries
from umlaut_async.collector.threads import ThreadNames
from umlaut_async.metrics.edges import FAR, NEAR, NEEDS_EDGES, NEEDS_PEAK, USES_EDGES, TooShortError, distance
from umlaut_async.metrics.families import REDUCTIONS
from umlaut_async.metrics.reductions import NEEDS_ENTRIES, Reduction
from umlaut_async.probes import Place, UnavailableError, UnreadableError
from umlaut_async.records import IN_PARENT, LOST, CallRecord, EventRecord, StageRecord, ValueRecord
from umlaut_async.store.models import key
from umlaut_async.store.values import encode, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from umlaut_async.calls import Call
    from umlaut_async.collector.faults import Faults
    from umlaut_async.collector.series import Edges, Series
    from umlaut_async.metrics.reductions import Outcome
    from umlaut_async.probes import Probe

Row: TypeAlias = "tuple[Any, ...]"

_encode = msgspec.json.Encoder().encode

_ABSENT = {
    "untracked": "{stage!r} ended without entries, so its {type} {description!r} is absent: "
    "call track(num_entries) of the metric inside the stage",
    "too-short": "{stage!r} had calls that were too short for the readings of their {type} {description!r}, "
    "which is absent there: measure a longer stretch at once",
    "too-early": "{stage!r} was called while the collector was still starting, so that the {type} {description!r} of "
    "such calls is absent: `await benchmark.open()` before the first one",
}
"""What is said of a value that a call lacks, by the kind of event."""

Unit: TypeAlias = "tuple[Row | None, *tuple[Row, ...]]"
"""The rows of one record, which are stored together or not at all: its span or None, and its results.

Plain tuples of plain tuples, as records are: thousands may wait, and so the garbage collector need not follow each.
"""


class _Metric(NamedTuple):
    """A metric of a stage, with all that is the same in each of its results."""

    position: int
    reduce: Reduction
    described: tuple[str, str, str, str]
    """Method, type, description and unit."""
    source: Series | LoopSeries | None
    edge: int | None
    """The position of what the caller read."""
    elsewhere: bool
    """Whether the edges are read by somebody else than the caller."""
    needs_entries: bool
    needs_edges: bool
    uses_edges: bool
    needs_peak: bool


class _Stage(NamedTuple):
    name: str
    kind: str
    metrics: list[_Metric]
    waits: bool
    """Whether a reading at the last edge may come after the end of a call."""
    loops: list[LoopSeries]
    """The sources that are read on event loops."""


class Rows:
    """Makes the rows of one process.

    Args:
        process_id: The key of the process.
        parent: The key of the process from which it was forked, if that takes part in the run.
        series: What its stages use, by number.
        faults: Takes what could not be read.
        report: Takes the events that come up.
        epoch: When the clock of `now()` stood at 0, in nanoseconds since the epoch.
        ready: When the collector began to take readings.
        above: The key of the call that all others lie in.
    """

    def __init__(
        self,
        process_id: int,
        parent: int | None,
        series: Mapping[int, Series | LoopSeries],
        faults: Faults,
        report: Callable[[EventRecord], None],
        epoch: int = 0,
        ready: int = 0,
        above: int | None = None,
    ) -> None:
        self._faults = faults
        self.process_id = process_id
        self._series = series
        self._report = report
        self._stages: dict[int, _Stage] = {}
        self._base = key(process_id, 0)
        self._parent_base = None if parent is None else key(parent, 0)
        self._epoch = epoch
        self._ready = ready
        self._above = above
        self._result_ids = itertools.count(self._base + 1)
        self._event_ids = itertools.count(self._base + 1)
        self._reported: set[tuple[str, ...]] = set()
        self._lacking: set[tuple[str, ...]] = set()
        self._threads = ThreadNames()
        self._shown: dict[int, str] = {}
        """The threads of running calls, by the numbers of these."""
        self.first: float = inf
        """When the first call began, or the first value was recorded, on the clock of `now()`."""
        self.last: int = 0
        """When the last call ended, or the last value was recorded."""

    def add_stage(self, stage: StageRecord) -> None:
        """Take note of a stage."""
        metrics = [
            _Metric(
                position,
                REDUCTIONS[metric.reduction],
                (stage.name, metric.measure_type, metric.description, metric.unit),
                None if metric.series is None else self._series[metric.series],
                metric.edge,
                metric.series is not None and self._series[metric.series].probe.place is not Place.CALLER,
                metric.reduction in NEEDS_ENTRIES,
                metric.reduction in NEEDS_EDGES,
                metric.reduction in USES_EDGES,
                metric.reduction in NEEDS_PEAK,
            )
            for position, metric in enumerate(stage.metrics)
        ]
        waits = any(
            metric.elsewhere or (metric.source is not None and metric.source.probe.pending is not None)
            for metric in metrics
        )
        loops = [metric.source for metric in metrics if isinstance(metric.source, LoopSeries)]
        self._stages[stage.number] = _Stage(stage.name, stage.kind, metrics, waits, loops)

    def awaits_edges(self, record: CallRecord, answering: bool) -> bool:
        """Return whether readings at the edges of an ended call are still on their way.

        Args:
            record: The call.
            answering: Whether requests for such readings are being answered at all.
        """
        stage = self._stages[record.stage]
        if not stage.waits:
            return False
        for metric in stage.metrics:
            source, edge = metric.source, metric.edge
            if source is None:
                continue
            if metric.elsewhere:
                if answering and source.awaits_edges(record.number):
                    return True
            elif edge is not None and source.probe.pending is not None and source.probe.pending(record.left[edge]):
                return True
        return False

    def forget_threads(self) -> None:
        """Look anew who the threads are."""
        self._threads.forget()

    def running(self, call: Call) -> Row:
        """Return the span of a call that has not ended."""
        parent, task = call.parent_number(), call.task
        if not isinstance(task, str):
            # When the call has ended, its thread may have as well.
            task = self._shown[call.number] = self._threads[task]
        span = self._span(call.plan.stage, call.number, parent, task, call.started)
        return *span, None, call.producing(), "running", None

    def leave_out(self, number: int) -> None:
        """Let go of what is known of a running call."""
        self._shown.pop(number, None)

    def lost(self, call: Call, ended: int, status: str = LOST) -> Row:
        """Return the span of a call whose process has ended without a word, or does not answer at the end."""
        *span, _, producing, _, error = self.running(call)
        ended = max(ended, call.started)
        self.last = max(self.last, ended)
        return *span, ended - call.started, producing, status, error

    def call(self, record: CallRecord) -> Unit:
        """Return the span and the results of a call that has ended."""
        stage, number, parent, task, started, duration, status, error, entries, items, steps, entered, left = record
        producing = None if items is None or steps is None else steps.running
        if self._shown:
            task = self._shown.pop(number, task)
        if error is not None:
            error = storable(error)
        span = (*self._span(stage, number, parent, task, started), duration, producing, status, error)
        ended = started + duration
        if ended > self.last:
            self.last = ended
        recorded = self._epoch + ended
        results: list[Row] = []
        for metric in self._stages[stage].metrics:
            position, reduce, described, source, edge, elsewhere, needs_entries, needs_edges, uses_edges, needs_peak = (
                metric
            )
            tracked = items if entries is None else entries.get(position, items)
            series = source.of(number) if isinstance(source, LoopSeries) else source
            off, whole = 0.0, True
            outcome: Outcome | None = None
            if series is None:
                # Without a series a call has none of the readings either.
                outcome = reduce(record, tracked, None, None, None, duration) if source is None else None
            else:
                until, first, last, elapsed = ended, None, None, duration
                if elsewhere:
                    edges = series.take_edges(number)
                    if uses_edges:
                        off = _distance(series.probe, started, duration, edges)
                        first, last, elapsed = edges.entered, edges.left, edges.left_at - edges.entered_at
                        if series.probe.rate is None:
                            until = max(ended, edges.left_at)
                    elif series.probe.place is Place.TIMER:
                        first, last = edges.entered, edges.left
                    if edge is not None:
                        first, last = (entered[edge], first), (left[edge], last)
                elif edge is not None:
                    first, last = entered[edge], left[edge]
                    if needs_peak:
                        first, last = (first, entered[edge + 1]), (last, left[edge + 1])
                samples, whole = series.window(number, started, until)
                if needs_edges and edge is not None:
                    before, behind = entered[edge - 1], left[edge + 1]
                    here = distance(started, duration, before, behind, 0)
                    off = max(off, here)
                    if here > NEAR and not elsewhere:
                        elapsed = behind - before
                try:
                    if needs_edges and off >= FAR:
                        raise TooShortError
                    outcome = self._reduce(series, reduce, record, tracked, first, last, samples, elapsed)
                    if outcome is None and elsewhere and not uses_edges and edges.entered is not None:
                        raise TooShortError  # It was over before it could be read.
                except TooShortError:
                    self._report_absent("too-early" if elsewhere and started < self._ready else "too-short", described)
            if outcome is not None:
                value, data = outcome
                provenance = "measured" if series is None or series.provenance is None else series.provenance
                if off > NEAR or not whole:
                    provenance = "estimated"
                text = None if data is None else _encode(data).decode()
                identity = next(self._result_ids), self.process_id, span[0]
                series_id = None if series is None else self._base + series.number
                results.append((*identity, *described, value, text, series_id, provenance, recorded))
            elif needs_entries and status == "ok":
                self._report_absent("untracked", described)
            elif series is not None and series.provenance == "unavailable" and self._is_news(stage, described):
                identity = next(self._result_ids), self.process_id, span[0]
                series_id = self._base + series.number
                results.append((*identity, *described, None, None, series_id, "unavailable", recorded))
        for loop_series in self._stages[stage].loops:
            loop_series.forget(number)
        return span, *results

    def _is_news(self, stage: int, described: tuple[str, ...]) -> bool:
        """Return whether a stage has not been said to lack a metric; one result says it, for a stage may have many."""
        lacking = (self._stages[stage].kind, *described)
        if lacking in self._lacking:
            return False
        self._lacking.add(lacking)
        return True

    def _reduce(self, series: Series, reduce: Reduction, *values: Any) -> Outcome | None:
        """Return what the readings of a series come to; None, and a report, where they say why they are absent."""
        try:
            outcome = reduce(*values)
        except (UnavailableError, UnreadableError) as error:
            self._faults.add(series, error)
            return None
        if outcome is not None and series.provenance != series.probe.provenance:
            series.provenance = series.probe.provenance
        return outcome

    def value(self, record: ValueRecord) -> Unit:
        """Return the result of a value that the user recorded."""
        recorded, measure_type, description, unit, method, value, data = record
        self.first, self.last = min(self.first, recorded), max(self.last, recorded)
        head = (next(self._result_ids), self.process_id, None, method, measure_type, description, unit)
        return None, (*head, value, data, None, "measured", self._epoch + recorded)

    def event(self, record: EventRecord) -> Row:
        """Return the row of an event."""
        # Not by msgspec, which takes no lone surrogates: users' words are in events.
        data = None if record.data is None else encode(record.data)
        head = (next(self._event_ids), self.process_id, self._epoch + record.t)
        return *head, record.kind, storable(record.message), data

    def _span(self, stage_number: int, number: int, parent: int | None, task: str | int, started: int) -> Row:
        """Return the columns of a span that are known from its start."""
        stage, base = self._stages[stage_number], self._base
        if started < self.first:
            self.first = started
        if not isinstance(task, str):
            task = self._threads[task]
        elif not task.isascii():
            task = storable(task)
        above = self._above if parent is None else base + parent
        if parent is not None and parent & IN_PARENT:
            above = self._above if self._parent_base is None else self._parent_base + (parent ^ IN_PARENT)
        return base + number, self.process_id, number, above, stage.name, stage.kind, task, self._epoch + started

    def _report_absent(self, kind: str, described: tuple[str, str, str, str]) -> None:
        """Report why calls of a stage have no value of a metric, each reason once."""
        if (kind, *described) in self._reported:
            return
        self._reported.add((kind, *described))
        stage, measure_type, description, _ = described
        data = {"type": measure_type, "description": description, "stage": stage}
        self._report(EventRecord(now(), kind, _ABSENT[kind].format(**data), data))


def _distance(probe: Probe, started: int, duration: int, edges: Edges) -> float:
    """Return how far the readings for the edges of a call lie from these, as a share of its duration."""
    if edges.entered is None or edges.left is None:
        return 0
    if probe.still is not None and probe.still(edges.before, edges.left):
        return 0
    return distance(started, duration, edges.entered_at, edges.left_at, probe.step)
