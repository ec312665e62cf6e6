"""The writer: batches of rows into the database, and nothing else writes it."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from umlaut_async.collector.batches import Doubt, Rest
from umlaut_async.collector.membership import (
    add_process,
    begin_process,
    end_part,
    end_processes,
    end_run,
    heartbeat,
    resume_run,
)
from umlaut_async.collector.statements import store
from umlaut_async.collector.tails import Tail
from umlaut_async.collector.units import Units, process_of_unit
from umlaut_async.errors import StoreConnectionError, StoreError
from umlaut_async.store.engine import run_transaction, transaction, was_committed, writer_seconds
from umlaut_async.store.failures import CommitUnknownError, is_refusal
from umlaut_async.store.files import identity, require_same
from umlaut_async.store.models import key, process_of
from umlaut_async.store.patience import one_patience

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.rows import Row, Unit
    from umlaut_async.collector.series import Series as SampledSeries
    from umlaut_async.records import Ending
    from umlaut_async.store.deaths import Death
    from umlaut_async.store.patience import Patience

_BATCH = 8192
"""How many records one transaction stores at the most."""


class Writer:
    """Stores the rows of a run, of all its processes.

    Args:
        engine: The engine that writes the database.
        journal: How SQLite keeps the database whole; None for a server.
        run_uuid: The key of the run.
        refused: Told how often and why the database refused a record for good.
        epoch: When the clock of `now()` stood at 0, in nanoseconds since the epoch.
        shared: Whether other writers take part in the run.
        describes: Whether it is this one that describes what the run runs on.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        journal: str | None,
        run_uuid: str,
        refused: Callable[[int, Exception], None],
        *,
        epoch: int = 0,
        shared: bool = False,
        describes: bool = True,
    ) -> None:
        self.epoch = epoch
        self._shared = shared
        self._describes = describes
        self.journal = journal
        self.run_uuid = run_uuid
        self._engine = engine
        self.path = engine.url.database if engine.dialect.name == "sqlite" else None
        """The file; None for a server."""
        self._identity = None if self.path is None else identity(self.path)
        self._refused = refused
        self._ledgers: dict[int, Ledger] = {}
        """Where stored and dropped records are counted, by the key of the process."""
        self._living: set[int] = set()
        """The keys of the processes that have not ended."""
        self.units = Units()
        """What waits to be stored."""
        self.add = self.units.add
        self._tails: dict[int, Tail] = {}
        self._events: list[Row] = []
        self._unrecorded: list[int] = []
        self._new_series: list[Row] = []
        self._provenance: dict[int, str] = {}
        self._run: dict[str, Any] = {}
        """What columns of the run are to hold; tags come to those that it has."""
        self.doubt: Doubt | None = None
        """The last transaction, where nobody knows what became of it."""

    async def join(self, process: dict[str, Any], ledger: Ledger) -> int:
        """Let a process take part in the run, and return its key.

        Args:
            process: The columns of the process, without its key.
            ledger: Where stored and dropped records of it are counted.

        Raises:
            StoreError: The database cannot be written.
        """
        process_id = await run_transaction(self._engine, lambda session: add_process(session, self.run_uuid, process))
        self.admit(process_id, ledger)
        return process_id

    def admit(self, process_id: int, ledger: Ledger) -> None:
        """Take rows of a process that is in the database."""
        self._ledgers[process_id] = ledger
        self._living.add(process_id)

    async def begin(self, process_id: int, started: int, seen: int) -> None:
        """Write when a process began to take part in the run; with the first one the run began.

        Args:
            process_id: The key of the process.
            started: The time, in nanoseconds since the epoch.
            seen: When the process is known to live, in the same.

        Raises:
            StoreError: It could not be written.
        """
        work = partial(begin_process, run_uuid=self.run_uuid, process_id=process_id, started=started, seen=seen)
        await run_transaction(self._engine, work)

    async def beat(self, seen: int) -> None:
        """Store that the processes of the run live, if that can be done at present.

        Args:
            seen: The time, in nanoseconds since the epoch.
        """
        # Who waits for a flush would wait for this as well; the next one is not far.
        with contextlib.suppress(StoreError), one_patience(0):
            async with transaction(self._engine, first=heartbeat(self._living, seen)):
                pass

    async def leave(self, process_id: int, ended: int, how: str, death: Death | None) -> None:
        """Write the end of a process that is not the end of the run.

        Args:
            process_id: The key of the process.
            ended: The time, in nanoseconds since the epoch.
            how: What ended it.
            death: What is known of that, where it ended without a word.

        Raises:
            StoreError: The end could not be written.
        """
        self._living.discard(process_id)
        deaths = [] if death is None else [death]
        await run_transaction(self._engine, lambda session: end_processes(session, {process_id}, ended, how, deaths))
        for series_id in [each for each in self._provenance if process_of(each) == process_id]:
            del self._provenance[series_id]
            self._tails.pop(series_id, None)

    async def pause(self, process_id: int, ended: int, ending: Ending, collector: dict[str, object]) -> None:
        """Write that the run is over, unless others share it; `resume` takes that back.

        Args:
            process_id: The key of the process that began it.
            ended: The time, in nanoseconds since the epoch.
            ending: How it ended.
            collector: What the collector says of itself.

        Raises:
            StoreError: It could not be written.
        """

        async def end(session: AsyncSession) -> None:
            await end_processes(session, {process_id}, ended, ending.how)
            await end_run(session, self.run_uuid, ended, ending, collector)

        if not self._shared:
            await run_transaction(self._engine, end, durable=True)

    async def resume(self, process_id: int) -> None:
        """Write that the run goes on.

        Args:
            process_id: The key of the process that began it.

        Raises:
            StoreError: It could not be written.
        """
        if not self._shared:
            await run_transaction(self._engine, lambda session: resume_run(session, self.run_uuid, process_id))

    def add_event(self, event: Row) -> None:
        """Take the row of an event."""
        self._events.append(event)

    def add_unrecorded(self, span_id: int) -> None:
        """Take the key of a call that was stored as running, and of whose end nothing will be stored."""
        self._unrecorded.append(span_id)

    def add_series(self, process_id: int, series: SampledSeries) -> None:
        """Take a series whose samples are to be stored, as soon as it is known how its numbers come about."""
        series_id = key(process_id, series.number)
        if series.provenance is None or self._provenance.get(series_id) == series.provenance:
            return
        self._provenance[series_id] = series.provenance
        self._tails.setdefault(series_id, Tail(series_id, series, self.epoch))
        described = (series.measure_type, series.unit, series.probe.source, series.provenance, series.interval)
        self._new_series.append((series_id, process_id, *described, series.description))

    def describe(self, **columns: Any) -> None:
        """Take what the run turned out to be, by the columns that say so."""
        if self._describes:
            self._run |= columns

    async def write(self, seen: int, running: Sequence[Row], durable: bool) -> None:
        """Store everything that was added.

        A batch that the database refuses is tried again by halves, until the record that it refuses stands alone.

        Args:
            seen: The time, in nanoseconds since the epoch.
            running: The spans of the calls that have not ended.
            durable: Whether all of it must be on disk at the return.

        Raises:
            StoreError: The database cannot be written at all. What is not stored waits for the next time.
        """
        with one_patience() as patience:
            await self._write(seen, running, durable, patience)

    async def _write(self, seen: int, running: Sequence[Row], durable: bool, patience: Patience) -> None:
        await self._settle_doubt()
        left, size = len(self.units), _BATCH
        # After a refusal the samples and the rest go alone, so that it is clear what was refused.
        suspicious = gave_up = False
        while True:
            units = self.units.first(min(left, size))
            last = len(units) == left and not (suspicious and units)
            try:
                await self._transact(units, self._rest(running) if last else None, seen, durable and last)
            except Exception as error:
                if isinstance(error, StoreConnectionError) and self.doubt is None and patience.lasts():
                    continue
                if not is_refusal(error) or gave_up:
                    raise
                if not units:
                    self._give_up_samples(error)
                    gave_up = True
                    continue
                suspicious = True
                if len(units) > 1 or last:
                    size = max(1, len(units) // 2)
                    continue
                self._ledgers[process_of_unit(units[0])].drop("refused", 1)
                if (span := units[0][0]) is not None:
                    self.add_unrecorded(span[0])
                self._refused(1, error)
            else:
                self.count(units)
                size = min(2 * size, _BATCH)
            self.units.let_go(len(units))
            left -= len(units)
            if last:
                return

    def count(self, units: Sequence[Unit]) -> None:
        """Count records as stored."""
        if len(self._ledgers) == 1:
            (ledger,) = self._ledgers.values()
            ledger.store(len(units))
            return
        for process_id, count in Counter(map(process_of_unit, units)).items():
            self._ledgers[process_id].store(count)

    async def finish(
        self, ended: int, ending: Ending, collector: dict[str, object], deaths: Sequence[Death] = ()
    ) -> None:
        """Write the end of the run, and of the processes that have not ended.

        Args:
            ended: The time, in nanoseconds since the epoch.
            ending: How it ended.
            collector: What the collector says of itself.
            deaths: What is known of processes that ended without a word.

        Raises:
            StoreError: The end could not be written.
        """
        living, shared = self._living, self._shared

        async def end(session: AsyncSession) -> None:
            await end_processes(session, living, ended, ending.how, deaths)
            await (end_part if shared else end_run)(session, self.run_uuid, ended, ending, collector)

        await run_transaction(self._engine, end, durable=True)

    async def cpu_time(self) -> float:
        """Return the CPU time in seconds of the thread that writes, if there is one."""
        return await writer_seconds(self._engine)

    def check_file(self) -> None:
        """Raise a StoreNotFoundError where the file of the database was deleted."""
        if self.path is not None:
            require_same(self.path, self._identity)

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()

    def _rest(self, running: Sequence[Row]) -> Rest:
        tails = [write for tail in self._tails.values() if (write := tail.write()) is not None]
        added = self._events.copy(), self._new_series.copy(), self._unrecorded.copy()
        return Rest(*added, tails, running, self._run.copy())

    async def _transact(self, units: Sequence[Unit], rest: Rest | None, seen: int, durable: bool) -> None:
        # Every transaction that must be on disk has to write something, and the heartbeat always does.
        try:
            async with transaction(self._engine, durable=durable, first=heartbeat(self._living, seen)) as session:
                await store(session, self.run_uuid, units, rest)
        except CommitUnknownError as error:
            self.doubt = Doubt(error.transaction, len(units), rest)
            raise
        except BaseException:
            if rest is not None:
                for write in rest.tails:
                    write.tail.failed()
            raise
        if rest is not None:
            self._written(rest)

    def _written(self, rest: Rest) -> None:
        del self._new_series[: len(rest.series)]
        del self._events[: len(rest.events)]
        del self._unrecorded[: len(rest.unrecorded)]
        for column, value in rest.run.items():
            if self._run.get(column) is value:
                del self._run[column]
        for write in rest.tails:
            write.tail.written(write)

    async def _settle_doubt(self) -> None:
        """Learn what became of the last transaction, before anything of it is stored again."""
        if self.doubt is None:
            return
        transaction, count, rest = self.doubt
        committed = await was_committed(self._engine, transaction)
        self.doubt = None
        if committed:
            self.count(self.units.first(count))
            self.units.let_go(count)
            if rest is not None:
                self._written(rest)
        elif rest is not None:
            for write in rest.tails:
                write.tail.failed()

    def _give_up_samples(self, error: Exception) -> None:
        lost = sum(tail.give_up() for tail in self._tails.values())
        self._new_series.clear()
        self._events.clear()
        self._refused(lost, error)
