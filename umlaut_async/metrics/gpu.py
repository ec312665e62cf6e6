"""Metrics of a GPU: what NVML tells of it, and the time that it takes for the work of a call."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

from umlaut_async.errors import ArgumentError, ArgumentTypeError
from umlaut_async.metrics.edges import share, standing
from umlaut_async.metrics.metric import Metric
from umlaut_async.metrics.reductions import Outcome, Reduction, described, readings_of
from umlaut_async.probes.cuda import gpu_moment, seconds_between
from umlaut_async.probes.cuda_visible import visible_here
from umlaut_async.probes.nvml import ENERGY, MEMORY, POWER, UTILISATION, Field, gpu_probe

if TYPE_CHECKING:
    from umlaut_async.probes.probe import Probe
    from umlaut_async.records import CallRecord
    from umlaut_async.summary import Summary


class _NvmlMetric(Metric):
    field: ClassVar[Field]

    def __init__(self, description: str, interval: float = 1, id: SupportsIndex = 0) -> None:
        self.id = _checked_id(id)
        super().__init__(description, interval)

    def probe(self) -> Probe:
        # As it is when the stage first runs. A stage that sets it later, as some do for a library, would otherwise have
        # the counter of one GPU subtracted from that of another.
        return gpu_probe(self.field, self.id, visible=visible_here())


class GPUMetric(_NvmlMetric):
    """Measure the utilisation of a GPU during a call, in percent of the time in which some program ran on it.

    A call's value is the mean of its samples and of the readings at its edges. The source is NVML, which forms its
    own mean over the last 0.2 to 1 seconds, of all programs that use the GPU.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        id: The index of the GPU among those that `CUDA_VISIBLE_DEVICES` shows. NVML counts GPUs in the order of the
            PCI bus, as CUDA does with `CUDA_DEVICE_ORDER=PCI_BUS_ID`; by default CUDA puts the fastest first.
    """

    measure_type = "gpu"
    unit = "%"
    reduction = "mean"
    field = UTILISATION


class GPUMemoryMetric(_NvmlMetric):
    """Measure the memory in use on a GPU during a call, by all programs, in MiB.

    A call's value is the peak of its samples and of the readings at its edges. The source is NVML; what the driver
    reserves for itself is not counted, where it tells that apart.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        id: The index of the GPU among those that `CUDA_VISIBLE_DEVICES` shows, see `GPUMetric`.
    """

    measure_type = "gpumemory"
    unit = "MiB"
    reduction = "peak"
    field = MEMORY


class GPUPowerMetric(_NvmlMetric):
    """Measure the power that a GPU draws during a call, in watts.

    A call's value is the mean of its samples and of the readings at its edges. The source is NVML, for the whole
    board, whoever uses it. GPUs since Ampere, apart from the A100, report a mean over the last second.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        id: The index of the GPU among those that `CUDA_VISIBLE_DEVICES` shows, see `GPUMetric`.
    """

    measure_type = "gpupower"
    unit = "W"
    reduction = "mean"
    field = POWER


class GPUEnergyMetric(_NvmlMetric):
    """Measure the energy that a GPU takes during a call, in microjoules.

    A call's value is the difference of NVML's energy counter at its edges, for the whole board, whoever uses it; it
    is absent where the counter began anew in between. GPUs older than Volta have no such counter.

    The counter moves only every 20 to 100 milliseconds. So the value of a call under two seconds is estimated, and that
    of one under a tenth of a second is absent: measure a longer stretch at once.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two samples, at least 0.001.
        id: The index of the GPU among those that `CUDA_VISIBLE_DEVICES` shows, see `GPUMetric`.
    """

    measure_type = "gpuenergy"
    unit = "µJ"
    reduction = "gpuenergy"
    field = ENERGY


class GPUTimeMetric(Metric):
    """Measure the time from the start of a call to its end as the GPU sees it, in seconds.

    A CUDA event is put into the current stream of the caller at either edge; the value is the time between the
    moments at which the GPU reached them, which is when the work that was queued before was done. Neither edge waits
    for the GPU. The source is torch, which must be imported, and its CUDA initialised (`torch.cuda.init()`), before
    the call begins; else this call has no value.

    Args:
        description: What is timed, in the words of the user.
    """

    measure_type = "gputime"
    unit = "sec"
    reduction = "gputime"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.interval = None

    def probe(self) -> Probe:
        return gpu_moment()


def _checked_id(id: object) -> int:
    if isinstance(id, bool) or not isinstance(id, SupportsIndex):
        raise ArgumentTypeError(f"id must be the index of a GPU, a whole number, not {type(id).__name__}")
    try:
        index = operator.index(id)
    except TypeError:
        raise ArgumentTypeError(f"id must be the index of a GPU, a whole number, not {id!r}") from None
    if index < 0:
        raise ArgumentError(f"id must be the index of a GPU, at least 0, not {index}")
    return index


def _energy(
    call: CallRecord, entries: object, entered: float | None, left: float | None, samples: Summary | None, elapsed: int
) -> Outcome | None:
    readings = samples or readings_of(entered, left, None)
    if entered is None or left is None or readings is None or left < readings.max:
        return None  # Also where the counter stood higher before: it began anew with the driver.
    if left == entered:
        raise standing(elapsed, ENERGY.step)  # No GPU that is on uses nothing.
    return (left - entered) * share(call.duration, elapsed), described(readings)


def _gpu_time(call: CallRecord, entries: object, entered: Any, left: Any, *_: object) -> Outcome | None:
    if entered is None and (left is None or isinstance(left, float)):
        # Settled in the process of the call, whose moments are nothing to another one; or it has said why not.
        return None if left is None else (left, None)
    return seconds_between(entered, left), None


REDUCTIONS: dict[str, Reduction] = {"gpuenergy": _energy, "gputime": _gpu_time}
"""The reductions of this family by name."""
