"""The benchmarks, under the name that their module has in UMLAUT.

It only passes names on, as `datamodel` and `metrics` do: where `compat` stands for `umlaut`, Python makes a second
copy of each module that is imported by that name, and a second copy of a class would not be the same class.
"""

from __future__ import annotations

from umlaut_async.compat.facade import Benchmark
from umlaut_async.compat.frames import VisualizationBenchmark

__all__ = ["Benchmark", "VisualizationBenchmark"]
