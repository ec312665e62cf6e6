"""What a run is, before it begins."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import NamedTuple, Self

from umlaut_async.clock import epoch, now
from umlaut_async.collector.address import Address, inherited
from umlaut_async.collector.limits import Limits
from umlaut_async.collector.modules import working_directory
from umlaut_async.collector.registry import Identity  # noqa: TC001  # its fields are looked up where it is sent
from umlaut_async.probes import nvml
from umlaut_async.store.location import Location  # noqa: TC001  # its fields are looked up where it is sent
from umlaut_async.store.replacing import Replacing  # noqa: TC001  # likewise


class NameSource(IntEnum):
    """Where the name of a run comes from, the best source last."""

    COMMAND = 0
    """It is that of the command which `umlaut run` measures."""
    SCRIPT = 1
    """It is the file name of the script."""
    USER = 2


class Given(NamedTuple):
    """What a benchmark was made with."""

    db_file: str
    """The database, as the user has named it."""
    place: str
    """The same as an absolute path, or a URL: a copy may work in another folder."""
    description: str
    mode: str
    name: str
    name_source: NameSource
    run_uuid: str | None
    """The run, if the user has named one."""
    tags: tuple[str, ...]
    collector: str
    flush_interval: float


class Description(NamedTuple):
    """How a program describes its run."""

    name: str
    description: str
    tags: tuple[str, ...]
    name_source: NameSource = NameSource.USER


class RunSettings(NamedTuple):
    """What the collector is told of a run."""

    location: Location
    replacing: Replacing | None
    """Who replaces a file that is there, if it is to be replaced."""
    uuid: str
    description: str
    name: str
    tags: tuple[str, ...]
    collector: str
    """Where the collector runs: "thread" or "process"."""
    flush_interval: float
    """Seconds."""
    argv: tuple[str, ...]
    directory: str
    """The working directory when the benchmark was made, for stages may change it; empty where it was removed."""
    implied: bool
    """Whether a call began it: then nobody waits for the opening, and its failure must be logged."""
    address: Address | None = None
    """Where other processes of the run reach its collector."""
    beside: tuple[Address, ...] = ()
    """The collectors of the runs into other databases in which this one was begun."""
    joins: Address | None = None
    """The collector of the run, where another process has begun it."""
    pid: int = 0
    """The process whose settings these are."""
    limits: Limits = Limits()
    """How much may wait in a buffer."""
    started: int = 0
    """When its beginning was asked for, on the clock of `now()`: before its first call, and so before its collector."""
    epoch: int = 0
    """When that clock stood at 0, in nanoseconds since the epoch: what every time of the run is reckoned from."""
    gpus: bool = False
    """Whether it has a metric of a GPU."""
    path: tuple[str, ...] = ()
    """Where the process looks for modules when the run begins."""
    employer: Identity | None = None
    """The process for all of whose workers the run is begun, where one of them begins it and no other run is open."""
    is_worker: bool = False
    """Whether the process is another one's worker, which may be ended without notice right after a call."""
    resumes: bool = False
    """Whether a collector that has died may have begun the run in the database, without a record of it."""
    name_source: NameSource = NameSource.USER
    ordinal: int = 0
    """Which one it is of several benchmarks of the process that were made with the same."""

    @property
    def described_as(self) -> Description:
        """How the program describes the run."""
        return Description(self.name, self.description, self.tags, self.name_source)

    @property
    def kind(self) -> str:
        """What tells the run of one benchmark from those of others in the same database, in all processes alike."""
        one_of_several = [str(self.ordinal)] if self.ordinal else []
        return "\0".join((self.name, self.description, *self.tags, "benchmark", *one_of_several))

    @property
    def kind_of_copies(self) -> str:
        """The same, by which copies find the run that the process itself has begun."""
        return f"{self.kind}\0copies"

    @property
    def is_shared(self) -> bool:
        """Whether the collector of the run is not this process's own."""
        return self.joins is not None or self.employer is not None

    @classmethod
    def described(cls, location: Location, replacing: Replacing | None, given: Given, ordinal: int) -> Self:
        """Return the settings of a run that begins later, if at all, with what is known of this process now."""
        argv, directory = tuple(map(location.shown, sys.argv)), working_directory() or ""
        of_user = given.description, given.name, given.tags, given.collector, given.flush_interval
        return cls(
            location, replacing, "", *of_user, argv, directory, implied=True, name_source=given.name_source,
            ordinal=ordinal,
        )  # fmt: skip

    def begun(
        self,
        uuid: str,
        joins: Address | None,
        *,
        implied: bool,
        employer: Identity | None = None,
        is_worker: bool = False,
    ) -> RunSettings:
        """Return the settings of a run that this process begins now.

        Args:
            uuid: The key of the run.
            joins: The collector of the run, where another process has begun it.
            implied: Whether a call begins it.
            employer: The process whose worker this one is, if that is to have a run of all its workers.
            is_worker: Whether this process is another one's worker.
        """
        pid = os.getpid()
        return self._replace(
            uuid=uuid,
            implied=implied,
            beside=tuple(address for address in inherited() if address.pid != pid),
            joins=joins,
            employer=employer,
            is_worker=is_worker,
            pid=pid,
            started=now(),
            epoch=epoch(),
            gpus=nvml.wanted(),
            path=tuple(map(str, sys.path)),  # It may hold anything.
        )
