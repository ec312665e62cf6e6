"""What a script comes to: read event by event, slowly, and without the package.

Nothing here is clever: all samples of a process lie in one list, and a call looks at each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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
    Measure,
    Pass,
    Round,
    Script,
    Send,
    Source,
    Spawn,
    Tick,
    Track,
    value_at,
)
from tests.chain.stored import Key, Span, Stored, Value

ERRORS = {"error": "ValueError: wrong"}


@dataclass
class _Call:
    process: int
    number: int
    stage: int
    parent: Key | None
    started: int
    ended: int | None = None
    status: str = "running"
    entries: int | None = None
    edges: dict[tuple[Source, bool], int] = field(default_factory=dict)
    """When the edges were read, of what is read elsewhere."""
    gone: bool = False
    """Whether nobody waits for its edges any more."""
    made: bool = False
    """Whether it has its results."""

    @property
    def sources(self) -> list[Source]:
        return list(dict.fromkeys(each.source for each in STAGES[self.stage].measures if each.source is not None))

    def awaits(self) -> bool:
        """Return whether readings at its edges are still to come."""
        far = [source for source in self.sources if source.far]
        return any((source, first) not in self.edges for source in far for first in (True, False))


@dataclass(frozen=True)
class _Sample:
    source: Source
    since: int
    at: int
    value: float
    stored: bool


@dataclass
class _Parcel:
    opened: list[_Call] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    samples: list[_Sample] = field(default_factory=list)
    values: list[tuple[int, int]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)
    left: tuple[int, str] | None = None
    """When and how the process has ended its part."""
    hello: bool = False
    killed: str | None = None


@dataclass
class _Reader:
    """What reads a source elsewhere, for the edges of calls."""

    wanted: list[tuple[_Call, bool]] = field(default_factory=list)
    batch: list[tuple[_Call, bool]] | None = None
    """What the reading is for that was asked for; none is if this is None."""
    asked: int = 0
    next_stored: int = 0


@dataclass
class _Process:
    number: int
    forked_from: int | None
    tasks: list[list[tuple[_Call, bool]]]
    """What each task is in, the innermost last; and whether it is the parent's, whose end is not seen here."""
    calls: list[_Call] = field(default_factory=list)
    leaving: tuple[int, str] | None = None
    alive: bool = True
    baseline: dict[Source, int] = field(default_factory=dict)
    """When each counter was read last."""
    next_kept: dict[Source, int] = field(default_factory=dict)
    readers: dict[Source, _Reader] = field(default_factory=dict)
    told: list[_Call] = field(default_factory=list)
    failed: set[Source] = field(default_factory=set)
    unsent: _Parcel = field(default_factory=_Parcel)
    """What it has, and the collector has not; of the collector's own process what it has not taken."""
    pipe: list[_Parcel] = field(default_factory=list)
    # What the collector knows of it.
    joined: int | None = None
    knows_parent: bool = False
    open: list[_Call] = field(default_factory=list)
    taken: _Parcel = field(default_factory=_Parcel)
    """What has come since the last round."""
    samples: list[_Sample] = field(default_factory=list)
    last: int = 0
    over: bool = False

    def running(self) -> list[_Call]:
        return [call for call in self.calls if call.ended is None]

    def leaving_known(self) -> bool:
        """Return whether the collector knows that it has left."""
        return self.over or self.taken.left is not None


def read(script: Script) -> list[Stored]:
    """Return what is in the database after each round, the last of which ends the run."""
    world = _World()
    for place, event in enumerate(script.events):
        world.happen(place, event)
    world.close()
    return world.rounds


class _World:
    def __init__(self) -> None:
        self.now = START
        self.processes = [_Process(0, None, [[]], joined=START)]
        self.stored = Stored(processes={0: (START + EPOCH, None, None)})
        self.rounds: list[Stored] = []
        self.recorded = 0

    def happen(self, place: int, event: Event) -> None:
        if isinstance(event, Pass):
            self.now += event.steps * STEP
        elif isinstance(event, Round):
            self.round(None)
        else:
            self.happen_in(self.processes[event.process], place, event)
        for process in self.processes:
            for source, reader in process.readers.items():
                self.ask(reader, source)

    def happen_in(self, process: _Process, place: int, event: Event) -> None:
        if isinstance(event, Fork):
            # What the child is in, it is in for ever: it does not see the ends in its parent.
            within = [(call, True) for call, parents in process.tasks[event.task] if parents or call.ended is None]
            child = _Process(len(self.processes), process.number, [within])
            child.pipe.append(_Parcel(hello=True))
            self.processes.append(child)
        elif isinstance(event, Spawn):
            process.tasks.append(list(process.tasks[event.task]))
        elif isinstance(event, Begin):
            self.begin(process, event)
        elif isinstance(event, Track):
            call = self.innermost(process, event.task)
            call.entries = (call.entries or 0) + event.entries
        elif isinstance(event, End):
            self.end(process, self.innermost(process, event.task), event.status)
        elif isinstance(event, Log):
            process.unsent.values.append((self.now, event.value))
        elif isinstance(event, Tick):
            self.tick(process, SOURCES[event.source], event.took)
        elif isinstance(event, Answer):
            self.answer(process, SOURCES[event.source])
        elif isinstance(event, Send):
            self.send(process)
        elif isinstance(event, Deliver):
            for _ in range(event.parcels):
                self.deliver(process)
        elif isinstance(event, Flush):
            if process.number:
                process.unsent.flushes.append(place)
            else:
                self.round(place)
        elif isinstance(event, Leave):
            process.leaving = process.unsent.left = (self.now, "closed")
        elif isinstance(event, Die):
            process.alive = False
            process.pipe.append(_Parcel(killed=event.how))

    # In the process

    def begin(self, process: _Process, event: Begin) -> None:
        family = [process.number, process.forked_from]
        within = [call for call, parents in process.tasks[event.task] if parents or call.ended is None]
        above = [(call.process, call.number) for call in within if call.process in family]
        # Of what it is in, own calls are the innermost.
        number = len(process.calls) + 1
        call = _Call(process.number, number, event.stage, above[-1] if above else None, self.now)
        process.calls.append(call)
        process.tasks[event.task].append((call, False))
        for source in call.sources:
            self.edge(process, call, source, first=True)

    def end(self, process: _Process, call: _Call, status: str) -> None:
        call.ended, call.status = self.now, status
        for source in call.sources:
            self.edge(process, call, source, first=False)
        process.unsent.calls.append(call)

    def innermost(self, process: _Process, task: int) -> _Call:
        mine = [call for call, parents in process.tasks[task] if not parents and call.ended is None]
        begun = [call for call in mine if call in self.begun_in(process, task)]
        return begun[-1]

    @staticmethod
    def begun_in(process: _Process, task: int) -> list[_Call]:
        """Return the calls that began in a task, and not in the one that began it."""
        others = [call for each in process.tasks[:task] for call, _ in each]
        return [call for call, _ in process.tasks[task] if not any(call is other for other in others)]

    def edge(self, process: _Process, call: _Call, source: Source, *, first: bool) -> None:
        if source.far:
            process.readers.setdefault(source, _Reader()).wanted.append((call, first))
        elif not source.counter and self.now >= process.next_kept.get(source, 0):
            value = value_at(source, self.now)
            if value is not None:
                process.next_kept[source] = self.now + source.interval * STEP // 10
                process.unsent.samples.append(_Sample(source, self.now, self.now, value, True))

    def tick(self, process: _Process, source: Source, took: int) -> None:
        if source in process.readers and process.readers[source].batch is not None:
            return
        asked = self.now
        self.now += took * STEP
        value = value_at(source, self.now)
        if value is None:
            if source not in process.failed:
                process.failed.add(source)
                process.unsent.events.append(("unreadable", source.name))
        elif source.counter and not source.far:
            before = process.baseline.get(source)
            if before is not None and self.now > before:
                grown = value - known(source, before)
                process.unsent.samples.append(
                    _Sample(source, before, self.now, 100 * grown / (self.now - before), True)
                )
            process.baseline[source] = self.now
        else:
            process.unsent.samples.append(_Sample(source, asked, self.now, value, True))

    def ask(self, reader: _Reader, source: Source) -> None:
        """Have a source read for all that waits for it, but never for both edges of one call."""
        if reader.batch is not None:
            return
        reader.wanted = [(call, first) for call, first in reader.wanted if not call.gone]
        batch: list[tuple[_Call, bool]] = []
        for call, first in reader.wanted:
            if not any(call is other for other, _ in batch):
                batch.append((call, first))
        reader.wanted = [each for each in reader.wanted if not any(each[0] is c and each[1] == f for c, f in batch)]
        if batch:
            reader.batch, reader.asked = batch, self.now
        else:
            reader.next_stored = 0

    def answer(self, process: _Process, source: Source) -> None:
        reader = process.readers.get(source)
        if reader is None or reader.batch is None:
            return
        stored = self.now >= reader.next_stored
        if stored:
            reader.next_stored = self.now + source.interval * STEP // 10
        process.unsent.samples.append(_Sample(source, reader.asked, self.now, known(source, self.now), stored))
        for call, first in reader.batch:
            if not call.gone:
                call.edges[source, first] = self.now
        reader.batch = None

    def send(self, process: _Process) -> None:
        if process.unsent.left is not None:
            for call in process.running():
                self.end(process, call, "abandoned")
        parcel, process.unsent = process.unsent, _Parcel()
        hurried = bool(parcel.flushes) or parcel.left is not None
        process.unsent.calls = [call for call in parcel.calls if call.awaits() and not hurried]
        parcel.calls = [call for call in parcel.calls if not call.awaits() or hurried]
        for call in parcel.calls:
            call.gone = True
        parcel.opened = [call for call in process.running() if not any(call is other for other in process.told)]
        process.told += parcel.opened
        process.pipe.append(parcel)

    # In the collector

    def deliver(self, process: _Process) -> None:
        if not process.pipe:
            return
        parcel = process.pipe.pop(0)
        if parcel.hello:
            process.joined = self.now
            assert process.forked_from is not None
            process.knows_parent = self.processes[process.forked_from].joined is not None
        process.open += parcel.opened
        process.open = [call for call in process.open if not any(call is other for other in parcel.calls)]
        process.samples += parcel.samples
        process.taken.calls += parcel.calls
        process.taken.values += parcel.values
        process.taken.events += parcel.events
        process.taken.flushes += parcel.flushes
        process.taken.left = process.taken.left or parcel.left
        if parcel.killed is not None and not process.leaving_known():
            process.taken.killed, process.taken.left = parcel.killed, (self.now, parcel.killed)

    def round(self, flush: int | None) -> None:
        own = self.processes[0]
        hurried = flush is not None or any(each.taken.flushes or each.taken.left for each in self.processes)
        waiting = [call for call in own.unsent.calls if call.awaits() and not hurried]
        own.unsent.calls = [call for call in own.unsent.calls if not call.awaits() or hurried]
        own.taken, own.unsent = own.unsent, _Parcel(calls=waiting)
        own.samples += own.taken.samples
        own.open = own.running()
        if flush is not None:
            own.taken.flushes.append(flush)
        for process in self.processes:
            if process.joined is not None and not process.over:
                self.take(process)
        self.rounds.append(self.copy())

    def take(self, process: _Process) -> None:
        number, taken, process.taken = process.number, process.taken, _Parcel()
        assert process.joined is not None
        began = process.joined + EPOCH
        for call in process.open:
            self.stored.spans[number, call.number] = self.span(process, call)
        for call in taken.calls:
            assert call.ended is not None
            call.gone = True
            self.stored.spans[number, call.number] = self.span(process, call)
            process.last = max(process.last, call.ended)
            self.results(process, call)
        for at, value in taken.values:
            self.stored.values.append((number, at + EPOCH, value))
            process.last = max(process.last, at)
        self.recorded += len(taken.calls) + len(taken.values)
        self.stored.events |= {(number, kind, name) for kind, name in taken.events}
        if process.alive:
            self.stored.answered |= set(taken.flushes)
        for source in SOURCES:
            stored = [
                (each.at + EPOCH, each.value) for each in process.samples if each.source == source and each.stored
            ]
            if stored:
                self.stored.samples[number, source.name, source.interval * STEP] = sorted(stored)
        if number and taken.left is not None:
            at, how = taken.left
            if taken.killed is not None:
                self.lose(process, at, taken.killed)
            process.over = True
            self.stored.processes[number] = (began, max(at, process.last) + EPOCH, how)
        else:
            self.stored.processes[number] = (began, None, None)

    def lose(self, process: _Process, noticed: int, how: str) -> None:
        # Workers are ended by SIGTERM as a rule: only what they were in is lost.
        if process.open or how == "killed by SIGKILL":
            self.stored.events.add((process.number, "lost", ""))
        for call in process.open:
            lost = replace(self.span(process, call), duration=noticed - call.started, status="lost", error=None)
            self.stored.spans[process.number, call.number] = lost
        self.recorded += len(process.open)
        if process.open:
            process.last = max(process.last, noticed)
        process.open = []

    def span(self, process: _Process, call: _Call) -> Span:
        is_open = any(call is other for other in process.open)
        parent = call.parent
        if parent is not None and parent[0] != process.number and not process.knows_parent:
            parent = None
        assert is_open or call.ended is not None
        duration = None if is_open or call.ended is None else call.ended - call.started
        status = "running" if is_open else call.status
        return Span(STAGES[call.stage].name, parent, call.started + EPOCH, duration, status, ERRORS.get(status))

    def results(self, process: _Process, call: _Call) -> None:
        if call.made:
            return
        call.made = True
        for measure in STAGES[call.stage].measures:
            found = self.result(process, call, measure)
            if found is not None:
                self.stored.results[process.number, call.number, measure.description] = found

    def result(self, process: _Process, call: _Call, measure: Measure) -> Value | None:
        assert call.ended is not None
        start, end, source, number = call.started, call.ended, measure.source, process.number
        if measure.reduction == "time":
            return Value((end - start) / 1e9, None, "measured")
        if source is None:
            if call.entries:
                return Value((end - start) / 1e9 / call.entries, None, "measured")
            if call.status == "ok":
                self.stored.events.add((number, "untracked", "latency"))
            return None
        samples = [each for each in process.samples if each.source == source]
        count = len(samples)
        entered, left = call.edges.get((source, True)), call.edges.get((source, False))
        until = end if left is None or not source.counter else max(end, left)
        if source.far or source.counter:
            inside = [each for each in samples if start <= each.since and each.at <= until]
        else:
            inside = [each for each in samples if start < each.at < end]
        numbers = [each.value for each in sorted(inside, key=lambda each: each.at)]
        if measure.reduction == "cpu":
            if end == start:
                return None
            rate = 100 * (known(source, end) - known(source, start)) / (end - start)
            return Value(rate, _described(numbers or [rate]), "measured", count)
        if measure.reduction == "difference":
            if entered is None or left is None or left <= entered:
                return None
            first, last = known(source, entered), known(source, left)
            off = (abs(entered - start) + abs(left - end)) / max(1, end - start)
            provenance = "estimated" if off > 0.05 else "measured"
            return Value(last - first, _described(numbers or [first, last]), provenance, count)
        if source.far:
            if not numbers and entered is not None:
                early = start < (process.joined or 0)
                self.stored.events.add((number, "too-early" if early else "too-short", source.name))
        else:
            at_edges = value_at(source, start), value_at(source, end)
            numbers = [each for each in (at_edges[0], *numbers, at_edges[1]) if each is not None]
        if not numbers:
            return None
        data = _described(numbers)
        return Value(data["max" if measure.reduction == "peak" else "mean"], data, "measured", count)

    def copy(self) -> Stored:
        stored = self.stored
        return Stored(
            dict(stored.spans), dict(stored.results), sorted(stored.values), dict(stored.samples),
            dict(stored.processes), set(stored.events), stored.run, stored.recorded, set(stored.answered),
        )  # fmt: skip

    def close(self) -> None:
        """End the run: all that lives is asked for what it has, and all that was sent arrives."""
        own, others = self.processes[0], self.processes[1:]
        for call in own.running():
            self.end(own, call, "abandoned")
        # What has come is taken before anything else may come.
        for process in others:
            for call in process.taken.calls:
                self.results(process, call)
        for process in others:
            while process.pipe:
                self.deliver(process)
            if process.alive and not process.over and not process.leaving_known():
                process.unsent.left = process.leaving or (self.now, "the run ended")
                self.send(process)
                self.deliver(process)
        self.round(-1)
        ended = self.now + EPOCH
        assert all(process.over for process in others)
        final = self.rounds[-1]
        final.answered.discard(-1)
        final.run, final.recorded = ("ok", ended), self.recorded
        final.processes[0] = (START + EPOCH, ended, "closed")


def known(source: Source, t: int) -> int:
    """Return what a source that never fails holds at a moment."""
    value = value_at(source, t)
    assert value is not None
    return value


def _described(numbers: list[float]) -> dict[str, float]:
    return {
        "n": len(numbers),
        "min": min(numbers),
        "mean": sum(numbers) / len(numbers),
        "max": max(numbers),
        "first": numbers[0],
        "last": numbers[-1],
    }
