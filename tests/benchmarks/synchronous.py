"""What the synchronous face adds to a supervised call."""

from __future__ import annotations

import asyncio

from tests.benchmarks.calls import CALLS, empty_function, repeat_function
from tests.benchmarks.harness import ROUNDS, Figures, Row, benchmark, timed
from umlaut_async import BenchmarkSupervisor, ThroughputMetric, TimeMetric, compat


def added() -> Figures:
    """Compare what a call of the face costs beyond one of the core with a microsecond."""
    figures = Figures([], [])
    with benchmark() as bm:
        core = BenchmarkSupervisor([TimeMetric("time"), ThroughputMetric("throughput")], bm)(empty_function)
        throughput = compat.ThroughputMetric("throughput")
        # The face of the same benchmark: both sides fill the same buffer.
        face = compat.BenchmarkSupervisor([compat.TimeMetric("time"), throughput], bm)(empty_function)  # type: ignore[arg-type]
        throughput.track(1)
        for stage in (core, face):
            repeat_function(stage, CALLS)
        for _ in range(ROUNDS):
            asyncio.run(bm.flush())
            of_core = timed(lambda: repeat_function(core, CALLS))
            figures.ours.append((timed(lambda: repeat_function(face, CALLS)) - of_core) / CALLS)
            figures.peer.append(1e-6)
        asyncio.run(bm.close())
    return figures


ROWS = [Row("compat", "synchronous call with entries, cost beyond the core's", "1 µs", added, 1)]
