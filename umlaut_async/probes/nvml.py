"""GPUs by NVML, through the module `pynvml` of the distribution nvidia-ml-py.

NVML is initialised at the first reading, once in a process, and stays so until the process ends: on a machine without
the persistence daemon the driver unloads its state with its last user, and loading it again takes seconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async import originals
from umlaut_async.clock import now
from umlaut_async.probes.cuda_visible import visible_entries
from umlaut_async.probes.nvml_errors import (
    ARGUMENT_VERSION_MISMATCH,
    FUNCTION_NOT_FOUND,
    LOST_SESSION,
    NO_SUCH_DEVICE,
    STALE_DEVICE,
    UNINITIALIZED,
    code_of,
    explained,
)
from umlaut_async.probes.probe import FIRST_DEADLINE, Place, Probe, Stamped, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
_LONGEST_PAUSE = 60.0
_NO_VALUE = (2**32 - 1, 2**64 - 1)
"""What NVML fills in where it has no number, in its two widths."""


class Field(NamedTuple):
    """One number that NVML tells of a GPU."""

    name: str
    read: Callable[[Any, Any], float | None]
    """Given `pynvml` and the handle of a device, makes one call and returns the number, or None where there is none."""
    source: str = "nvml"
    step: int = 0
    """The nanoseconds between two moves of a counter."""


def _utilisation(nvml: Any, device: Any) -> float | None:
    return _number(nvml.nvmlDeviceGetUtilizationRates(device).gpu)


def _memory(nvml: Any, device: Any) -> float | None:
    try:
        # The second version tells what programs use apart from what the driver reserves, as nvidia-smi does.
        used = nvml.nvmlDeviceGetMemoryInfo(device, nvml.nvmlMemory_v2).used
    except nvml.NVMLError as error:
        if code_of(error) not in (FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH):
            raise
        used = nvml.nvmlDeviceGetMemoryInfo(device).used
    return _number(used, 1 / MIB)


def _power(nvml: Any, device: Any) -> float | None:
    return _number(nvml.nvmlDeviceGetPowerUsage(device), 1e-3)


def _energy(nvml: Any, device: Any) -> float | None:
    # The counter runs since the driver was loaded: where it stands at 0, the GPU has none.
    return _number(nvml.nvmlDeviceGetTotalEnergyConsumption(device) or _NO_VALUE[0], 1000)


def _number(value: int, scale: float = 1) -> float | None:
    return None if value in _NO_VALUE else value * scale


UTILISATION = Field("utilisation", _utilisation)
"""In percent of the time."""
MEMORY = Field("memory", _memory)
"""In use by all programs, in MiB."""
POWER = Field("power", _power)
"""In watts."""
ENERGY = Field("energy", _energy, "nvml-counter", 100_000_000)
"""Since the driver was loaded, in microjoules. It moves when the driver takes the power, every 20 to 100 ms."""


class Nvml:
    """NVML in one process: initialised at first use, and again, at growing distances, where that was lost.

    Args:
        load: Returns the module `pynvml`.
        now: Tells the time in seconds.
    """

    def __init__(self, load: Callable[[], Any] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._load = load or _pynvml
        self._now = now
        self._lock = originals.lock()
        self._module: Any = None
        self._devices: dict[tuple[int, str | None], Any] = {}
        self._open = False
        self._session = 0
        self._worked = False
        self._failures = 0
        self._next_try = 0.0
        self._fault: UnavailableError | UnreadableError = UnreadableError("NVML was not initialised")

    def read(self, field: Field, gpu: int, visible: str | None = None) -> float:
        """Read a number of a GPU; it is `Stamped` with the moment at which the driver was asked.

        Args:
            field: What to read.
            gpu: The index of the GPU among those that the process sees.
            visible: What `CUDA_VISIBLE_DEVICES` is in it; None where it is not set.

        Raises:
            UnavailableError: It can never be read here.
            UnreadableError: It could not be read this time.
        """
        what = f"the {field.name} of GPU {gpu}"
        session = self._ensure_open()
        try:
            device = self._device(gpu, visible)
            # Before, and not after: another thread may have the interpreter for some milliseconds when a read returns.
            at = now()
            value = field.read(self._module, device)
        except (UnavailableError, UnreadableError):
            raise
        except Exception as error:
            raise self._failed(error, session, (gpu, visible), what) from None
        self._worked = True
        self._failures = 0
        if value is None:
            raise UnreadableError(f"{what} could not be read: NVML gave no value")
        return Stamped(value, at)

    def module(self) -> Any:
        """Return `pynvml`, initialised, for other questions than those after a number; it is not to be shut down.

        Raises:
            UnavailableError: It can never be initialised here.
            UnreadableError: It could not be initialised this time.
        """
        self._ensure_open()
        return self._module

    def _ensure_open(self) -> int:
        """Initialise NVML unless it is; return the number of the session, which tells a loss known from a new one."""
        with self._lock:
            if not self._open:
                if self._now() < self._next_try:
                    raise type(self._fault)(*self._fault.args)
                try:
                    self._module = self._module or self._load()
                    self._module.nvmlInit()
                except UnavailableError as error:
                    self._wait_after(error)
                    raise
                except Exception as error:
                    self._wait_after(explained(error, "NVML", worked=self._worked))
                    raise self._fault from None
                self._open = True
            return self._session

    def _device(self, gpu: int, visible: str | None) -> Any:
        with self._lock:
            if (gpu, visible) not in self._devices:
                self._devices[gpu, visible] = _find(self._module, gpu, visible)
            return self._devices[gpu, visible]

    def _failed(
        self, error: Exception, session: int, device: tuple[int, str | None], what: str
    ) -> UnavailableError | UnreadableError:
        code = code_of(error)
        fault = explained(error, what, worked=self._worked)
        with self._lock:
            if session != self._session:
                # It was lost, and that was seen to, while this call was on its way: it tells the cause, not the effect.
                return type(self._fault)(*self._fault.args) if code == UNINITIALIZED else fault
            if code in STALE_DEVICE:
                self._devices.pop(device, None)
            elif code in LOST_SESSION:
                if code != UNINITIALIZED:
                    with contextlib.suppress(Exception):
                        self._module.nvmlShutdown()
                self._open = False
                self._session += 1
                self._devices.clear()
                self._wait_after(explained(error, "NVML", worked=self._worked))
        return fault

    def _wait_after(self, fault: UnavailableError | UnreadableError) -> None:
        """Try once more at the next reading, and then at growing distances."""
        self._fault = fault
        pause = 0 if self._failures == 0 else min(_LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10))
        self._failures += 1
        self._next_try = self._now() + pause


def _pynvml() -> Any:
    try:
        return import_module("pynvml")
    except Exception as error:
        reason = f"the module pynvml cannot be imported ({error})"
        raise UnavailableError(reason, "`pip install nvidia-ml-py`") from None


def _find(nvml: Any, gpu: int, variable: str | None) -> Any:
    """Return the handle of the GPU that has this index in a process with this value of `CUDA_VISIBLE_DEVICES`."""
    count = nvml.nvmlDeviceGetCount()
    if variable is None:
        if gpu < count:
            return nvml.nvmlDeviceGetHandleByIndex(gpu)
        raise _no_such_gpu(gpu, count, "this machine has")
    shown = 0
    for entry in visible_entries(variable):
        if isinstance(entry, int):
            device = nvml.nvmlDeviceGetHandleByIndex(entry) if entry < count and shown == gpu else None
            valid = entry < count
        else:
            device = _by_uuid(nvml, entry, count)
            valid = device is not None
        if not valid:
            break  # What follows an entry that is not valid does not count.
        if shown == gpu:
            return device
        shown += 1
    raise _no_such_gpu(gpu, shown, f"CUDA_VISIBLE_DEVICES={variable!r} shows this process")


def _by_uuid(nvml: Any, entry: str, count: int) -> Any:
    """Return the handle of the one device whose UUID is this, or begins so; None where there is none, or several."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(entry)
    except nvml.NVMLError as error:
        if code_of(error) not in NO_SUCH_DEVICE:
            raise
    found = []
    failure = None
    for index in range(count):
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            if nvml.nvmlDeviceGetUUID(device).startswith(entry):
                found.append(device)
        except nvml.NVMLError as error:
            if code_of(error) in LOST_SESSION:
                raise
            failure = error
    if not found and failure is not None:
        raise failure  # It may be the one that could not be asked.
    return found[0] if len(found) == 1 else None


def _no_such_gpu(gpu: int, count: int, seen_by: str) -> UnavailableError:
    number = f" {count} GPU{'' if count == 1 else 's'}"
    return UnavailableError(
        f"GPU {gpu} does not exist: {seen_by}{number}",
        f"use an id below {count}" if count else "make a GPU visible to this process",
    )


_shared = Nvml()


def _renew() -> None:
    # What NVML has open is of no use in a forked child, and its lock may be held there for ever.
    global _shared
    _shared = Nvml()


os.register_at_fork(after_in_child=_renew)


_wanted = False


def wanted() -> bool:
    """Return whether this process has a metric of a GPU."""
    return _wanted


def shared() -> Nvml:
    """Return what all GPU metrics of this process share."""
    return _shared


def gpu_probe(field: Field, gpu: int, nvml: Callable[[], Nvml] = shared, visible: str | None = None) -> Probe:
    """Return the probe of a number of a GPU.

    Args:
        field: What to read.
        gpu: The index of the GPU among those that the process sees.
        nvml: Returns what to read it by.
        visible: What `CUDA_VISIBLE_DEVICES` is in the process; None where it is not set.
    """
    global _wanted
    _wanted = True
    read = partial(_read, field, gpu, nvml, visible)
    key = "nvml", field.name, gpu, visible
    # Metrics of several GPUs may have one description.
    source = f"{field.source}:{gpu}" if gpu else field.source
    return Probe(
        key, read, source, Place.THREAD, check=float, first_deadline=FIRST_DEADLINE, stamp=attrgetter("at"),
        step=field.step, outside=key,
    )  # fmt: skip


def _read(field: Field, gpu: int, nvml: Callable[[], Nvml], visible: str | None) -> float:
    return nvml().read(field, gpu, visible)
