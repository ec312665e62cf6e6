"""The tables of a result database, for queries of one's own through `Benchmark.session`."""

from __future__ import annotations

from umlaut_async.store.models import Base, Chunk, Event, Process, Result, Run, Sample, Series, Span, key

__all__ = ["Base", "Chunk", "Event", "Process", "Result", "Run", "Sample", "Series", "Span", "key"]
