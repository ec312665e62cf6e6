"""The collector itself: one loop for the sampler and the writer, which answers requests and ends with the run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from umlaut_async.collector.balance import Watched
from umlaut_async.collector.description import describe
from umlaut_async.collector.discarding import EXCLUDED, NO_DATABASE, Excluded, discard
from umlaut_async.collector.door import Door
from umlaut_async.collector.introductions import Introductions, command_of
from umlaut_async.collector.pacing import paced
from umlaut_async.collector.sampler import Sampler
from umlaut_async.collector.storing import Storing, as_store_error
from umlaut_async.collector.threads import in_thread
from umlaut_async.collector.vitals import BEAT, Vitals, told
from umlaut_async.errors import StoreError
from umlaut_async.probes import nvml
from umlaut_async.store.patience import in_transaction, patiently

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from umlaut_async.collector.account import Ledger
    from umlaut_async.collector.description import Told
    from umlaut_async.collector.intake import Intake
    from umlaut_async.collector.link import Link
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.collector.wire import Hello
    from umlaut_async.collector.writer import Writer
    from umlaut_async.records import Ending, EventRecord, FlushRequest

_logger = logging.getLogger("umlaut_async")

_QUIET = 0.05
"""How many seconds nothing must be recorded, and no call be open, until what was recorded is stored before its time.
The process may be about to end in a way that leaves no time for it."""
_QUIETLY = 50
"""How many times as long as the last time it then takes until that is done again."""
_ENVIRONMENT_PATIENCE = 0.5
"""How many seconds the end of a run waits for the description of what it ran on."""
_PARENT_PATIENCE, _PARENT_LOOK = 0.2, 0.01
"""For how many seconds a process waits for the one from which it was forked, and how often it looks for that."""


class Collector:
    """Collects one run, from `run()` until a request that ends it.

    Args:
        settings: What the run is.
        link: Where the records come from.
        ledger: Where records are counted.
        opened: Set when the database was opened, or could not be.
        settled: Set when everything is imported.
        pid: The process that is measured; by default this one.
        listening: What listens already at the address of the run, if anything does.
    """

    def __init__(
        self,
        settings: RunSettings,
        link: Link,
        ledger: Ledger,
        opened: Told,
        settled: Told,
        pid: int | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        self._pid = os.getpid() if pid is None else pid
        self._opened = opened
        self._settled = settled
        self._settings = settings
        self._link = link
        self._ledger = ledger
        self._events: list[EventRecord] = []
        self._logged: set[str] = set()
        """What was logged of readings that failed, in all processes of the run."""
        self._sampler = Sampler(self._events.append, logged=self._logged)
        self._attention = asyncio.Event()
        self._requested = False
        """Whether a request has come that a round has not answered."""
        self._stirred = True
        """Whether a record has come since the last round, or may have."""
        self._quiet_again = 0.0
        """When, on the clock of the loop, what was recorded may be stored again since nothing more comes."""
        self._intakes: list[Intake] = []
        """One for each process of the run, first the one that began it; none before the database is open."""
        self._writer: Writer | None = None
        self._failure: StoreError | None = None
        self._requests: list[FlushRequest] = []
        """What was asked and is not answered yet."""
        self._excluded: list[Excluded] = []
        self._describing: asyncio.Task[None] | None = None
        self._gpus = asyncio.Event()
        """Set when the run has a metric of a GPU, or will have none."""
        self._storing: Storing | None = None
        self._opening: Any = None
        """The module of that name, once it is imported."""
        self._tried = asyncio.Event()
        """Set when the database is open, or could not be opened."""
        self._introductions = Introductions(settings)
        self._processes: dict[int, int] = {}
        """The keys of the processes of the run by their pids, also of those that have ended."""
        self._vitals = Vitals()
        self._watched = Watched()
        self._watched.ledgers.append(ledger)
        self._watched.samplers.append(self._sampler)
        self.door = None if settings.address is None else Door(settings.address, self, settings.limits, listening)
        self.after_round: Callable[[], Awaitable[None]] | None = None
        """Called when there may be something to tell the process that is measured."""

    @property
    def progress(self) -> int:
        """How much it has taken and stored so far."""
        return self._watched.progress()

    def report(self, event: EventRecord) -> None:
        """Take an event that a reader of the numbers must know."""
        self._events.append(event)

    async def run(self) -> None:
        """Collect until a request ends the run."""
        self._listen(self._link, self._sampler)
        try:
            if self.door is not None:
                self.door.open()
            await self._open()
            ended = False
            while not ended:
                await self._pause()
                began = time.monotonic()
                ended = await told(self._round(), self._tell)
                self._quiet_again = asyncio.get_running_loop().time() + _QUIETLY * (time.monotonic() - began)
        finally:
            self._answer(StoreError("the collector failed, which is a defect of umlaut_async"))
            await self._let_go()
            if self.door is not None:
                await self.door.close()

    async def _let_go(self) -> None:
        if self.door is not None:
            self.door.shut()
        await self._sampler.close()
        for intake in self._intakes:
            await intake.close()
        if self._writer is not None:
            await self._writer.close()

    def _listen(self, link: Link, sampler: Sampler) -> None:
        def woken() -> None:
            # Edges first, since ticks can wait.
            while link.waiting:
                sampler.take_edges(link.waiting.popleft())
            while link.idle:
                sampler.start(link.idle.popleft())
            if link.requested or link.stirred:
                self._requested |= link.requested
                self._stirred |= link.stirred
                link.requested = link.stirred = False
                self._attention.set()

        link.listen(asyncio.get_running_loop(), woken)

    async def admit(self, link: Link, hello: Hello, ledger: Ledger, events: list[EventRecord]) -> bool:
        """Let a process take part in the run; return whether there is a database."""
        await self._tried.wait()
        if self._writer is None:
            return False
        sampler = Sampler(events.append, logged=self._logged)
        parent = None if hello.parent is None else await self._process_of(hello.parent)
        above = command_of(hello.pid, self._intakes)
        first = self._intakes[0]
        if is_employer := self._settings.employer is not None and hello.pid == self._pid and first.link is self._link:
            # Its workers have begun the run in its name. It ends the run as any process does that has begun one.
            intake = self._opening.take_over(self._writer, first, link, sampler, ledger, events)
        else:
            intake = await self._opening.join_run(self._writer, hello.pid, parent, link, sampler, ledger, events, above)
        self._introductions.take(hello, self._writer, events, of_command=above is not None)
        self._listen(link, sampler)
        self._watched.ledgers.append(ledger)
        self._watched.samplers.append(sampler)
        self._add(intake, in_place_of=first if is_employer else None)
        return True

    def exclude(self, link: Link, ledger: Ledger, refusal: StoreError | None) -> None:
        """Take from a process what can nevertheless not be stored, and say so."""
        failure = refusal or self._failure or StoreError("the run has no database")
        self._watched.ledgers.append(ledger)
        self._excluded.append(Excluded(link, ledger, failure, NO_DATABASE if refusal is None else EXCLUDED))
        link.listen(asyncio.get_running_loop(), self._attention.set)

    async def _process_of(self, pid: int) -> int | None:
        """Return the key of a process that takes part, or is about to: a child may come before its parent."""
        deadline = time.monotonic() + _PARENT_PATIENCE
        while pid not in self._processes and time.monotonic() < deadline:
            await asyncio.sleep(_PARENT_LOOK)
        return self._processes.get(pid)

    def _add(self, intake: Intake, in_place_of: Intake | None = None) -> None:
        self._processes[intake.pid] = intake.process_id
        if in_place_of is None:
            self._intakes.append(intake)
        else:
            self._intakes[0] = intake
        self._watched.intakes.append(intake)

    async def _open(self) -> None:
        try:
            # Importing SQLAlchemy takes a third of a second, in which the sampling tasks must go on.
            self._opening = await in_thread(lambda: importlib.import_module("umlaut_async.collector.opening"))
            opening = self._opening.open_run(
                self._settings, self._pid, self._link, self._sampler, self._ledger, self._events
            )
            # Who has called `open()` waits for it. Otherwise a stage is running, and is not to pay for it.
            beside_stage = self._settings.implied and self._settings.collector == "thread"
            self._writer, intake = await (
                paced(opening, self._rest, lambda: not in_transaction.get()) if beside_stage else opening
            )
            self._add(intake)
            self._storing = Storing(self._settings, self._writer, self._intakes, self._watched)
        except Exception as error:
            self._failure = as_store_error(error)
            if self._settings.implied:
                _logger.error("nothing will be recorded: %s", self._failure)
        self._link.stores = self._writer is not None
        self._opened.set()
        self._tried.set()
        if self._writer is None:
            self._settled.set()
        else:
            self._describing = asyncio.create_task(describe(self._settings, self._writer, self._settled, self._gpus))

    async def _rest(self, seconds: float) -> None:
        """Wait for so long, or until there is a request."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._attention.wait()

    async def _pause(self) -> None:
        """Wait for a request, for the time to store what has come, or until nothing more comes."""
        clock = asyncio.get_running_loop().time
        end, beat, seen = clock() + self._settings.flush_interval, clock() + BEAT, -1
        while not self._requested and clock() < end:
            until = min(end, beat, clock() + _QUIET) if self._stirred else min(end, beat)
            self._attention.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until - clock()):
                    await self._attention.wait()
            if beat <= clock() < end:
                # Where the wait is over, what comes next is as good as a heartbeat.
                await self._beat()
                beat = clock() + BEAT
            if self._stirred and clock() >= self._quiet_again:
                recorded, last = self._recorded_in_quiet(), seen
                if recorded is not None and recorded == last:
                    break
                seen = -1 if recorded is None else recorded
        self._requested = False
        self._attention.clear()

    def _recorded_in_quiet(self) -> int | None:
        """Return how many records there have been so far; None while a call is open."""
        if any(intake.link.open_calls for intake in self._intakes):
            return None
        return sum(intake.recorded for intake in self._intakes)

    async def _beat(self) -> None:
        """Let the database tell that the run goes on."""
        self._vitals.look(intake.pid for intake in self._intakes)
        if self._writer is not None:
            await self._writer.beat(time.time_ns())

    async def _tell(self) -> None:
        """Tell the processes of the run what there is to tell, also that the collector gets on."""
        self._link.progress = self.progress
        if self.door is not None:
            await self.door.reply()
        if self.after_round is not None:
            await self.after_round()

    async def _round(self) -> bool:
        """Take and store what has come, and answer the requests; return whether one of them ended the run."""
        self._link.rearm()
        self._stirred = False
        self._vitals.look(intake.pid for intake in self._intakes)
        await self._take()
        ending = self._intakes[0].ending if self._intakes else _ending_of(self._requests)
        if ending is not None or nvml.wanted():
            self._gpus.set()
        if ending is not None:
            self._link.recording = False
            if self.door is not None:
                await self.door.dismiss()
                await self._take()
            if self._describing is not None:
                await asyncio.wait([self._describing], timeout=_ENVIRONMENT_PATIENCE)
        for intake in self._intakes:
            if (ends := intake.ending or ending) is not None:
                await intake.abandon(self._requests, ends, self._vitals)
        if (failure := self._failure) is None:
            assert self._storing is not None
            failure = await patiently(self._storing.store(durable=bool(self._requests), ending=ending))
        if ending is not None:
            # Before the answer: whoever waits for the end may copy the file at once.
            self._link.close(StoreError("the run has ended"))
            await self._let_go()
            if self._writer is not None:
                failure = await self._opening.reckon(self._writer, self._watched, failure)
        if self._requests:
            self._answer(failure or self._watched.refusal())
        return ending is not None

    def _answer(self, error: StoreError | None) -> None:
        while self._requests:
            # Only then let go: where this fails, they are answered at the end of all.
            self._requests[-1].answer(error)
            self._requests.pop()

    async def _take(self) -> None:
        for intake in self._intakes:
            await intake.take(self._requests)
        if not self._intakes:
            self._requests += discard(self._link, self._ledger)
        self._excluded = [each for each in self._excluded if not each.answer()]


def _ending_of(requests: list[FlushRequest]) -> Ending | None:
    return next((request.ending for request in requests if request.ending), None)
