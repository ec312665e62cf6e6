"""The energy that the packages of the CPU and their memory use, counted by the hardware (RAPL), read through pyRAPL.

pyRAPL opens and reads the counters. It is added here that these wrap, that reading one may fail, and that packages are
not always where the topology of the CPUs says. Only whole packages are added up: their cores are parts of
them, and "psys" contains them.
"""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async import originals
from umlaut_async.clock import now
from umlaut_async.probes.probe import FIRST_DEADLINE, Lack, Place, Probe, UnreadableError
from umlaut_async.probes.rapl_domains import Domain, Fault, open_domains
from umlaut_async.probes.unwrap import Count, WrappingCounter, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_FASTEST = 1_000_000_000
"""µJ a second: twice the power of the largest packages that are sold, which boost by half of it at most."""
_LEAST_RANGE = 65_532_000_000
"""µJ: the smallest range that is common, 2³² units of 15.3 µJ."""
_SHORTEST_WAIT = 1_000_000
STEP = 1_000_000
"""The nanoseconds between two moves of the counters."""


class Energy(NamedTuple):
    """What has been counted, in µJ, in the order of the sockets."""

    packages: tuple[Count, ...]
    dram: tuple[Count, ...]
    """Of those sockets that count the energy of their memory, and whose count can be read."""
    at: int = 0
    """When the packages were read, in nanoseconds of a monotonic clock: the mean of the moments."""
    lacks: tuple[Lack, ...] = ()
    """The memory whose count could not be read."""


def energy(rate: Callable[[Energy, Energy, int], float | None] | None = None) -> Probe:
    """Return the probe of the energy counters of this machine.

    Args:
        rate: What makes samples of two readings.
    """
    return Probe(
        "rapl",
        _read,
        "rapl",
        Place.THREAD,
        rate,
        keep_awake=_keep_awake,
        first_deadline=FIRST_DEADLINE,
        stamp=attrgetter("at"),
        lacks=attrgetter("lacks"),
        step=STEP,
        restless=True,
        close=_close,
        outside=("rapl", rate is not None),
    )


def watts(earlier: Energy, later: Energy, elapsed: int) -> float | None:
    """Return the mean power of all packages between two readings; None if there is a gap between these.

    Args:
        earlier: The first reading.
        later: The second.
        elapsed: The nanoseconds between them.
    """
    spent = difference(earlier.packages, later.packages)
    return None if spent is None or elapsed <= 0 else sum(spent) * 1e3 / elapsed


class EnergyReader:
    """Reads the energy counters; any thread may.

    Args:
        clock: Tells the monotonic time in nanoseconds.
    """

    def __init__(self, clock: Callable[[], int] = now) -> None:
        self._clock = clock
        self._lock = originals.lock()
        self._packages: list[Domain] = []
        self._dram: list[Domain] = []
        self._refused: dict[int, Fault] = {}
        """Why there is nothing of the memory of a package, by the number of this."""
        self._paths_of_dram: dict[int, str] = {}
        """Where the memory of each package was counted, if it ever was: it may vanish."""
        # By the path of the file. They outlive the open files, since what they know does not depend on these.
        self._counters: dict[str, WrappingCounter] = {}

    def read(self) -> Energy:
        """Take one reading.

        Raises:
            UnavailableError: The machine has no counters, or this process may not read them.
            UnreadableError: A package could not be read this time.
        """
        with self._lock:
            if any(domain.is_deleted() for domain in self._domains()):
                self._close()
            if not self._packages:
                self._open()
            # All are read, though one may fail: a counter that is not read for long loses its count.
            packages, moments, failures = self._add(self._packages)
            dram, _, failures_of_dram = self._add(self._dram)
            if failures or failures_of_dram:
                self._close()
            if failures:
                raise UnreadableError("; ".join(fault.reason for fault in failures.values()))
            lacks = _lacks(self._refused | failures_of_dram)
            return Energy(packages, dram, sum(moments) // len(moments), lacks)

    def keep_awake(self) -> int | None:
        """Return the nanoseconds within which the next reading must follow, so that no wrap is missed."""
        waits = [counter.keep_awake for counter in self._counters.copy().values()]
        return max(min(waits), _SHORTEST_WAIT) if waits else None

    def close(self) -> None:
        """Close the files; the next reading opens them again, and the counts go on."""
        with self._lock:
            self._close()

    def _domains(self) -> list[Domain]:
        return self._packages + self._dram

    def _add(self, domains: Iterable[Domain]) -> tuple[tuple[Count, ...], list[int], dict[int, Fault]]:
        counts, moments, failures = [], [], {}
        for domain in domains:
            counter = self._counters[domain.path]
            # Before, and not after: when a read returns, another thread may have the interpreter for some milliseconds.
            at = self._clock()
            moments.append(at)
            try:
                counts.append(counter.add(domain.read(), at))
            except (OSError, ValueError) as error:
                counter.lose()
                failures[domain.socket] = Fault(f"{domain.path} could not be read: {error}")
        return tuple(counts), moments, failures

    def _open(self) -> None:
        known = self._counters
        try:
            self._packages, self._dram, self._refused = open_domains()
        except Exception:
            for unread in known.values():
                unread.lose()
            raise
        self._counters = {}
        for domain in self._domains():
            top = domain.range()
            counter = known.get(domain.path)
            if counter is None or counter.top != top:
                counter = WrappingCounter(top, _FASTEST, _LEAST_RANGE)
            self._counters[domain.path] = counter
        self._paths_of_dram |= {domain.socket: domain.path for domain in self._dram}
        counted = {domain.socket for domain in self._dram}
        for socket in {domain.socket for domain in self._packages} & self._paths_of_dram.keys() - counted:
            self._refused.setdefault(socket, Fault(f"{self._paths_of_dram[socket]} has vanished"))

    def _close(self) -> None:
        for domain in self._domains():
            domain.close()
        self._packages, self._dram = [], []


def _lacks(faults: Mapping[int, Fault]) -> tuple[Lack, ...]:
    """Return what is to be said of the memory of some packages: of those that lack it for the same reason, at once."""
    sockets: dict[Fault, list[int]] = {}
    for socket, fault in faults.items():
        sockets.setdefault(fault, []).append(socket)
    return tuple(
        Lack(f"the memory (DRAM) of package {' and '.join(map(str, sorted(numbers)))}", *fault)
        for fault, numbers in sockets.items()
    )


_readers: dict[int, EnergyReader] = {}
"""By process, so that a forked child shares neither the lock nor the file positions of its parent."""


def _reader() -> EnergyReader:
    process = os.getpid()
    return _readers.get(process) or _readers.setdefault(process, EnergyReader())


def _read() -> Energy:
    return _reader().read()


def _keep_awake() -> int | None:
    return _reader().keep_awake()


def _close() -> None:
    _reader().close()
