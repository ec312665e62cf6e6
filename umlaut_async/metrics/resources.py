"""Metrics of what a call uses of the machine: CPU, memory and I/O of the process."""

from __future__ import annotations

from umlaut_async.metrics.metric import Metric
from umlaut_async.probes import Probe, cpu_time, io_counters, resident_memory


class CPUMetric(Metric):
    """Measure the CPU use of the process during a call, in percent of one core.

    A call's value is the exact CPU time between its edges over its duration; samples hold the rate between ticks.
    The source is the CPU clock of the process.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
    """

    measure_type = "cpu"
    unit = "%"
    reduction = "cpu"

    def probe(self) -> Probe:
        return cpu_time()


class MemoryMetric(Metric):
    """Measure the resident memory of the process during a call, in MiB.

    A call's value is the peak of its samples and of the readings at its edges. The source is `/proc/self/statm`, or
    psutil where there is none.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
    """

    measure_type = "memory"
    unit = "MiB"
    reduction = "peak"

    def probe(self) -> Probe:
        return resident_memory()


class IOMetric(Metric):
    """Measure what the process reads from and writes to storage during a call, in MiB/s.

    A call's value is the exact number of bytes between its edges over its duration; the bytes read and written, and
    those that passed through `read` and `write` calls (`rchar`, `wchar`), are kept beside it. The source is
    `/proc/self/io`, or psutil where there is none.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
    """

    measure_type = "io"
    unit = "MiB/s"
    reduction = "io"

    def probe(self) -> Probe:
        return io_counters()
