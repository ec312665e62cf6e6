"""The supervisor and the metrics of UMLAUT: those of the asynchronous API, with the arguments of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async import metrics as asynchronous
from umlaut_async import supervisor
from umlaut_async.calls import Call, checked_entries, innermost
from umlaut_async.compat.facade import core_of
from umlaut_async.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from umlaut_async.benchmark import Benchmark as AsynchronousBenchmark
    from umlaut_async.compat.facade import Benchmark

TimeMetric = asynchronous.TimeMetric
EnergyMetric = asynchronous.EnergyMetric
GPUTimeMetric = asynchronous.GPUTimeMetric


class _EntriesMetric(asynchronous.Metric):
    """A metric that keeps the number of entries it was last told."""

    num_entries: float | None = None

    def track(self, num_entries: float) -> None:
        """Set the number of entries, instead of adding to it: of the running call, and of the calls to come.

        Of several calls that run, it is that of the innermost in this context; outside of all, that of all.

        Args:
            num_entries: How many entries a call processes, a number of at least 0.

        Raises:
            ArgumentError: The number is negative or not finite.
            ArgumentTypeError: It is not a number.
        """
        self.num_entries = num_entries = checked_entries(num_entries)
        for stage in list(self._stages):
            if isinstance(stage, _EntriesStage):
                stage.preset(self, num_entries)
        call = innermost(self)
        running = [call] if call else [call for stage in list(self._stages) for call in stage.running_calls()]
        for call in running:
            _set_entries(call, call.plan.positions[id(self)], num_entries)


class ThroughputMetric(_EntriesMetric, asynchronous.ThroughputMetric):
    """Measure how many entries a call processes in a second; pass their number to `track`.

    Args:
        description: What is processed, in the words of the user.
    """


class LatencyMetric(_EntriesMetric, asynchronous.LatencyMetric):
    """Measure the seconds that a call takes for one entry; pass the number of entries to `track`.

    Args:
        description: What is timed, in the words of the user.
    """


class _SampledMetric(asynchronous.Metric):
    """A metric with the arguments of UMLAUT, and none of those that came later."""

    def __init__(self, description: str, interval: float = 1, checkpoint_interval: int | None = None) -> None:
        super().__init__(description, interval)


class CPUMetric(_SampledMetric, asynchronous.CPUMetric):
    """Measure the CPU use of the process during a call, in percent of one core.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class MemoryMetric(_SampledMetric, asynchronous.MemoryMetric):
    """Measure the resident memory of the process during a call, in MiB.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class PowerMetric(_SampledMetric, asynchronous.PowerMetric):
    """Measure the power of the CPU during a call, in Watt.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class GPUMetric(_SampledMetric, asynchronous.GPUMetric):
    """Measure the utilisation of the first GPU during a call, in percent of the time.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class GPUMemoryMetric(_SampledMetric, asynchronous.GPUMemoryMetric):
    """Measure the memory in use on the first GPU during a call, in MiB.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class GPUPowerMetric(_SampledMetric, asynchronous.GPUPowerMetric):
    """Measure the power that the first GPU draws during a call, in watts.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        checkpoint_interval: Without effect: samples are on disk within a second.
    """


class BenchmarkSupervisor(supervisor.BenchmarkSupervisor):
    """Measure what it decorates, call by call: functions, and all else that `umlaut_async.BenchmarkSupervisor` does.

    Args:
        metrics: What is measured; any non-empty iterable of metrics, such as `dict.values()`.
        benchmark: Where it is recorded.
        name: The name of the stage; by default that of what is decorated.
    """

    def __init__(self, metrics: Iterable[asynchronous.Metric], benchmark: Benchmark, name: str | None = None) -> None:
        super().__init__(metrics, core_of(benchmark), name)

    def _stage(self, kind: str, name: str) -> Stage:
        if any(isinstance(metric, _EntriesMetric) for metric in self.metrics):
            return _EntriesStage(self.metrics, self.benchmark, kind, name)
        return super()._stage(kind, name)


class _EntriesStage(Stage):
    """A stage each call of which begins with the number of entries that its metrics were last told."""

    def __init__(
        self, metrics: tuple[asynchronous.Metric, ...], benchmark: AsynchronousBenchmark, kind: str, name: str
    ) -> None:
        super().__init__(metrics, benchmark, kind, name)
        self._positions = {id(metric): position for position, metric in enumerate(metrics)}
        self._preset: dict[int, float] = {}
        for metric in metrics:
            if isinstance(metric, _EntriesMetric) and metric.num_entries is not None:
                self.preset(metric, metric.num_entries)

    def preset(self, metric: asynchronous.Metric, num_entries: float) -> None:
        """Have calls begin with this number of entries for a metric."""
        self._preset[self._positions[id(metric)]] = num_entries

    def enter(self) -> Call | None:
        """Begin a call; None lets it run unmeasured."""
        call = super().enter()
        if call is not None and self._preset:
            call.entries = self._preset.copy()
        return call


def _set_entries(call: Call, position: int, num_entries: float) -> None:
    if call.entries is None:
        call.entries = {}
    call.entries[position] = num_entries
