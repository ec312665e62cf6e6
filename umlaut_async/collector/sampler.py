"""The sampling tasks: one for each series that at least one call wants."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from umlaut_async.clock import Clock, SystemClock, since_epoch
from umlaut_async.collector.reading import Reader, UnreadableError
from umlaut_async.probes import Place
from umlaut_async.records import EventRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from umlaut_async.collector.series import Series
    from umlaut_async.records import Reading

_logger = logging.getLogger("umlaut_async")

_LINGER = 2
"""How many ticks without a call a task waits before it ends."""


class Sampler:
    """Runs the sampling tasks of a collector, on its loop.

    Args:
        report: Takes the events that a reader of the samples must know.
        clock: The time.
    """

    def __init__(self, report: Callable[[EventRecord], None], clock: Clock | None = None) -> None:
        self._report = report
        self._clock = clock or SystemClock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers: dict[Series, Reader] = {}
        self._reading_edges: set[Series] = set()
        self._unreadable: set[Series] = set()
        self.edge_taken = asyncio.Event()
        """Set whenever edge requests have been answered."""

    def start(self, series: Series) -> None:
        """Sample a series until no call wants it any more."""
        if not series.sampled:
            series.sampled = True
            self._spawn(self._sample(series))

    def take_edges(self, series: Series) -> None:
        """Answer the edge requests of a series."""
        if series.edge_requests and series not in self._reading_edges:
            self._reading_edges.add(series)
            self._spawn(self._answer_edges(series))

    async def close(self) -> None:
        """End all tasks and threads."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sample(self, series: Series) -> None:
        clock, interval, rate = self._clock, series.interval, series.probe.rate
        began = min(series.calls.copy().values(), default=clock.now())
        earlier = await self._tick(series) if rate else None
        earlier_at = clock.now()
        tick = idle = 0
        while True:
            # Ticks are due at multiples of the interval, so they do not drift; those that a stall skipped are counted.
            due = max(tick + 1, (clock.now() - began) // interval + 1)
            series.missed += due - tick - 1
            tick = due
            await clock.sleep_until(began + tick * interval)
            idle = 0 if series.calls else idle + 1
            if idle > _LINGER:
                series.sampled = False
                if not series.calls:
                    break
                series.sampled = True
                idle = 0
            reading = await self._tick(series)
            taken_at = clock.now()
            if reading is None:
                earlier = None  # A gap: the next rate would cover it.
                continue
            if rate is None:
                series.log.insert(since_epoch(taken_at), reading)
            else:
                if earlier is not None and taken_at > earlier_at:
                    value = rate(earlier, reading, taken_at - earlier_at)
                    series.log.insert(since_epoch(taken_at), value, since_epoch(earlier_at))
                earlier, earlier_at = reading, taken_at
        self._release(series)

    async def _answer_edges(self, series: Series) -> None:
        next_sample = 0
        try:
            while series.edge_requests:
                requests = [series.edge_requests.popleft()]
                loop = series.loops.get(requests[0].call)
                # One reading answers all that wait for one on the same loop.
                while series.edge_requests and series.loops.get(series.edge_requests[0].call) is loop:
                    requests.append(series.edge_requests.popleft())
                reading = await self._read(series, loop)
                taken_at = self._clock.now()
                if reading is not None and taken_at >= next_sample:
                    next_sample = taken_at + series.interval // 10
                    series.log.insert(since_epoch(taken_at), reading)
                for request in requests:
                    series.edges[request] = reading
                self.edge_taken.set()
        finally:
            self._reading_edges.discard(series)
            self._release(series)

    def _release(self, series: Series) -> None:
        """Close the reader of a series that nothing reads at present."""
        if not series.sampled and series not in self._reading_edges and series in self._readers:
            self._readers.pop(series).close()

    async def _tick(self, series: Series) -> Reading:
        if series.probe.place is not Place.LOOP:
            return await self._read(series, None)
        loops = series.loops_in_use()
        return await self._read(series, loops[-1]) if loops else None

    async def _read(self, series: Series, loop: asyncio.AbstractEventLoop | None) -> Reading:
        """Take a reading; None, and one event for each series, where there is none to be had."""
        reader = self._readers.get(series)
        if reader is None:
            reader = self._readers[series] = Reader(series.probe)
        try:
            return await reader.read(loop)
        except UnreadableError as error:
            if series not in self._unreadable:
                self._unreadable.add(series)
                named = f"{series.measure_type!r} ({series.description})"
                message = f"the metric {named} could not be read: {error}"
                _logger.warning("%s; its values are absent where this happens", message)
                data = {"type": series.measure_type, "description": series.description, "reason": str(error)}
                self._report(EventRecord(self._clock.now(), "unreadable", message, data))
            return None
