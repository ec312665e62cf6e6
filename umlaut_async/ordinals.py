"""Which one a benchmark is of several that were made with the same.

That is the same in each process that runs a program, so that what is pickled of a benchmark never depends on a run.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umlaut_async.benchmark import Benchmark
    from umlaut_async.collector.settings import Given


_benchmarks: weakref.WeakValueDictionary[tuple[Given, int], Benchmark] = weakref.WeakValueDictionary()


def ordinal_of(benchmark: Benchmark, given: Given) -> int:
    """Return the number of a new benchmark among those that were made with the same and are not closed."""
    ordinal = 0
    while (other := _benchmarks.setdefault((given, ordinal), benchmark)) is not benchmark:
        if other.is_closed:
            # A program that makes one after the other, such as one in a loop, has the same one each time.
            _benchmarks[given, ordinal] = benchmark
            break
        ordinal += 1
    return ordinal


def keep(benchmark: Benchmark, given: Given, ordinal: int) -> Benchmark:
    """Return the benchmark of this number, which is this one if there is none."""
    return _benchmarks.setdefault((given, ordinal), benchmark)


def find(given: Given, ordinal: int) -> Benchmark | None:
    """Return the benchmark of this process that was made with this and has this number."""
    return _benchmarks.get((given, ordinal))
