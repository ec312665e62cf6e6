"""Probes of another process: what a collector reads of one whose collector it is, without its help."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

from umlaut_async.probes.probe import Probe, ProcessGoneError
from umlaut_async.probes.process import MIB, IOCounters, mib_per_second, percent
from umlaut_async.probes.tree_sources import ProcSource

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_CPU_CLOCK = 2
"""The low bits of the clock that counts the CPU time of a process, see `clock_getcpuclockid`."""


def from_outside(description: Sequence[Any], pid: int) -> Probe:
    """Return the probe that reads of a process what a probe of its own reads.

    Args:
        description: What that probe says of itself in `Probe.outside`: a name, and arguments.
        pid: The process.

    Raises:
        LookupError: There is no such probe.
    """
    name, *arguments = description
    probe = _PROBES[name](pid, *arguments)
    return probe if name in _OF_THE_MACHINE else probe._replace(read=_while_it_lives(probe.read))


def _cpu(pid: int) -> Probe:
    clock = ~pid << 3 | _CPU_CLOCK
    return Probe(("cpu", pid), lambda: time.clock_gettime_ns(clock), "process-clock", rate=percent)


def _memory(pid: int) -> Probe:
    source = ProcSource("/proc")

    def read() -> float:
        # No file is kept open, since a run may have any number of processes, one after the other.
        resident = source.resident(pid)
        if not resident:
            raise ProcessGoneError(f"the process {pid} has ended and is not waited for yet")
        return resident / MIB

    return Probe(("memory", pid), read, "statm")


def _io(pid: int) -> Probe:
    source = ProcSource("/proc")
    return Probe(("io", pid), lambda: source.io(pid), "proc-io", rate=mib_per_second, restore=_io_counters)


def _io_counters(values: Sequence[int]) -> IOCounters:
    return IOCounters(*values)


def _tree(name: str) -> Callable[[int], Probe]:
    def probe(pid: int) -> Probe:
        from umlaut_async.probes import tree

        return {"cpu": tree.tree_cpu, "memory": tree.tree_memory, "io": tree.tree_io}[name](pid)

    return probe


def _rapl(pid: int, power: bool) -> Probe:
    from umlaut_async.probes import rapl

    return rapl.energy(rate=rapl.watts if power else None)


def _nvml(pid: int, name: str, gpu: int, visible: str | None) -> Probe:
    from umlaut_async.probes.nvml import ENERGY, MEMORY, POWER, UTILISATION, gpu_probe

    fields = {field.name: field for field in (UTILISATION, MEMORY, POWER, ENERGY)}
    return gpu_probe(fields[name], gpu, visible=visible)


_PROBES: dict[Hashable, Callable[..., Probe]] = {
    "cpu": _cpu,
    "memory": _memory,
    "io": _io,
    "tree-cpu": _tree("cpu"),
    "tree-memory": _tree("memory"),
    "tree-io": _tree("io"),
    "rapl": _rapl,
    "nvml": _nvml,
}


_OF_THE_MACHINE = ("rapl", "nvml")


def _while_it_lives(read: Callable[[], Any]) -> Callable[[], Any]:
    """Return a read function that says so when its process has ended."""

    def reading() -> Any:
        try:
            return read()
        except OSError as error:
            # A clock of a process that has ended is an invalid one.
            if error.errno in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
                raise ProcessGoneError(str(error)) from None
            raise

    return reading
