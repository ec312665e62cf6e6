"""Play a script through the package: real calls, links, forwarders, messages, collector and SQLite database.

What stands in for the world: the clock, the sources, the threads in which sources are read, the sockets between
processes, and the processes themselves, which are all in this one. What is due by the time, as ticks and rounds, is
done when the script says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chain import stored
from tests.chain.script import (
    EPOCH,
    SOURCES,
    STAGES,
    START,
    STEP,
    Answer,
    Begin,
    Deliver,
    Die,
    End,
    Event,
    Flush,
    Fork,
    Leave,
    Log,
    Pass,
    Round,
    Script,
    Send,
    Source,
    Spawn,
    Tick,
    Track,
)
from tests.chain.stand_ins import Connected, ScriptedMetric, Sensor, Watch, clock, sensors
from umlaut_async import LatencyMetric, Metric, TimeMetric
from umlaut_async.calls import Call, _current
from umlaut_async.clock import SystemClock
from umlaut_async.collector import collector as collector_module
from umlaut_async.collector import door, forwarder, intake, series, tails, wire
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.address import Address
from umlaut_async.collector.collector import Collector
from umlaut_async.collector.door import Door
from umlaut_async.collector.forwarder import Forwarder
from umlaut_async.collector.limits import Limits
from umlaut_async.collector.link import Link
from umlaut_async.collector.reading import Reader
from umlaut_async.collector.reception import Reception
from umlaut_async.collector.sampler import Sampler, _add
from umlaut_async.collector.settings import Given, NameSource, RunSettings
from umlaut_async.collector.vitals import told
from umlaut_async.records import CLOSED, FlushRequest, ValueRecord
from umlaut_async.stage import Stage
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from tests.chain.stored import Stored
    from umlaut_async.errors import StoreError
    from umlaut_async.plan import Plan

_PIDS = 5_000_000
"""Above all that there are: to the process of the test, which is the first of each run, others seem to belong."""
_PATIENCE = 20.0
ERRORS: dict[str, Callable[[], BaseException | None]] = {
    "ok": lambda: None,
    "error": lambda: ValueError("wrong"),
    "cancelled": asyncio.CancelledError,
    "closed": GeneratorExit,
}


def pid_of(process: int) -> int:
    """Return the pid of a process of a script."""
    # A run of a process that is not there would be taken for lost.
    return _PIDS + process if process else os.getpid()


@dataclass
class _Process:
    number: int
    link: Link
    tasks: list[contextvars.Context]
    sampler: Sampler
    forwarder: Forwarder | None = None
    near_end: Connected | None = None
    far_end: Connected | None = None
    stages: dict[int, Plan] = field(default_factory=dict)
    calls: list[list[Call]] = field(default_factory=lambda: [[]])
    """The calls that began in each task and have not ended."""
    earlier: dict[Source, Any] = field(default_factory=dict)
    loose: list[bytes] = field(default_factory=list)
    parcels: list[list[bytes] | None] = field(default_factory=list)
    """What is on its way; None is the end of the connection."""
    alive: bool = True
    heard: bool = False
    """Whether it has said who it is."""

    def post(self) -> None:
        self.parcels.append(self.loose.copy())
        self.loose.clear()

    def sensor(self, source: Source) -> Sensor:
        return sensors.setdefault((self.number, source.name), Sensor(source))

    def plan(self, stage: int) -> Plan:
        if stage not in self.stages:
            metrics: list[Metric] = []
            for each in STAGES[stage].measures:
                if each.source is None:
                    make = TimeMetric if each.reduction == "time" else LatencyMetric
                    metrics.append(make(each.description))
                else:
                    sensor, key = self.sensor(each.source), (self.number, each.source.name)
                    metric = ScriptedMetric(sensor, key, each.reduction, each.description)
                    metric.interval = each.source.interval * STEP / 1e9
                    metrics.append(metric)
            made = Stage(tuple(metrics), _NO_BENCHMARK, "function", STAGES[stage].name)
            self.stages[stage] = made._new_plan(self.link)
        return self.stages[stage]


_NO_BENCHMARK: Any = None


@contextlib.contextmanager
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the clock of the scripts in place of the real one, and what they decide in place of what takes time."""
    for name, module in list(sys.modules.items()):
        if name.startswith("umlaut_async") and getattr(module, "now", None) is time.perf_counter_ns:
            monkeypatch.setattr(module, "now", clock.now)
    monkeypatch.setattr(SystemClock, "now", staticmethod(clock.now))
    monkeypatch.setattr(Sampler, "start", lambda self, series: setattr(series, "sampled", True))

    def in_thread(reader: Reader) -> Any:
        return sensors[reader._probe.key].read_elsewhere()

    async def no_description(settings: object, writer: object, settled: threading.Event, gpus: object) -> None:
        settled.set()

    monkeypatch.setattr(Reader, "_in_thread", in_thread)
    monkeypatch.setattr(collector_module, "describe", no_description)
    monkeypatch.setattr(collector_module, "_PARENT_PATIENCE", 0)
    monkeypatch.setattr(intake, "_EDGE_DEADLINE", 0)
    monkeypatch.setattr(forwarder, "_EDGE_DEADLINE", 0)
    monkeypatch.setattr(door, "_DISMISSAL", _PATIENCE)
    monkeypatch.setattr(door, "_LOOK", 0.001)
    monkeypatch.setattr(door, "Watch", Watch)
    yield


async def play(script: Script, database: Path, monkeypatch: pytest.MonkeyPatch) -> list[Stored]:
    """Play a script; return what is in the database after each round.

    Args:
        script: The script.
        database: The file, which is made.
        monkeypatch: Sets how many samples make a block.
    """
    monkeypatch.setattr(series, "BLOCK", script.block)
    monkeypatch.setattr(tails, "BLOCK", script.block)
    clock.time = START
    sensors.clear()
    Watch.hows.clear()
    stage = _Stage(database)
    await stage.open()
    try:
        for place, event in enumerate(script.events):
            await stage.act(place, event)
        await stage.close()
    finally:
        await stage.let_go()
    return stage.rounds


class _Stage:
    """Where a script is played."""

    def __init__(self, database: Path) -> None:
        self.database = database
        location = resolve(str(database))
        given = Given("", location.key, "", "a", "script", NameSource.USER, None, (), "thread", 1.0)
        settings = RunSettings.described(location, None, given, 0)._replace(uuid="run")
        self.settings = settings._replace(implied=False, started=START, epoch=EPOCH, pid=pid_of(0))
        self.link = Link()
        self.collector = Collector(
            self.settings, self.link, Ledger(), threading.Event(), threading.Event(), pid=pid_of(0)
        )
        address = Address(str(database) + ".none/collector", "run", location.key, pid_of(0))
        self.door = self.collector.door = Door(address, self.collector, Limits())
        first = _Process(0, self.link, [contextvars.Context()], self.collector._sampler)
        self.processes = [first]
        self.rounds: list[Stored] = []
        self.answered: dict[int, StoreError | None] = {}

    async def open(self) -> None:
        """Open the run, and begin it, as `open()` of a benchmark does."""
        self.collector._listen(self.link, self.collector._sampler)
        await self.collector._open()
        self.link.request(FlushRequest(lambda error: None))
        await told(self.collector._round(), self.collector._tell)

    async def act(self, place: int, event: Event) -> None:
        if isinstance(event, Pass):
            clock.time += event.steps * STEP
        elif isinstance(event, Round):
            await self.round()
        else:
            await self.act_in(self.processes[event.process], place, event)
        await _settle()

    async def act_in(self, process: _Process, place: int, event: Event) -> None:
        link = process.link
        if isinstance(event, Fork):
            self.fork(process, event.task)
        elif isinstance(event, Spawn):
            process.tasks.append(process.tasks[event.task].run(contextvars.copy_context))
            process.calls.append([])
        elif isinstance(event, Begin):
            plan = process.plan(event.stage)
            process.calls[event.task].append(process.tasks[event.task].run(Call, plan))
        elif isinstance(event, Track):
            process.calls[event.task][-1].track(event.entries)
        elif isinstance(event, End):
            process.tasks[event.task].run(process.calls[event.task].pop().end, ERRORS[event.status]())
        elif isinstance(event, Log):
            link.append_value(ValueRecord(clock.now(), "loss", "of the user", "", "", event.value, None))
        elif isinstance(event, Tick):
            await self.tick(process, SOURCES[event.source], event.took)
        elif isinstance(event, Answer):
            if (asked := process.sensor(SOURCES[event.source]).asked) is not None:
                asked.set()
        elif isinstance(event, Send):
            await self.send(process)
        elif isinstance(event, Deliver):
            for _ in range(event.parcels):
                self.deliver(process)
            await self.admitted()
        elif isinstance(event, Flush):
            link.request(FlushRequest(lambda error: self.answered.update({place: error})))
            if not process.number:
                await self.round()
        elif isinstance(event, Leave):
            link.recording = False
            link.request(FlushRequest(lambda error: None, CLOSED._replace(at=clock.now())))
        elif isinstance(event, Die):
            Watch.hows[pid_of(process.number)] = event.how
            assert process.near_end is not None
            process.alive = False
            process.near_end.listen(lambda message: None, None)
            process.parcels.append(None)

    def fork(self, parent: _Process, task: int) -> None:
        """Let a process begin that has what its parent has now."""
        number = len(self.processes)
        context = parent.tasks[task].run(contextvars.copy_context)
        context.run(lambda: _current.set(_copied(_current.get())))
        link = Link()
        link.inherited = parent.link
        hello = wire.Hello(pid_of(number), None, self.settings.location.key, "run", pid_of(parent.number), "", None)
        loose: list[bytes] = []
        near = Connected(loose.append)
        child_end: list[Connected] = [near]
        far = Connected(lambda message: child_end[0].message(message))
        made = Forwarder(hello, near, link, Ledger(), threading.Event(), joined=True)  # type: ignore[arg-type]
        child = _Process(number, link, [context], made._sampler, made, near, far, loose=loose)
        near.listen(made._reply, None)
        link.listen(asyncio.get_running_loop(), made._woken)
        link.notify, link.announce = near.notify, made._announce
        loose.append(wire.greeting(hello))
        child.post()
        self.door.receive(Reception(far, Limits()))  # type: ignore[arg-type]
        self.processes.append(child)

    async def tick(self, process: _Process, source: Source, took: int) -> None:
        """Take a sample as the sampling task of the series does."""
        sensor = process.sensor(source)
        if sensor.asked is not None:
            return
        (series,) = [
            each
            for each in process.link.series.values()
            if (each.measure_type, each.interval) == (source.name, source.interval * STEP)
        ]
        sensor.ticks, sensor.took = True, took
        taken = await process.sampler._tick(series)
        sensor.ticks = False
        if taken is not None:
            taken = _add(series, process.earlier.get(source), taken)
            series.make_room()
        process.earlier[source] = taken

    async def send(self, process: _Process) -> None:
        assert process.forwarder is not None
        await process.forwarder._round()
        process.post()

    def deliver(self, process: _Process) -> None:
        """Let the oldest parcel of a process come to the collector."""
        assert process.far_end is not None
        if not process.parcels:
            return
        parcel = process.parcels.pop(0)
        if parcel is None:
            process.far_end.close()
            return
        process.heard = True
        for message in parcel:
            process.far_end.message(message)

    async def admitted(self) -> None:
        """Wait until all that have knocked are let in."""
        unheard = sum(not each.heard for each in self.processes[1:])
        deadline = time.monotonic() + _PATIENCE
        while self.door._arriving > unheard:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.0005)
        await _settle()

    async def round(self) -> None:
        await told(self.collector._round(), self.collector._tell)
        self.look()

    def look(self) -> None:
        found = stored.look(self.database, {pid_of(each.number): each.number for each in self.processes})
        found.answered = {place for place, error in self.answered.items() if error is None}
        self.rounds.append(found)

    async def close(self) -> None:
        """End the run, with the processes that live answering as they do."""
        self.link.recording = False
        self.link.request(FlushRequest(lambda error: None, CLOSED._replace(at=clock.now())))
        asked = asyncio.Event()
        dismiss = self.door.dismiss

        async def ask() -> None:
            asked.set()
            await dismiss()

        self.door.dismiss = ask  # type: ignore[method-assign]
        ending = asyncio.ensure_future(told(self.collector._round(), self.collector._tell))
        while not ending.done():
            # Not before: what comes while the collector takes what has come is taken now or later.
            for process in self.processes[1:] if asked.is_set() else ():
                await self.attend(process)
            await asyncio.sleep(0.0005)
        assert await ending
        self.look()

    async def attend(self, process: _Process) -> None:
        """Let all of a process arrive, and the rest of it once it is asked for that."""
        while process.parcels:
            self.deliver(process)
            await self.admitted()
        assert process.forwarder is not None
        if process.alive and not process.link.recording and process.link.records:
            await self.send(process)
            self.deliver(process)

    async def let_go(self) -> None:
        for process in self.processes[1:]:
            await process.sampler.close()
        await self.collector._let_go()
        await self.door.close()


def _copied(call: Call | None) -> Call | None:
    """Return a call as a forked child has it, which does not see what becomes of it."""
    if call is None:
        return None
    copied: Call = object.__new__(type(call))
    for name in Call.__slots__:
        setattr(copied, name, getattr(call, name))
    copied.parent = _copied(call.parent)
    return copied


async def _settle() -> None:
    """Let the tasks of the loop do what they can do at once."""
    for _ in range(12):
        await asyncio.sleep(0)
