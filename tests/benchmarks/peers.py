"""What we compare with: OpenTelemetry's SDK and prometheus_client, of the extra `bench`."""

from __future__ import annotations

from typing import Any


class Discard:
    """A span exporter that drops all that it gets."""

    def export(self, spans: object) -> Any:
        """Accept the spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing."""
        return True


def tracer_provider(**settings: int) -> Any:
    """Return OpenTelemetry's provider with a batch processor of these settings and an exporter that drops.

    The queue is long enough for a round: a span that is dropped for lack of room would cost less than one of ours.
    """
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    processor: Any = BatchSpanProcessor  # checked where it is not installed too
    provider.add_span_processor(processor(Discard(), max_queue_size=2**16, **settings))
    return provider


def summary() -> Any:
    """Return a summary of prometheus_client in a registry of its own."""
    from prometheus_client import CollectorRegistry, Summary

    return Summary("empty_seconds", "an empty function", registry=CollectorRegistry())
