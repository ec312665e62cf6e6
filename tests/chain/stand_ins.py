"""What stands in for the world where a script is played: the clock, the sources, and what lies between processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chain.script import START, STEP, Source, value_at
from umlaut_async import Metric
from umlaut_async.probes import Place, Probe
from umlaut_async.probes.process import percent

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The one clock, which stands until the script moves it."""

    time = START

    def now(self) -> int:
        return self.time


clock = Clock()


@dataclass
class Sensor:
    """A source in one process."""

    source: Source
    took: int = 0
    """The steps that the next reading takes; those for edges take none."""
    asked: asyncio.Event | None = None
    """What a reading for edges waits for, while there is one."""
    ticks: bool = False
    """Whether it is read for a sample now."""

    def read(self) -> int:
        clock.time += self.took * STEP
        self.took = 0
        value = value_at(self.source, clock.time)
        if value is None:
            raise OSError("away")
        return value

    async def read_elsewhere(self) -> tuple[int, int]:
        if not self.ticks:
            self.asked = asyncio.Event()
            try:
                await self.asked.wait()
            finally:
                self.asked = None
        value = self.read()
        return clock.now(), value


sensors: dict[Any, Sensor] = {}
"""By the key of the probe."""


class ScriptedMetric(Metric):
    unit = "units"

    def __init__(self, sensor: Sensor, key: object, reduction: str, description: str) -> None:
        self.sensor, self.key, self.reduction = sensor, key, reduction
        self.measure_type = sensor.source.name  # type: ignore[misc]
        super().__init__(description, sensor.source.interval * STEP / 1e9)

    def probe(self) -> Probe:
        source = self.sensor.source
        place = Place.THREAD if source.far else Place.CALLER
        rate = percent if source.counter and not source.far else None
        return Probe(self.key, self.sensor.read, "script", place, rate, deadline=None)


class Connected:
    """One end of a connection, with the methods of a `Channel` that are used."""

    peer = 0

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._ended = asyncio.Event()
        self.message: Callable[[bytes], None] = lambda content: None

    def listen(self, message: Callable[[bytes], None], signal: object) -> None:
        self.message = message

    async def send(self, message: bytes) -> None:
        self._put(message)

    def send_at_once(self, message: bytes) -> bool:
        self._put(message)
        return True

    def notify(self, kind: int, series: int, call: int, started: int) -> None:
        raise AssertionError("no source of the scripts is read from outside")

    async def ended(self) -> None:
        await self._ended.wait()

    @property
    def is_open(self) -> bool:
        return not self._ended.is_set()

    def close(self) -> None:
        self._ended.set()


class Watch:
    """Stands for what watches a process: tells at once how the script says that it ended."""

    hows: dict[int, str] = {}

    def __init__(self, pid: int) -> None:
        self.pid = pid

    async def how(self) -> str:
        return self.hows[self.pid]

    def close(self) -> None: ...
