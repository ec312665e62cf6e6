"""The end of a run whose collector has died, written by the process that began the run."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from umlaut_async.clock import now
from umlaut_async.collector.aftermath import REASON
from umlaut_async.collector.launchers import shared_run
from umlaut_async.collector.membership import end_part, end_processes, end_run, find_process, heartbeat
from umlaut_async.errors import StoreError
from umlaut_async.records import LOST
from umlaut_async.store.engine import open_store, run_transaction, transaction
from umlaut_async.store.models import Event, Process, Result, Run, Span, key
from umlaut_async.store.patience import one_patience

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from umlaut_async.collector.account import Accounting, Ledger
    from umlaut_async.collector.limits import Tally
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.records import Ending

_NUMBER = (1 << 40) - 1
"""The number of the event: those of the collector that has died count from 1."""
_HOW = "its collector ended"


async def open_closing(settings: RunSettings) -> Closing:
    """Open the database of a run whose collector has died.

    Raises:
        StoreError: It cannot be opened.
    """
    engine = await open_store(settings.location)
    try:
        async with transaction(engine) as session:
            process_id = await find_process(session, settings.uuid, settings.pid)
        if process_id is None:
            raise StoreError(f"run {settings.uuid} is not in {settings.location.name}")
    except BaseException:
        await engine.dispose()
        raise
    return Closing(engine, settings, process_id)


class Closing:
    """Writes what is missing, and in the end how the run ended.

    Args:
        engine: The engine that writes the database.
        settings: What the run is.
        process_id: The key of this process.
    """

    def __init__(self, engine: AsyncEngine, settings: RunSettings, process_id: int) -> None:
        self._engine = engine
        self._settings = settings
        self._process_id = process_id

    async def tell(self, ledger: Ledger, unmeasured: Tally) -> None:
        """Write what is known to be missing so far.

        Raises:
            StoreError: It cannot be written.
        """

        async def work(session: AsyncSession) -> None:
            await self._count(session, ledger)
            await self._write_event(session, ledger.account(), unmeasured.waiting)

        await run_transaction(self._engine, work)

    async def beat(self) -> None:
        """Store that the process lives, if that can be done at present."""
        with contextlib.suppress(StoreError), one_patience(0):
            async with transaction(self._engine, first=heartbeat([self._process_id], time.time_ns())):
                pass

    async def end(self, ledger: Ledger, unmeasured: Tally, ending: Ending, ended: int) -> None:
        """Write what is missing, and the end of the run.

        Args:
            ledger: Where records are counted.
            unmeasured: Counts what came after the death of the collector.
            ending: How the run ends.
            ended: The time, in nanoseconds since the epoch.

        Raises:
            StoreError: It cannot be written.
        """
        run_uuid, missed = self._settings.uuid, unmeasured.waiting
        shared = run_uuid == shared_run(os.environ)

        async def work(session: AsyncSession) -> None:
            await self._count(session, ledger)
            account = ledger.account()
            await self._write_event(session, account, missed)
            others = select(Process.id).where(Process.run_uuid == run_uuid, Process.ended.is_(None))
            keys = {self._process_id} if shared else {*await session.scalars(others)}
            calls = update(Span).where(Span.process_id.in_(keys), Span.status == "running")
            await session.execute(calls.values(status=LOST, duration=ended - Span.started))
            await end_processes(session, keys - {self._process_id}, ended, _HOW)
            await end_processes(session, {self._process_id}, ended, ending.how)
            ours = self._described(account, missed)
            if shared:
                await end_part(session, run_uuid, ended, ending, ours)
            else:
                described = await session.scalar(select(Run.collector).where(Run.uuid == run_uuid))
                await end_run(session, run_uuid, ended, ending, {**(described or {}), **ours})

        await run_transaction(self._engine, work, durable=True)

    async def _count(self, session: AsyncSession, ledger: Ledger) -> None:
        """Enter what the collector has stored, though it could not tell any more."""
        calls = select(func.count()).where(Span.process_id == self._process_id, Span.status != "running")
        values = select(func.count()).where(Result.process_id == self._process_id, Result.span.is_(None))
        stored = (await session.scalars(calls)).one() + (await session.scalars(values)).one()
        account = ledger.account()
        if account.stored < stored <= account.recorded - sum(account.dropped.values()):
            ledger.learn(stored, account.dropped)

    async def _write_event(self, session: AsyncSession, account: Accounting, missed: int) -> None:
        lost = account.in_flight
        message = (
            f"the collector ended before the run: {lost} record(s) of calls and values were lost with it, and {missed} "
            "call(s) and value(s) that came later were not measured"
        )
        data = {"reason": REASON, "count": lost, "unmeasured": missed}
        what = {"t": self._settings.epoch + now(), "kind": "drop", "message": message, "data": data}
        await session.merge(Event(id=key(self._process_id, _NUMBER), process_id=self._process_id, **what))

    def _described(self, account: Accounting, missed: int) -> dict[str, Any]:
        dropped = {**account.dropped, REASON: account.in_flight, "not measured": missed}
        numbers = {"recorded": account.recorded + missed, "stored": account.stored}
        return {"mode": self._settings.collector, **numbers, "dropped": {name: n for name, n in dropped.items() if n}}

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()
