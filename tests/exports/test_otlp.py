"""OTLP: read by OpenTelemetry's own classes, passed through its SDK, and the same afterwards."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.metrics import export as sdk_metrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from tests import support
from tests.cli.rows import BEGAN, SECOND
from tests.exports.conftest import CONCURRENT, SAMPLES
from tests.figures.sampled import time_of
from tests.hostile import TEXTS, in_every_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

IDS = ("traceId", "spanId", "parentSpanId")


def parsed(path: Path, kind: Any) -> list[Any]:
    """Return the lines of a file as messages, with ids as Protobuf's JSON has them."""
    return [ParseDict(with_base64(json.loads(line)), kind()) for line in path.read_text("ascii").splitlines()]


def with_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [with_base64(each) for each in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(each)).decode() if name in IDS else with_base64(each)
            for name, each in value.items()
        }
    return value


def exported(umlaut: Umlaut, database: Path, *arguments: object) -> Path:
    out = database.parent / "otlp"
    shown = umlaut("export", database, *arguments, "-f", "otlp", "-o", f"{out}/")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
    assert sorted(path.name for path in out.iterdir()) == ["logs.jsonl", "metrics.jsonl", "traces.jsonl"]
    return out


def attributes(found: Iterable[Any]) -> dict[str, Any]:
    """Return attributes as Python has them."""
    return {each.key: plain(each.value) for each in found}


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def sdk_spans(lines: Iterable[Any]) -> list[ReadableSpan]:
    """Return spans as the SDK has them."""
    found = []
    for line in lines:
        for resource in line.resource_spans:
            for scoped in resource.scope_spans:
                scope = InstrumentationScope(scoped.scope.name, scoped.scope.version)
                found += [
                    sdk_span(span, Resource(attributes(resource.resource.attributes)), scope) for span in scoped.spans
                ]
    return found


def sdk_span(span: Any, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    trace = int.from_bytes(span.trace_id, "big")
    context = SpanContext(trace, int.from_bytes(span.span_id, "big"), is_remote=False)
    assert context.is_valid
    parent = SpanContext(trace, int.from_bytes(span.parent_span_id, "big"), is_remote=False)
    return ReadableSpan(
        span.name, context, parent if span.parent_span_id else None, resource, attributes(span.attributes),
        kind=SpanKind(span.kind - 1), status=Status(StatusCode(span.status.code), span.status.message or None),
        start_time=span.start_time_unix_nano, end_time=span.end_time_unix_nano, instrumentation_scope=scope,
    )  # fmt: skip


def comparable(messages: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return what spans say, whatever batches they are in."""
    return sorted(
        (
            attributes(resource.resource.attributes)["service.instance.id"], span.span_id, span.trace_id,
            span.parent_span_id, span.name, span.kind, span.start_time_unix_nano, span.end_time_unix_nano,
            span.status.code, span.status.message, sorted(attributes(span.attributes).items()),
        )
        for message in messages
        for resource in message.resource_spans
        for scoped in resource.scope_spans
        for span in scoped.spans
    )  # fmt: skip


def test_traces_pass_through_the_sdk(concurrent: Path, umlaut: Umlaut) -> None:
    lines = parsed(exported(umlaut, concurrent) / "traces.jsonl", TracesData)
    exporter = InMemorySpanExporter()
    assert exporter.export(sdk_spans(lines)) is SpanExportResult.SUCCESS
    finished = exporter.get_finished_spans()
    assert comparable([encode_spans(finished)]) == comparable(lines)
    (one,) = support.read(concurrent, "select * from run")
    (whole,) = [span for span in finished if span.parent is None]
    assert (whole.name, f"{whole.context.trace_id:032x}") == ("concurrent", one["uuid"].replace("-", ""))
    assert (whole.start_time, whole.end_time) == (one["started"], one["ended"])
    by_id = {span.context.span_id: span for span in finished}
    assert len(by_id) == len(finished)
    calls = support.read(concurrent, "select * from span")
    assert len(calls) == 2 * CONCURRENT + 1 == len(by_id) - 1
    for call in calls:
        span = by_id[call["id"]]
        assert (span.name, span.start_time, span.end_time) == (
            call["name"], call["started"], call["started"] + call["duration"],
        )  # fmt: skip
        assert span.parent is not None
        assert span.parent.span_id == (call["parent"] or whole.context.span_id)
        assert span.attributes is not None
        assert span.attributes["umlaut.time"] == pytest.approx(call["duration"] / 1e9)
        assert span.attributes["umlaut.time.unit"] == "sec"


def test_a_line_can_be_posted_as_it_is(made: Path, umlaut: Umlaut) -> None:
    assert parsed(exported(umlaut, made) / "traces.jsonl", ExportTraceServiceRequest)


def test_errors_and_calls_that_run(made: Path, umlaut: Umlaut) -> None:
    spans = sdk_spans(parsed(exported(umlaut, made, "last") / "traces.jsonl", TracesData))
    (load,) = [span for span in spans if span.name == "load"]
    assert (load.status.status_code, load.status.description) == (StatusCode.ERROR, "no")
    assert load.attributes is not None
    assert load.attributes["umlaut.memory"] == 3.25
    assert load.attributes["umlaut.memory.data"] == '{"n":4,"min":1.0}'
    assert load.attributes["umlaut.producing_ns"] == 5
    assert load.resource.attributes["service.name"] == "train.py"
    assert load.resource.attributes["umlaut.tags"] == ("gpu", "night")
    (running,) = [span for span in spans if span.attributes and span.attributes.get("umlaut.status") == "running"]
    assert running.start_time == running.end_time == BEGAN + 3 * SECOND


def test_metrics_hold_every_sample_and_pass_through_the_sdk(made: Path, umlaut: Umlaut) -> None:
    lines = parsed(exported(umlaut, made, "last") / "metrics.jsonl", MetricsData)
    points: dict[str, list[tuple[int, float]]] = {}
    units = {}
    for line in lines:
        ((metric,),) = [scoped.metrics for resource in line.resource_metrics for scoped in resource.scope_metrics]
        units[metric.name] = metric.unit
        points.setdefault(metric.name, []).extend(
            (point.time_unix_nano, point.as_double) for point in metric.gauge.data_points
        )
        (again,) = encode_metrics(sdk_metrics_of(line)).resource_metrics
        (before,) = line.resource_metrics
        assert again.scope_metrics[0].metrics == before.scope_metrics[0].metrics
    assert points["umlaut.memory"] == [(time_of(at), at / 7) for at in range(SAMPLES)]
    assert [value for _, value in points["umlaut.cpu"]] == [50.0, -1.5]
    assert [value for _, value in points["umlaut.accuracy"]] == [0.1 + 0.2]
    assert units == {"umlaut.memory": "MiBy", "umlaut.cpu": "%", "umlaut.accuracy": ""}


def sdk_metrics_of(line: Any) -> sdk_metrics.MetricsData:
    (resource,) = line.resource_metrics
    (scoped,) = resource.scope_metrics
    metrics = [
        sdk_metrics.Metric(
            metric.name, "", metric.unit,
            sdk_metrics.Gauge([
                sdk_metrics.NumberDataPoint(attributes(point.attributes), 0, point.time_unix_nano, point.as_double)
                for point in metric.gauge.data_points
            ]),
        )
        for metric in scoped.metrics
    ]  # fmt: skip
    scope = InstrumentationScope(scoped.scope.name, scoped.scope.version)
    of_scope = sdk_metrics.ScopeMetrics(scope, metrics, "")
    of_resource = sdk_metrics.ResourceMetrics(Resource(attributes(resource.resource.attributes)), [of_scope], "")
    return sdk_metrics.MetricsData([of_resource])


def test_logs(made: Path, umlaut: Umlaut) -> None:
    lines = parsed(exported(umlaut, made, "last") / "logs.jsonl", LogsData)
    records = [line.resource_logs[0].scope_logs[0].log_records[0] for line in lines]
    assert [(record.event_name, plain(record.body)) for record in records] == [
        ("umlaut.drop", "3 records were dropped"),
        ("umlaut.loss", '[0.5,"Infinity",-0.25]'),
    ]
    assert attributes(records[0].attributes) == {"umlaut.data": '{"count":3}'}
    assert records[0].severity_number == 13


def test_one_file_holds_one_kind(made: Path, umlaut: Umlaut) -> None:
    shown = umlaut("export", made, "-f", "otlp")
    assert {name for line in shown.stdout.splitlines() for name in json.loads(line)} == {"resourceSpans"}
    assert shown.stderr == (
        "umlaut: otlp has a file for each kind: this one has no metrics and logs, which -t or a folder gets\n"
    )
    lines = umlaut("export", made, "-f", "otlp", "-t", "metrics").stdout.splitlines()
    assert {name for line in lines for name in json.loads(line)} == {"resourceMetrics"}


def test_hostile_texts(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(*in_every_text(TEXTS))
    out = exported(umlaut, database)
    spans = sdk_spans(parsed(out / "traces.jsonl", TracesData))
    assert {span.name for span in spans} == set(TEXTS)
    assert parsed(out / "metrics.jsonl", MetricsData)
    assert parsed(out / "logs.jsonl", LogsData)
