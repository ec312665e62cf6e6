"""Runs as traces in Chrome's format, for Perfetto and chrome://tracing.

Calls of coroutines overlap, which complete events ("X") of one thread must not. So each call is a pair of nestable
asynchronous events ("b" and "e"), and what has the same id is balanced like brackets. Series are counters ("C"); events
and tracked values are instants ("i").
"""

from __future__ import annotations

import heapq
import json
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

from umlaut_async.analysis import rates
from umlaut_async.analysis.exports.lanes import Stay, edges
from umlaut_async.analysis.exports.names import names_of
from umlaut_async.analysis.labels import labels
from umlaut_async.store import run_queries, series_queries, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from umlaut_async.analysis.exports.comma_separated import Target
    from umlaut_async.analysis.exports.source import Source
    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.run_queries import CallRow, EventRow, ProcessRow, ResultRow, SeriesRow

__all__ = ["write"]

_Trace = dict[str, Any]
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_LANES = 32


def write(source: Source, target: Target, table: str | None = None) -> None:
    """Write the runs as one trace, in which each begins at 0."""
    runs = [_Run(source, run) for run in source.runs]
    # Of each series a block is in memory at a time.
    events = heapq.merge(*(stream for run in runs for stream in run.streams()), key=lambda event: event["ts"])
    target.write('{"displayTimeUnit":"ms","traceEvents":[')
    separator = "\n"
    for event in chain((event for run in runs for event in run.metadata()), events):
        target.write(f"{separator}{_encode(event)}")
        separator = ",\n"
    about = {"runs": [{"uuid": run.uuid, "name": run.name, "started_ns": str(run.started)} for run in source.runs]}
    target.write(f'\n],"otherData":{_encode(about)}}}\n')


class _Run:
    """One run, and what of it is read before the first line is written."""

    def __init__(self, source: Source, run: RunInfo) -> None:
        self._source = source
        self._run = run
        session = source.session
        self._processes = run_queries.processes(session, run.uuid)
        self._series = run_queries.series(session, run.uuid)
        self._calls = source.calls(run)
        self._results = source.results(run)
        self._events = source.events(run)
        extent = series_queries.extent(session, run.uuid)
        times = [
            run.started,
            *(call.started for call in self._calls[:1]),
            *(event.t for event in self._events),
            *(result.recorded for result in self._results if result.span is None),
            *([] if extent is None else [extent.first]),
        ]
        self._base = min(times)

    def metadata(self) -> Iterator[_Trace]:
        """Yield what the processes are called."""
        for order, process in enumerate(self._processes):
            rank = "" if process.rank is None else f", rank {process.rank}"
            name = f"{self._run.name} {self._run.uuid[:8]}: process {process.pid} on {process.host}{rank}"
            for kind, argument in (
                ("process_name", {"name": name}),
                ("process_labels", {"labels": f"{self._run.status}"}),
                ("process_sort_index", {"sort_index": order}),
                ("thread_name", {"name": "calls"}),
            ):
                yield {"ph": "M", "name": kind, "pid": process.id, "tid": process.id, "ts": 0, "args": argument}

    def streams(self) -> Iterator[Iterable[_Trace]]:
        """Yield streams of events, each in the order of time."""
        by_process: dict[int, list[CallRow]] = {process.id: [] for process in self._processes}
        for call in self._calls:
            by_process[call.process_id].append(call)
        arguments = _arguments(self._calls, self._results, self._series)
        for process in self._processes:
            yield self._call_edges(process, by_process[process.id], arguments)
        names = _counter_names(self._series)
        yield from (self._counter(series, names[series.id]) for series in self._series)
        yield [self._instant(event.t, event.process_id, "event", event.kind, _told(event)) for event in self._events]
        yield [
            self._instant(
                result.recorded, result.process_id, "result", result.description or result.type, _value(result)
            )
            for result in self._results
            if result.span is None
        ]

    def _call_edges(
        self, process: ProcessRow, calls: Sequence[CallRow], arguments: Mapping[int, _Trace]
    ) -> Iterator[_Trace]:
        stays = []
        for call in calls:
            # What runs still, or did when its process died, is there until that was last seen.
            end = process.last_seen if call.duration is None else call.started + call.duration
            stays.append(Stay(call.started, max(end, call.started), call.id, call.parent))
        names = {call.id: call.name for call in calls}
        for edge in edges(stays):
            event = {
                "ph": "b" if edge.begins else "e",
                "cat": "call",
                # Local to the process, or viewers show the calls of all processes as of none.
                "id2": {"local": hex(process.id << _LANES | edge.lane)},
                "name": names[edge.id],
                "pid": process.id,
                "tid": process.id,
                "ts": self._microseconds(edge.time),
            }
            yield event | {"args": arguments[edge.id]} if edge.begins else event

    def _counter(self, series: SeriesRow, name: str) -> Iterator[_Trace]:
        event = {"ph": "C", "cat": "series", "name": name, "pid": series.process_id, "tid": series.process_id}
        reach, before = rates.reach(series), None
        for times, numbers in self._source.samples(series):
            for time, number in zip(times, numbers, strict=True):
                # A counter has its value from its event on.
                begin = rates.begin(time, before, reach)
                before = time
                if isfinite(number):  # JSON has nothing for the others
                    at = max(0.0, self._microseconds(begin))
                    yield event | {"ts": at, "args": {series.unit or "value": number}}

    def _instant(self, time: int, process_id: int, category: str, name: str, arguments: _Trace) -> _Trace:
        at = {"pid": process_id, "tid": process_id, "ts": self._microseconds(time)}
        return {"ph": "i", "s": "p", "cat": category, "name": name, **at, "args": arguments}

    def _microseconds(self, time: int) -> float:
        return (time - self._base) / 1000


def _arguments(
    calls: Sequence[CallRow], results: Sequence[ResultRow], series: Sequence[SeriesRow]
) -> dict[int, _Trace]:
    """Return what is known of each call."""
    found: dict[int, _Trace] = {}
    for call in calls:
        known = {"status": call.status, "kind": call.kind, "task": call.task, "error": call.error}
        known |= {"call": str(call.id), "parent": None if call.parent is None else str(call.parent)}
        found[call.id] = {name: value for name, value in known.items() if value is not None}
    name_of = names_of(calls, results, series)
    for result in results:
        if result.span in found and result.value is not None and isfinite(result.value):
            metric, told = name_of(result)
            source = "" if told in ("", result.description) else f" of {metric.source}"
            found[result.span][f"{result.type}: {result.description}{source} ({result.unit})"] = result.value
    return found


def _told(event: EventRow) -> _Trace:
    return {"message": event.message, **({} if event.data is None else {"data": values.encode(event.data)})}


def _value(result: ResultRow) -> _Trace:
    value = result.value
    text = None if value is not None and isfinite(value) else values.encode(result.data if value is None else value)
    return {"type": result.type, "unit": result.unit, "value": value if text is None else text}


def _counter_names(series: Sequence[SeriesRow]) -> dict[int, str]:
    """Return a name for the counter of each series, which no other one of its process has."""
    names: dict[int, str] = {}
    for process_id in {each.process_id for each in series}:
        of_process = [each for each in series if each.process_id == process_id]
        for number, label in labels(of_process, {}).items():
            names[number] = f" of {label}" if label else ""
    return {each.id: (f"{each.type} ({each.unit})" if each.unit else each.type) + names[each.id] for each in series}
