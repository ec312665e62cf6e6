"""The CPU time and the I/O of this process, without what this package itself uses in it."""

from __future__ import annotations

import os
import resource
import time

from umlaut_async.probes import helpers, own_threads
from umlaut_async.probes.probe import Lack, Probe
from umlaut_async.probes.process import IOCounters, io_of, mib_per_second, percent, psutil_io

_COUNTED = Lack("taking out what this package uses itself", "this system does not tell the CPU time of single threads")


def cpu_time() -> Probe:
    """Return the probe of this process's CPU time, user and system, in nanoseconds.

    Its rate is a percentage of one core. The source is the process CPU clock, which steps by nanoseconds; psutil's
    CPU times step by 10 ms. The threads of this package are not counted; where the system does not tell them apart,
    the numbers are estimated.
    """
    known = own_threads.are_known()
    return Probe(
        "cpu",
        own_threads.cpu_without if known else time.process_time_ns,
        "process_time",
        rate=percent,
        provenance="measured" if known else "estimated",
        lacks=None if known else lambda reading: (_COUNTED,),
        outside=("cpu",),
    )


def io_counters(proc: str = "/proc") -> Probe:
    """Return the probe of this process's I/O counters in bytes; its rate is MiB/s, read and written.

    The source is `io` of the process, kept open; where there is none, psutil. Linux credits a process with the I/O of
    the children that it waited for; that of helpers is not counted, and neither is that of this package's own threads.

    Args:
        proc: Where the process file system is mounted.
    """
    path = f"{proc}/self/io"
    if not os.path.exists(path):
        return Probe(("io", proc), psutil_io, "psutil", rate=mib_per_second)
    read = io_of(path)
    return Probe(("io", proc), read if proc != "/proc" else users_io, "proc-io", rate=mib_per_second, outside=("io",))


def users_io() -> IOCounters:
    """Return the I/O counters of this process, without what this package has read and written in it."""
    counters = helpers.io_without(lambda: own_threads.io_without(io_of("/proc/self/io")))
    assert counters is not None
    return counters


def io_and_children() -> tuple[int, int, int]:
    """Return the bytes that this process has read and written, and what changes whenever it waits for a child.

    The kernel credits a process with the I/O of the children that it waited for, all at once.
    """
    counters = users_io()
    return counters.read, counters.written, children_faults()


def children_faults() -> int:
    """Return the page faults of all children that were waited for: each has some, so it grows with each of them."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
