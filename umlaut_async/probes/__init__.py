"""What reads hardware and kernel counters, and nothing else."""

from umlaut_async.probes.own import cpu_time, io_counters
from umlaut_async.probes.probe import (
    FIRST_DEADLINE,
    Lack,
    Place,
    Probe,
    ProcessGoneError,
    UnavailableError,
    UnreadableError,
)
from umlaut_async.probes.process import resident_memory

__all__ = [
    "FIRST_DEADLINE",
    "Lack",
    "Place",
    "Probe",
    "ProcessGoneError",
    "UnavailableError",
    "UnreadableError",
    "cpu_time",
    "io_counters",
    "resident_memory",
]
