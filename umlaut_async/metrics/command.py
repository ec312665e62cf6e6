"""Metrics of a command that is measured from outside, with all that it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.reductions import described, io_of, readings_of
from umlaut_async.metrics.resources import memory_of
from umlaut_async.probes.probe import UnreadableError
from umlaut_async.probes.process import IOCounters
from umlaut_async.summary import Summary

if TYPE_CHECKING:
    from umlaut_async.metrics.reductions import Outcome, Reduction
    from umlaut_async.probes.command import WatchedCommand
    from umlaut_async.probes.probe import Probe
    from umlaut_async.records import CallRecord


class _OfCommand(Metric):
    def __init__(self, description: str, interval: float, command: WatchedCommand) -> None:
        self.command = command
        super().__init__(description, interval)


class CommandCPUMetric(_OfCommand):
    """Measure the CPU time of a command, as the kernel tells it at the end, over its duration."""

    measure_type = "cpu"
    unit = "%"
    reduction = "command cpu"

    def probe(self) -> Probe:
        return self.command.cpu()


class CommandMemoryMetric(_OfCommand):
    """Measure the highest memory of a command: of its samples, and of what the kernel knows of its processes."""

    measure_type = "memory"
    unit = "MiB"
    reduction = "command memory"

    def probe(self) -> Probe:
        return self.command.memory()


class CommandIOMetric(_OfCommand):
    """Measure what a command reads from and writes to storage."""

    measure_type = "io"
    unit = "MiB/s"
    reduction = "command io"

    def probe(self) -> Probe:
        return self.command.io()


def _cpu(
    call: CallRecord, entries: object, entered: object, left: tuple[tuple[int, int, int] | None, object],
    samples: Summary | None, elapsed: object,
) -> Outcome | None:  # fmt: skip
    if left[0] is None or not call.duration:
        return None
    total, user, system = left[0]
    value = 100 * total / call.duration
    seconds = {"seconds": total / 1e9, "user": user / 1e9, "system": system / 1e9}
    return value, described(samples or Summary(1, value, value, value, value, value)) | seconds


def _memory(
    call: CallRecord, entries: object, entered: tuple[float, float | None], left: tuple[float | None, float | None],
    samples: Summary | None, elapsed: object,
) -> Outcome | None:  # fmt: skip
    peak, last = left
    if not peak:
        raise UnreadableError("the command was over before it could be read")
    readings = samples or readings_of(entered[1], last, None) or Summary(1, peak, peak, peak, peak, peak)
    return memory_of(readings._replace(max=max(readings.max, peak)))


def _io(
    call: CallRecord, entries: object, entered: object, left: tuple[tuple[int, ...] | None, object],
    samples: Summary | None, elapsed: object,
) -> Outcome | None:  # fmt: skip
    return None if left[0] is None else io_of(call, IOCounters(*left[0]), samples)


REDUCTIONS: dict[str, Reduction] = {"command cpu": _cpu, "command memory": _memory, "command io": _io}
"""The reductions of this family by name."""
