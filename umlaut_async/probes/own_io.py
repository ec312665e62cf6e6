"""The I/O counters of this process."""

from __future__ import annotations

import os

from umlaut_async.probes import helpers
from umlaut_async.probes.probe import Probe
from umlaut_async.probes.process import io_of, mib_per_second, psutil_io


def io_counters(proc: str = "/proc") -> Probe:
    """Return the probe of this process's I/O counters in bytes; its rate is MiB/s, read and written.

    The source is `io` of the process, kept open; where there is none, psutil. Linux credits a process with the I/O of
    the children that it waited for; that of helpers is not counted.

    Args:
        proc: Where the process file system is mounted.
    """
    path = f"{proc}/self/io"
    if not os.path.exists(path):
        return Probe(("io", proc), psutil_io, "psutil", rate=mib_per_second)
    read = io_of(path)
    own = read if proc != "/proc" else lambda: helpers.io_without(read)
    return Probe(("io", proc), own, "proc-io", rate=mib_per_second, outside=("io",))
