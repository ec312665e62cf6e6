"""What each metric would find on this machine: its source is read a few times, as a call reads it."""

from __future__ import annotations

import asyncio
import mmap
import os
import platform
import statistics
import threading
import time
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

from umlaut_async import metrics
from umlaut_async.clock import now
from umlaut_async.probes import FIRST_DEADLINE, Lack, Place, Probe, UnavailableError, nvml
from umlaut_async.probes.cuda import seconds_between
from umlaut_async.probes.process import MIB
from umlaut_async.probes.tree_sources import source_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from umlaut_async.metrics import Metric

T = TypeVar("T")
_Look: TypeAlias = "tuple[float, Resolution | None, Sequence[Lack]]"

_DEADLINE_OF_TORCH = 60.0
_DRIVERS = ("nvml", "rapl")
_READINGS = 5
_STEPS = 3
_LONGEST_SEARCH = 50_000_000
"""Nanoseconds in which a step must show: energy counters move once in a millisecond, as a rule."""


@dataclass(frozen=True)
class Resolution:
    """The smallest difference between two readings."""

    value: float
    unit: str
    """That of the source, which is not always that of the metric: power is made of energy."""


@dataclass(frozen=True)
class Finding:
    """What is true of one metric on this machine."""

    metric: str
    type: str
    unit: str
    status: str
    """Whether it is recorded: "works"; "unavailable", where the machine or a right is missing; "fails", where nothing
    is missing and it could not be read all the same."""
    source: str
    provenance: str
    resolution: Resolution | None
    """None where it is not known and no step was seen."""
    cost: float | None
    """The seconds that a reading takes, the median of several."""
    reason: str | None = None
    cure: str | None = None
    lacks: tuple[dict[str, str | None], ...] = ()
    """What its numbers lack here, with `part`, `reason` and `cure`, where it works all the same."""


class Check(NamedTuple):
    """How a metric is looked at."""

    metric: Metric
    label: str
    resolution: Resolution | None = None
    """Where it is known; else the smallest step that shows."""
    step_unit: str = ""
    amount: Callable[[Any], float] = float
    """Makes a reading a number in that unit."""
    deadline: float = FIRST_DEADLINE
    lacks: Callable[[Any], Sequence[Lack]] | None = None
    """Given a reading: what it lacks."""


def checks() -> list[Check]:
    """Return the checks of all metrics, the first GPU standing for all."""
    clock = Resolution(time.get_clock_info("perf_counter").resolution, "sec")
    cpu_clock = Resolution(time.get_clock_info("process_time").resolution, "sec")
    page = Resolution(mmap.PAGESIZE / MIB, "MiB")
    sector = Resolution(512 / MIB, "MiB")
    lag = metrics.EventLoopLagMetric("loop lag")
    return [
        *(
            Check(timing("timing"), timing.__name__, clock)
            for timing in (metrics.TimeMetric, metrics.LatencyMetric, metrics.ThroughputMetric)
        ),
        Check(metrics.CPUMetric("CPU"), "CPUMetric", cpu_clock),
        Check(metrics.CPUMetric("CPU", children=True), "CPUMetric(children=True)", _step_of_tree(cpu_clock)),
        Check(metrics.MemoryMetric("memory"), "MemoryMetric", page),
        Check(metrics.MemoryMetric("memory", children=True), "MemoryMetric(children=True)", page),
        Check(metrics.IOMetric("I/O"), "IOMetric", sector),
        Check(metrics.IOMetric("I/O", children=True), "IOMetric(children=True)", sector),
        Check(metrics.PowerMetric("power"), "PowerMetric", None, "µJ", _counted, lacks=_not_counted),
        Check(metrics.EnergyMetric("energy"), "EnergyMetric", None, "µJ", _counted, lacks=_not_counted),
        Check(metrics.GPUMetric("GPU"), "GPUMetric", Resolution(1, "%")),
        Check(metrics.GPUMemoryMetric("GPU memory"), "GPUMemoryMetric", None, "MiB"),
        Check(metrics.GPUPowerMetric("GPU power"), "GPUPowerMetric", Resolution(1e-3, "W")),
        Check(metrics.GPUEnergyMetric("GPU energy"), "GPUEnergyMetric", Resolution(1000, "µJ")),
        # That of CUDA events, as the documentation of CUDA has it.
        Check(metrics.GPUTimeMetric("GPU time"), "GPUTimeMetric", Resolution(5e-7, "sec"), deadline=_DEADLINE_OF_TORCH),
        Check(lag, "EventLoopLagMetric", Resolution((lag.interval or 0) / 2, "sec")),
        Check(metrics.AwaitMetric("awaiting"), "AwaitMetric", clock),
        Check(metrics.WaitMetric("waiting"), "WaitMetric", clock),
    ]


def diagnose(chosen: Iterable[Check] | None = None, hanging: set[str] | None = None) -> list[Finding]:
    """Read what each metric reads, each within its deadline, and say what came of it.

    Nothing is raised, whatever the sources do.

    Args:
        chosen: What to look at, by default all metrics.
        hanging: Gets the drivers that did not answer, which are not asked again.
    """
    hung = set[str]() if hanging is None else hanging
    with warnings.catch_warnings():
        # A driver's or a library's opinion of this machine is not what was asked for.
        warnings.simplefilter("ignore")
        return [_finding(check, hung) for check in (checks() if chosen is None else chosen)]


def versions(hanging: Collection[str] = ()) -> dict[str, str | None]:
    """Return the versions of what the numbers come through; None for what is not there.

    Args:
        hanging: The drivers that are not asked, since they do not answer.
    """
    import sqlite3

    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release()}",
        "nvidia_driver": None if "nvml" in hanging else _nvidia_driver(),
    }


def _step_of_tree(cpu_clock: Resolution) -> Resolution:
    """Return by what the CPU time of a process moves, seen from outside: by its clock, or as the system counts it."""
    source = source_for("/proc")
    # User and system time are rounded separately.
    return cpu_clock if source.cpu_clock(os.getpid()) is not None else Resolution(source.step / 2e9, "sec")


def _finding(check: Check, hanging: set[str]) -> Finding:
    metric = check.metric
    probe = metric.probe() or Probe("clock", now, "perf_counter")
    reason = cure = cost = resolution = None
    lacks: Sequence[Lack] = ()
    # All metrics of a GPU are of one driver; probes of these have its name at the first place of their keys.
    driver = probe.key[0] if isinstance(probe.key, tuple) else probe.key
    try:
        if driver in hanging:
            raise TimeoutError
        cost, resolution, lacks = _within(check.deadline, lambda: _look(check, probe))
        status = "works"
    except UnavailableError as error:
        status, reason, cure = "unavailable", error.reason, error.cure
    except PermissionError as error:
        status, reason, cure = "unavailable", f"this process may not read it ({error})", "run it with the right to"
    except TimeoutError:
        status, reason = "fails", f"there was no answer within {check.deadline:g} s"
        if driver in _DRIVERS:
            hanging.add(driver)
    except Exception as error:
        status, reason = "fails", str(error) or type(error).__name__
    provenance = probe.provenance if status == "works" else "unavailable"
    return Finding(
        check.label, metric.measure_type, metric.unit, status, probe.source, provenance, resolution, cost, reason, cure,
        tuple(lack._asdict() for lack in lacks),
    )  # fmt: skip


def _look(check: Check, probe: Probe) -> _Look:
    """Return the seconds that a reading takes, the smallest step, and what a reading lacks."""
    try:
        if probe.source == "cuda-event":
            _try_gpu_time(probe)
        if probe.place is Place.TIMER:
            with asyncio.Runner() as runner:
                return _measure(check, lambda: runner.run(_lag(probe)))
        return _measure(check, probe.read)
    finally:
        if probe.close is not None:
            probe.close()


def _measure(check: Check, read: Callable[[], Any]) -> _Look:
    first = read()  # It opens and initialises.
    costs = []
    for _ in range(_READINGS):
        began = now()
        read()
        costs.append(now() - began)
    lacks = () if check.lacks is None else check.lacks(first)
    return statistics.median(costs) / 1e9, check.resolution or _smallest_step(check, read), lacks


def _smallest_step(check: Check, read: Callable[[], Any]) -> Resolution | None:
    steps: list[float] = []
    earlier, until = check.amount(read()), now() + _LONGEST_SEARCH
    while len(steps) < _STEPS and now() < until:
        later = check.amount(read())
        if later != earlier:
            steps.append(abs(later - earlier))
        earlier = later
    return Resolution(min(steps), check.step_unit) if steps else None


async def _lag(probe: Probe) -> float:
    assert probe.overdue is not None
    due = now()
    await asyncio.sleep(0)
    return probe.overdue(now() - due)


def _try_gpu_time(probe: Probe) -> None:
    """Do what a program does that uses a GPU, and take the time between two moments."""
    cuda: Any = import_module("torch").cuda if find_spec("torch") else None
    if cuda is not None and cuda.is_available():
        cuda.init()
    entered, left = probe.read(), probe.read()
    try:
        if cuda is not None and cuda.is_available():
            cuda.synchronize()
        seconds_between(entered, left)
    except UnavailableError:
        raise
    except Exception:
        if cuda is None or cuda.is_available():
            raise
        cure = "install the NVIDIA driver, or run it on a machine with a GPU"
        raise UnavailableError("torch finds no GPU that it can use", cure) from None


def _nvidia_driver() -> str | None:
    def ask() -> str:
        version = nvml.shared().module().nvmlSystemGetDriverVersion()
        return version.decode(errors="replace") if isinstance(version, bytes) else str(version)

    try:
        return _within(FIRST_DEADLINE, ask)
    except Exception:
        return None


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what a function returns in a daemon thread, which nobody waits for longer than so many seconds."""
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, name="umlaut-doctor", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
    return value  # type: ignore[return-value]  # where there is no error there is a value


def _counted(energy: Any) -> float:
    return float(sum(count.total for count in energy.packages))


def _not_counted(energy: Any) -> Sequence[Lack]:
    if energy.lacks or energy.dram:
        return cast("Sequence[Lack]", energy.lacks)
    return (Lack("the memory (DRAM)", "this machine has no counter of it"),)
