"""What reads hardware and kernel counters, and nothing else."""

from umlaut_async.probes.probe import Place, Probe, UnavailableError, UnreadableError
from umlaut_async.probes.process import cpu_time, io_counters, resident_memory

__all__ = [
    "Place",
    "Probe",
    "UnavailableError",
    "UnreadableError",
    "cpu_time",
    "io_counters",
    "resident_memory",
]
