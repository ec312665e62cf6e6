"""What the rows of the database are for each record."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from umlaut_async.calls import Call
from umlaut_async.clock import now, since_epoch
from umlaut_async.collector.series import Series
from umlaut_async.metrics.reductions import NEEDS_ENTRIES, REDUCTIONS, Window
from umlaut_async.records import CallRecord, EventRecord, MetricRecord, StageRecord, ValueRecord
from umlaut_async.store.models import Base, Event, Result, Span, key

Row: TypeAlias = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode


class Unit(NamedTuple):
    """The rows of one record; they are stored together or not at all."""

    counted: int
    """How many records of the account these are: 1, or 0 for what only accompanies records."""
    rows: list[tuple[type[Base], Row]]


class Rows:
    """Makes the rows of one process.

    Args:
        process_id: The key of the process.
        series: Its series, by number.
        report: Takes the events that come up.
    """

    def __init__(
        self, process_id: int, series: Mapping[int, Series], report: Callable[[EventRecord], None]
    ) -> None:
        self._process_id = process_id
        self._series = series
        self._report = report
        self._stages: dict[int, StageRecord] = {}
        self._base = key(process_id, 0)
        self._results = itertools.count(self._base + 1)
        self._events = itertools.count(self._base + 1)
        self._untracked: set[tuple[int, int]] = set()
        self._threads: dict[int, str] = {}

    def add_stage(self, stage: StageRecord) -> None:
        """Take note of a stage."""
        self._stages[stage.number] = stage

    def awaits_edges(self, record: CallRecord) -> bool:
        """Return whether edge readings of this call are still on their way."""
        return any(
            self._series[metric.series].awaits_edges(record.number)
            for metric in self._stages[record.stage].metrics
            if metric.series is not None
        )

    def running(self, call: Call) -> Row:
        """Return the span of a call that has not ended."""
        parent, task = call.origin()
        return self._span(call.number, call.plan.stage, parent, task, call.started, None, None, "running", None)

    def call(self, record: CallRecord) -> Unit:
        """Return the span and the results of a call that has ended."""
        stage_number, number, parent, task, started, duration, producing, status, error = record[:9]
        stage = self._stages[stage_number]
        span = self._span(number, stage_number, parent, task, started, duration, producing, status, error)
        rows: list[tuple[type[Base], Row]] = [(Span, span)]
        ended = since_epoch(started + duration)
        for position, metric in enumerate(stage.metrics):
            window = self._window(record, position, metric)
            outcome = REDUCTIONS[metric.reduction](window)
            if outcome is None:
                if metric.reduction in NEEDS_ENTRIES and status == "ok":
                    self._report_untracked(stage, position, metric)
                continue
            value, data = outcome
            rows.append(
                (
                    Result,
                    (
                        next(self._results),
                        self._process_id,
                        span[0],
                        stage.name,
                        metric.measure_type,
                        metric.description,
                        metric.unit,
                        value,
                        None if data is None else _encode(data).decode(),
                        None if metric.series is None else self._base + metric.series,
                        "measured",
                        ended,
                    ),
                )
            )
        return Unit(1, rows)

    def value(self, record: ValueRecord) -> Unit:
        """Return the result of a value that the user recorded."""
        row = (
            next(self._results),
            self._process_id,
            None,
            record.method,
            record.measure_type,
            record.description,
            record.unit,
            record.value,
            record.data,
            None,
            "measured",
            since_epoch(record.recorded),
        )
        return Unit(1, [(Result, row)])

    def event(self, record: EventRecord) -> Unit:
        """Return the row of an event."""
        data = None if record.data is None else _encode(record.data).decode()
        row = (next(self._events), self._process_id, since_epoch(record.t), record.kind, record.message, data)
        return Unit(0, [(Event, row)])

    def _span(
        self,
        number: int,
        stage: int,
        parent: int | None,
        task: str | int | None,
        started: int,
        duration: int | None,
        producing: int | None,
        status: str,
        error: str | None,
    ) -> Row:
        described = self._stages[stage]
        return (
            self._base + number,
            self._process_id,
            number,
            None if parent is None else self._base + parent,
            described.name,
            described.kind,
            task if isinstance(task, str) or task is None else self._thread_name(task),
            since_epoch(started),
            duration,
            producing,
            status,
            error,
        )

    def _window(self, record: CallRecord, position: int, metric: MetricRecord) -> Window:
        entries = record.items if record.entries is None else record.entries.get(position, record.items)
        if metric.series is None:
            return Window(record.duration, entries)
        series = self._series[metric.series]
        samples = series.summary(record.number, record.started, record.started + record.duration)
        if metric.edge is not None:
            return Window(record.duration, entries, record.entered[metric.edge], record.left[metric.edge], samples)
        entered, left = series.take_edges(record.number)
        return Window(record.duration, entries, entered, left, samples)

    def _report_untracked(self, stage: StageRecord, position: int, metric: MetricRecord) -> None:
        if (stage.number, position) in self._untracked:
            return
        self._untracked.add((stage.number, position))
        message = (
            f"{stage.name!r} ended without entries, so {metric.measure_type} {metric.description!r} is absent: "
            "call track(num_entries) of the metric inside the stage"
        )
        data = {"type": metric.measure_type, "description": metric.description, "stage": stage.name}
        self._report(EventRecord(now(), "untracked", message, data))

    def _thread_name(self, identifier: int) -> str:
        if identifier not in self._threads:
            self._threads |= {thread.ident or 0: thread.name for thread in threading.enumerate()}
        return self._threads.get(identifier, f"thread {identifier}")
