"""The sampling tasks: one for each series that at least one call wants."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from umlaut_async.clock import Clock, SystemClock
from umlaut_async.collector.faults import Faults
from umlaut_async.collector.reading import Reader
from umlaut_async.collector.reading_thread import ReadingThreads
from umlaut_async.collector.series import Taken
from umlaut_async.probes import Place, ProcessGoneError, UnavailableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from umlaut_async.collector.series import EdgeRequest, Series
    from umlaut_async.records import EventRecord

_logger = logging.getLogger("umlaut_async")

_LINGER = 2
"""How many ticks without a call a task waits before it ends."""


class Sampler:
    """Runs the sampling tasks of a collector, on its loop.

    Args:
        report: Takes the events that a reader of the samples must know.
        clock: The time.
        logged: The lines that were logged of what could not be read, see `Faults`.
    """

    def __init__(
        self, report: Callable[[EventRecord], None], clock: Clock | None = None, logged: set[str] | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self.began = self._clock.now()
        self.faults = Faults(report, self._clock.now, logged)
        self._tasks: dict[asyncio.Task[None], Hashable] = {}
        """What runs, and the source that it reads."""
        # One for each source, since a source is read once at a time, however many series it has.
        self._readers: dict[Hashable, Reader] = {}
        self._threads = ReadingThreads(self._clock.now)
        self._answering: dict[Series, asyncio.Task[None]] = {}
        """What answers the edge requests of series."""
        self.edge_taken = asyncio.Event()
        """Set whenever edge requests have been answered."""
        self.worst_lateness = 0
        """By how many nanoseconds a tick came late, at most."""

    def start(self, series: Series) -> None:
        """Sample a series until no call wants it any more."""
        if not series.sampled:
            series.sampled = True
            self._spawn(self._sample(series), series)

    def take_edges(self, series: Series) -> None:
        """Answer the edge requests of a series."""
        if not series.edge_requests or series in self._answering:
            return
        task = self._answering[series] = self._spawn(self._answer_edges(series), series)

        def finish(_: object) -> None:
            if self._answering.get(series) is task:
                del self._answering[series]

        task.add_done_callback(finish)

    @property
    def answers_edges(self) -> bool:
        """Whether answers to edge requests are on their way."""
        return bool(self._answering)

    async def close(self) -> None:
        """End all tasks and threads."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for source in list(self._readers):
            self._close_reader(source)

    def _spawn(self, work: Coroutine[None, None, None], series: Series) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = series.probe.key

        def finish(_: object) -> None:
            self._release(self._tasks.pop(task))
            if not task.cancelled() and (defect := task.exception()) is not None:
                _logger.error("sampling failed, which is a defect of umlaut_async", exc_info=defect)

        task.add_done_callback(finish)
        return task

    async def _sample(self, series: Series) -> None:
        began, late = series.begin(self._clock.now())
        self.worst_lateness = max(self.worst_lateness, late)
        earlier = await self._tick(series) if series.probe.rate else None
        tick = idle = 0
        while not series.unavailable:
            # Ticks are due at multiples of the interval, so they do not drift; those that a stall skipped are counted.
            due = max(tick + 1, (self._clock.now() - began) // series.interval + 1)
            series.missed += due - tick - 1
            if due > tick + 1:
                self._note_lateness(began + (tick + 1) * series.interval)
            tick = due
            await self._wait(series, began + tick * series.interval)
            self._note_lateness(began + tick * series.interval)
            idle = 0 if series.calls else idle + 1
            if idle > _LINGER:
                series.sampled = False
                if not series.calls:
                    break
                series.sampled = True
                idle = 0
            taken = await self._tick(series)
            if taken is not None and series.samples:
                taken = _add(series, earlier, taken)
                series.make_room()
            # After a gap there is nothing to reckon the next rate from.
            earlier = taken
        series.sampled = False

    def _note_lateness(self, due: int) -> None:
        self.worst_lateness = max(self.worst_lateness, self._clock.now() - due)

    async def _wait(self, series: Series, due: int) -> None:
        """Wait for a tick, and meanwhile read a probe that wants to be read more often."""
        clock, keep_awake = self._clock, series.probe.keep_awake
        while keep_awake is not None and (within := keep_awake()) is not None and clock.now() + within < due:
            await clock.sleep_until(clock.now() + within)
            await self._tick(series)
        await clock.sleep_until(due)

    async def _answer_edges(self, series: Series) -> None:
        next_sample = 0
        try:
            while series.edge_requests:
                requests, loop = _batch(series)
                if not requests:
                    break
                taken = await self._read(series, loop)
                if taken is not None and series.samples and series.probe.rate is None:
                    # All of them count for calls, and as many are stored as of edges that callers read.
                    if store := taken.at >= next_sample:
                        next_sample = taken.at + series.interval // 10
                    series.add(taken, store=store)
                for request in requests:
                    series.answer(request, taken)
                self.edge_taken.set()
        finally:
            # Not only when the task is found to have ended: a request that comes in between would be overlooked.
            self._answering.pop(series, None)

    def _release(self, source: Hashable) -> None:
        """Close the reader of a source that nothing reads at present."""
        if source not in self._tasks.values() and source in self._readers:
            self._close_reader(source)

    def _close_reader(self, source: Hashable) -> None:
        # First this: what could not be closed is still known where everything is closed.
        self._readers[source].close()
        del self._readers[source]

    async def _tick(self, series: Series) -> Taken | None:
        if series.probe.place is not Place.LOOP:
            return await self._read(series, None)
        loop, visit = series.loop(), series.visits
        if loop is None or not series.calls:
            return None
        taken = await self._read(series, loop)
        # A loop may stand between two calls, or be another one by now: then the answer tells nothing of either call.
        return taken if series.visits == visit else None

    async def _read(self, series: Series, loop: asyncio.AbstractEventLoop | None) -> Taken | None:
        """Take a reading; None, and a report, where there is none to be had."""
        probe = series.probe
        if probe.key not in self._readers:
            self._readers[probe.key] = Reader(probe, self._clock.now, self._threads)
        asked = self._clock.now()
        try:
            taken = Taken(*await self._readers[probe.key].read(loop), asked)
        except ProcessGoneError:
            return None
        except (UnavailableError, UnreadableError) as error:
            self.faults.add_failed(series, error)
            return None
        if series.provenance != probe.provenance:
            series.provenance = probe.provenance
        self.faults.add_good(series)
        series.latest = taken.reading
        if probe.lacks is not None:
            for lack in probe.lacks(taken.reading):
                self.faults.add_lack(series, lack)
        return taken


def _batch(series: Series) -> tuple[list[EdgeRequest], asyncio.AbstractEventLoop | None]:
    """Take the edge requests that one reading answers, and tell the loop on which they want it.

    They are all that wait for one on the same loop, but never both edges of a call: between these something must have
    been able to happen.
    """
    waiting = [series.edge_requests.popleft() for _ in range(len(series.edge_requests))]
    # The others have done without: on which loop they were is not known any more, and nobody wants to know.
    waiting = [request for request in waiting if request.call in series.loops]
    if not waiting:
        return [], None
    loop = series.loops[waiting[0].call]
    batch: dict[int, EdgeRequest] = {}
    left: list[EdgeRequest] = []
    for request in waiting:
        if request.call not in batch and series.loops[request.call] is loop:
            batch[request.call] = request
        else:
            left.append(request)
    # Calls in other threads add theirs at the other end meanwhile.
    series.edge_requests.extendleft(reversed(left))
    return list(batch.values()), loop


def _add(series: Series, earlier: Taken | None, taken: Taken) -> Taken:
    """Add a sample to the log of a series: a reading, or the rate since an earlier one.

    Returns:
        The reading from which the next rate is reckoned.
    """
    rate = series.probe.rate
    if rate is None:
        series.add(taken)
    elif earlier is not None and taken.at > earlier.at:
        value = rate(earlier.reading, taken.reading, taken.at - earlier.at)
        if value == 0 and series.probe.restless:
            return earlier
        if value is not None:
            series.add(Taken(taken.at, value, earlier.at))
    return taken
