"""A supervised stage: what each of its calls does, made anew for every run."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, Self

from umlaut_async.calls import Call, SteppedCall
from umlaut_async.clock import now
from umlaut_async.collector.loop_close import watch
from umlaut_async.kinds import COROUTINE, YIELDING
from umlaut_async.metrics.edges import NEEDS_EDGES, NEEDS_PEAK
from umlaut_async.plan import Plan
from umlaut_async.probes import Place
from umlaut_async.records import MetricRecord, StageRecord
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from umlaut_async.benchmark import Benchmark
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.loops import LoopSeries
    from umlaut_async.collector.series import Series
    from umlaut_async.metrics import Metric
    from umlaut_async.records import Reading

_logger = logging.getLogger("umlaut_async")


class Stage:
    """One decorated callable, loader or kind of block.

    Args:
        metrics: What is measured.
        benchmark: Where it is recorded.
        kind: What was decorated.
        name: The name of the stage.
    """

    def __init__(self, metrics: tuple[Metric, ...], benchmark: Benchmark, kind: str, name: str) -> None:
        self._metrics = metrics
        self._benchmark = benchmark
        # The very texts that others have too, so that what is pickled of a copy is the same again.
        self._kind = sys.intern(kind)
        self._name = sys.intern(storable(name))
        self._yields = kind in YIELDING
        # A coroutine has steps only where a metric asks for them: driving it by hand costs more than awaiting it.
        self._steps = self._yields or (kind == COROUTINE and any(metric.steps for metric in metrics))
        self._plan: Plan | None = None
        self._failed = False
        self._is_copy = False
        for metric in metrics:
            metric.check(kind)
            metric.attach(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (type(self), self._metrics, self._benchmark, self._kind, self._name)

    def __deepcopy__(self, memo: object) -> Self:
        return self  # What is copied here is the same stage, with the same metrics for `track`.

    @property
    def measured(self) -> bool:
        """Whether calls of the stage are measured, or would be."""
        return self._benchmark.records

    def running_calls(self) -> list[Call]:
        """Return the calls that have not ended, in every thread."""
        plan = self._plan
        return [] if plan is None else [call for call in plan.link.open_calls.copy().values() if call.plan is plan]

    def enter(self) -> Call | None:
        """Begin a call; None lets it run unmeasured."""
        plan = self._plan
        try:
            if plan is None or not plan.link.recording:
                plan = self._renew()
                if plan is None:
                    return None
            return SteppedCall(plan, 0 if self._yields else None) if self._steps else Call(plan)
        except Exception as failure:
            if plan is not None:
                plan.link.failed(failure)
            elif not self._failed:
                self._failed = True
                _logger.error("a stage could not be measured, which is a defect of umlaut_async", exc_info=failure)
            return None

    def _renew(self) -> Plan | None:
        """Make the plan of the present run, if there is one that takes calls."""
        recorder = self._benchmark.recorder()
        if recorder is None:
            self._benchmark.miss()
            return None
        try:
            if (loop := asyncio._get_running_loop()) is not None:
                watch(loop, recorder)
            self._plan = self._new_plan(recorder.link)
        except Exception as failure:
            recorder.link.failed(failure)
            return None
        return self._plan

    def _new_plan(self, link: Link) -> Plan:
        edges: dict[tuple[Hashable, bool, bool], int] = {}
        readers: list[Callable[[], Reading]] = []
        subscriptions: dict[Series | LoopSeries, int | None] = {}
        records = []
        for metric in self._metrics:
            probe = metric.probe()
            reduction = metric.reduction or ("difference" if metric.counter else "mean")
            series = edge = None
            if probe is not None:
                series = link.series_of(metric, probe)
                cheap = probe.read if probe.place is Place.CALLER else probe.beside
                if cheap is not None:
                    # Of a counter, also when it is read: that is outside of the call, which may be shorter.
                    timed, peak = reduction in NEEDS_EDGES, probe.peak if reduction in NEEDS_PEAK else None
                    read_so = (probe.key, timed, peak is not None)
                    if read_so not in edges:
                        edges[read_so] = len(readers) + timed
                        readers += (now, cheap, now) if timed else (cheap,) if peak is None else (cheap, peak)
                    edge = edges[read_so]
                subscriptions[series] = edge
            records.append(
                MetricRecord(
                    storable(metric.measure_type),
                    storable(metric.description),
                    storable(metric.unit),
                    reduction,
                    None if series is None else series.number,
                    edge,
                )
            )
        positions = {id(metric): position for position, metric in enumerate(self._metrics)}
        number = self._number(link, tuple(records))
        copied = self._metrics if self._is_copy else ()
        return Plan(link, number, positions, tuple(readers), tuple(subscriptions.items()), self._kind, copied)

    def _number(self, link: Link, records: tuple[MetricRecord, ...]) -> int:
        """Tell the collector of this stage, and return its number in the run."""
        described = self._name, self._kind, records
        if self._is_copy and (known := link.copied_stages.get(described)) is not None:
            return known
        number = next(link.stages)
        link.append(StageRecord(number, *described))
        if self._is_copy:
            # A worker gets one more copy with each task, and all of them are one stage.
            number = link.copied_stages.setdefault(described, number)
        return number


def _copied(make: type[Stage], metrics: tuple[Metric, ...], benchmark: Benchmark, kind: str, name: str) -> Stage:
    stage = make(metrics, benchmark, kind, name)
    stage._is_copy = True
    return stage
