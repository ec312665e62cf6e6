"""Runs as OpenTelemetry has them: JSON lines of traces, metrics and logs, each of which can be posted as it is.

A run is a trace with one span for itself and one for each call; a series is a gauge with all its samples; events are
log records. Names are our own, since the standard ones for processes and GPUs count otherwise (a CPU's 100 % is all
cores there) and are not settled.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from umlaut_async.analysis.exports.names import names_of
from umlaut_async.store import run_queries, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from umlaut_async.analysis.exports.comma_separated import Target
    from umlaut_async.analysis.exports.source import Source
    from umlaut_async.store.metric_names import MetricKey
    from umlaut_async.store.queries import RunInfo
    from umlaut_async.store.run_queries import CallRow, ProcessRow, ResultRow

__all__ = ["write"]

_Json = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_BATCH = 500
_INTERNAL, _ERROR, _WARN = 1, 2, 13
_UUID = re.compile("[0-9a-f]{32}")
_NONE = "0" * 32
_SCOPE = {"name": "umlaut_async"}
# As UCUM writes them, which OpenTelemetry asks for.
_UNITS = {"sec": "s", "MiB": "MiBy", "MiB/s": "MiBy/s", "Watt": "W", "µJ": "uJ", "Seconds/entry": "s/{entry}"} | {
    "Entries/second": "{entry}/s"
}


def write(source: Source, target: Target, table: str | None = None) -> None:
    """Write the traces, the metrics or the logs of runs."""
    lines = _SIGNALS[table or "traces"]
    for run in source.runs:
        processes = run_queries.processes(source.session, run.uuid)
        for line in lines(source, run, {process.id: process for process in processes}):
            target.write(f"{_encode(line)}\n")


def _traces(source: Source, run: RunInfo, processes: Mapping[int, ProcessRow]) -> Iterator[_Json]:
    of_calls: dict[int, list[ResultRow]] = {}
    results, calls = source.results(run), source.calls(run)
    name_of = names_of(calls, results, run_queries.series(source.session, run.uuid))
    for result in results:
        if result.span is not None:
            of_calls.setdefault(result.span, []).append(result)
    last_seen = max((process.last_seen for process in processes.values()), default=run.started)
    whole = {
        "traceId": _trace_id(run.uuid),
        "spanId": _run_span(run.uuid),
        "name": run.name,
        "kind": _INTERNAL,
        **_window(run.started, last_seen if run.ended is None else run.ended),
        "attributes": _attributes({"umlaut.kind": "run", "umlaut.environment": values.encode(run.environment)}),
        **_status(run.status, None),
    }
    yield from _lines("Span", run, next(iter(processes.values()), None), [whole])
    by_process: dict[int, list[_Json]] = {process: [] for process in processes}
    for call in calls:
        spans = by_process[call.process_id]
        spans.append(_span(run, call, of_calls.get(call.id, ()), processes[call.process_id], name_of))
        if len(spans) == _BATCH:
            yield from _lines("Span", run, processes[call.process_id], spans)
            spans.clear()
    for process, spans in by_process.items():
        yield from _lines("Span", run, processes[process], spans)


def _span(
    run: RunInfo,
    call: CallRow,
    results: Iterable[ResultRow],
    process: ProcessRow,
    name_of: Callable[[ResultRow], tuple[MetricKey, str]],
) -> _Json:
    known: _Json = {"umlaut.kind": call.kind, "umlaut.status": call.status, "umlaut.task": call.task}
    known["umlaut.producing_ns"] = call.producing
    for result in results:
        _, told = name_of(result)
        name = f"umlaut.{result.type}.{told}" if told else f"umlaut.{result.type}"
        # A type of a user may be a word of ours.
        name = name if name not in known else f"{name}.{result.description}"
        known[name] = result.value
        known[f"{name}.unit"] = result.unit or None
        known[f"{name}.data"] = None if result.data is None else values.encode(result.data)
    # What runs still, or did when its process died, is there until that was last seen.
    end = process.last_seen if call.duration is None else call.started + call.duration
    return {
        "traceId": _trace_id(run.uuid),
        "spanId": _span_id(call.id),
        "parentSpanId": _run_span(run.uuid) if call.parent is None else _span_id(call.parent),
        "name": call.name,
        "kind": _INTERNAL,
        **_window(call.started, end),
        "attributes": _attributes(known),
        **_status(call.status, call.error),
    }


def _metrics(source: Source, run: RunInfo, processes: Mapping[int, ProcessRow]) -> Iterator[_Json]:
    for series in run_queries.series(source.session, run.uuid):
        told: _Json = {
            "umlaut.series": series.id,
            "umlaut.source": series.source,
            "umlaut.provenance": series.provenance,
        }
        told["umlaut.description"] = series.description or None
        attributes = _attributes(told)
        for samples in source.samples(series):
            points = [
                {"attributes": attributes, "timeUnixNano": _time(time), "asDouble": values.plain(value)}
                for time, value in zip(samples.times, samples.values, strict=True)
            ]
            yield from _lines("Metric", run, processes[series.process_id], [_gauge(series.type, series.unit, points)])
    for result in source.results(run):
        if result.span is None and result.value is not None:
            about = _attributes({"umlaut.method": result.method, "umlaut.description": result.description})
            point = {
                "attributes": about,
                "timeUnixNano": _time(result.recorded),
                "asDouble": values.plain(result.value),
            }
            gauge = _gauge(result.type, result.unit, [point])
            yield from _lines("Metric", run, processes[result.process_id], [gauge])


def _gauge(type_: str, unit: str, points: list[_Json]) -> _Json:
    return {"name": f"umlaut.{type_}", "unit": _UNITS.get(unit, unit), "gauge": {"dataPoints": points}}


def _logs(source: Source, run: RunInfo, processes: Mapping[int, ProcessRow]) -> Iterator[_Json]:
    for event in source.events(run):
        known = {"umlaut.data": None if event.data is None else values.encode(event.data)}
        record = _record(run, event.t, f"umlaut.{event.kind}", event.message, known)
        yield from _lines("Log", run, processes[event.process_id], [record | {"severityNumber": _WARN}])
    for result in source.results(run):
        if result.span is None and result.value is None:
            known = {
                "umlaut.method": result.method,
                "umlaut.description": result.description,
                "umlaut.unit": result.unit,
            }
            body = values.encode(result.data)
            record = _record(run, result.recorded, f"umlaut.{result.type}", body, known)
            yield from _lines("Log", run, processes[result.process_id], [record])


def _record(run: RunInfo, time: int, name: str, body: str, known: _Json) -> _Json:
    at = {"timeUnixNano": _time(time), "observedTimeUnixNano": _time(time), "traceId": _trace_id(run.uuid)}
    return {**at, "eventName": name, "body": {"stringValue": body}, "attributes": _attributes(known)}


def _lines(kind: str, run: RunInfo, process: ProcessRow | None, items: list[_Json]) -> Iterator[_Json]:
    """Yield the line of some spans, metrics or log records of one process, if there are any."""
    if not items:
        return
    plural, field = {"Span": ("Spans", "spans"), "Metric": ("Metrics", "metrics"), "Log": ("Logs", "logRecords")}[kind]
    known: _Json = {
        "service.name": run.name,
        "service.instance.id": run.uuid if process is None else f"{run.uuid}/{process.id}",
        "umlaut.run": run.uuid,
        "umlaut.description": run.description,
        "umlaut.status": run.status,
        "umlaut.tags": run.tags or None,
    }
    if process is not None:
        known |= {"host.name": process.host, "process.pid": process.pid, "umlaut.rank": process.rank}
    scoped = {"scope": _SCOPE, field: items}
    yield {f"resource{plural}": [{"resource": {"attributes": _attributes(known)}, f"scope{plural}": [scoped]}]}


def _attributes(known: Mapping[str, Any]) -> list[_Json]:
    return [{"key": name, "value": _value(value)} for name, value in known.items() if value is not None]


def _value(value: Any) -> _Json:
    match value:
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": values.plain(value)}
        case _:
            return {"arrayValue": {"values": [_value(str(each)) for each in value]}}


def _window(start: int, end: int) -> _Json:
    return {"startTimeUnixNano": _time(start), "endTimeUnixNano": _time(max(start, end))}


def _time(time: int) -> str:
    return str(max(0, time))


def _status(status: str, error: str | None) -> _Json:
    if status not in ("error", "lost"):
        return {}
    return {"status": {"code": _ERROR, "message": error or status}}


def _trace_id(uuid: str) -> str:
    plain = uuid.replace("-", "").lower()
    return plain if _UUID.fullmatch(plain) and plain != _NONE else _digest(uuid, 16)


def _run_span(uuid: str) -> str:
    return _digest(uuid, 8)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=size).hexdigest()


def _span_id(call: int) -> str:
    return f"{call & 0xFFFF_FFFF_FFFF_FFFF:016x}"


_SIGNALS: dict[str, Callable[[Source, RunInfo, Mapping[int, ProcessRow]], Iterator[_Json]]] = {
    "traces": _traces,
    "metrics": _metrics,
    "logs": _logs,
}
