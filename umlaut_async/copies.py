"""Benchmarks that come into a process by fork, or with what is called in it: as an argument, or in a function."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from umlaut_async import ordinals

if TYPE_CHECKING:
    from umlaut_async.benchmark import Benchmark
    from umlaut_async.collector.settings import Given

benchmarks: weakref.WeakSet[Benchmark] = weakref.WeakSet()
"""All of this process."""
_received: set[Benchmark] = set()
"""Those that came with what is called. They stay: else each task of a worker would be one more process of the run."""


def received(kind: type[Benchmark], given: Given, ordinal: int) -> Benchmark:
    """Return what stands in this process for a benchmark that was pickled: itself, or one that joins its run.

    Args:
        kind: What makes another one.
        given: What it was made with.
        ordinal: Which one of several it is that were made with the same.
    """
    known = ordinals.find(given, ordinal)
    if known is None:
        known = ordinals.keep(kind.copy_of(given, ordinal), given, ordinal)
        _received.add(known)
    known.join_again()
    return known


def _disown() -> None:
    """Let a forked child take part in the runs of its parent, and have runs of its own where none had begun."""
    for benchmark in benchmarks:
        benchmark._after_fork()


os.register_at_fork(after_in_child=_disown)
