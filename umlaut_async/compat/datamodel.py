"""The ORM classes, under the name that their module has in UMLAUT."""

from __future__ import annotations

from umlaut_async.compat.measurements import Base, BenchmarkMetadata, Measurement

__all__ = ["Base", "BenchmarkMetadata", "Measurement"]
