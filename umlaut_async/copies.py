"""Benchmarks that come into a process by fork, or as the arguments of a function that is called in it."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.benchmark import Benchmark
    from umlaut_async.collector.address import Address

benchmarks: weakref.WeakSet[Benchmark] = weakref.WeakSet()
"""All of this process."""
_received: dict[tuple[str, str], Benchmark] = {}
"""Those that came as arguments. They stay: otherwise each task of a worker would be one more process of the run."""


def received(make: Callable[[], Benchmark], place: tuple[str, str], address: Address | None) -> Benchmark:
    """Return what stands in this process for a benchmark that was pickled: itself, or one that joins its run.

    Args:
        make: Makes another one.
        place: The URL of its database, and the uuid of its run.
        address: The collector of the run, if it had begun.
    """
    for known in list(benchmarks):
        if (known._location.url, known.uuid) == place:
            return known
    if place not in _received:
        made = make()
        made._is_common = True
        if address is not None and address.is_in_use:
            made._join(address)
        _received.setdefault(place, made)
    return _received[place]


def _disown() -> None:
    """Let a forked child take part in the runs of its parent, and have runs of its own where none had begun."""
    for benchmark in benchmarks:
        benchmark._after_fork()


os.register_at_fork(after_in_child=_disown)
