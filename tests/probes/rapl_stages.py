"""Supervised stages on a fake machine with energy counters; `python -m` runs one in a mount namespace."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from tests.fake_rapl import Domain, Machine
from tests.support import best_of_three, calls_of, read
from umlaut_async import Benchmark, BenchmarkSupervisor, Metric
from umlaut_async.cli import main as command_line
from umlaut_async.metrics.energy import EnergyMetric, PowerMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLED = 0.3
"""Seconds in which nothing is counted, so that it does not matter when within them an edge is read."""


class Consumption:
    """Counts as the hardware does: all the time, by the power that is set.

    Args:
        machine: Whose counters move.
        watts: The power of each package at the seconds since the start; each memory takes 10 W.
    """

    def __init__(self, machine: Machine, watts: Callable[[float], tuple[int, ...]]) -> None:
        self._machine = machine
        self._watts = watts
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _run(self) -> None:
        began = earlier = time.perf_counter()
        while not self._stopped.wait(0.002):
            now = time.perf_counter()
            elapsed = round((now - earlier) * 1e6)
            earlier += elapsed / 1e6
            self._machine.count(*(each * elapsed for each in self._watts(now - began)), dram=10 * elapsed)


def counted(domains: list[Domain]) -> list[int]:
    return [domain.counted for domain in domains]


def measured(
    metrics: list[Metric], machine: Machine, power: Consumption, seconds: float, collector: str = "thread"
) -> tuple[Path, float]:
    """Run a stage in which the hardware counts for some seconds; return the database and the time inside the stage."""
    database = Path(tempfile.mkdtemp()) / "runs.db"
    inside = 0.0

    async def main() -> None:
        async with Benchmark(database, collector=collector) as benchmark:

            @BenchmarkSupervisor(metrics, benchmark)
            async def stage() -> None:
                nonlocal inside
                began = time.perf_counter()
                await asyncio.sleep(SETTLED)
                with power.running():
                    await asyncio.sleep(seconds)
                inside = time.perf_counter() - began

            await stage()

    asyncio.run(main())
    return database, inside


def exact(packages: str, dram: str, watts: str, top: str, seconds: str, collector: str = "thread") -> None:
    """Energy is exact and power right within 1 %, over wraps that the interval of the user would miss."""

    machine = Machine(int(packages), dram == "dram")
    for domain in machine.packages + machine.dram:
        domain.wrap_at(int(top))
    watts_of = tuple(int(watts) - 50 * number for number in range(int(packages)))

    def off() -> float:
        before = counted(machine.packages), counted(machine.dram)
        metrics: list[Metric] = [EnergyMetric("energy"), PowerMetric("power", interval=60)]
        database, inside = measured(
            metrics, machine, Consumption(machine, lambda _: watts_of), float(seconds), collector
        )
        (call,) = calls_of(database)
        true, true_dram = (
            [now - then for now, then in zip(counted(domains), earlier, strict=True)]
            for domains, earlier in zip((machine.packages, machine.dram), before, strict=True)
        )
        energy, power = call["results"].get("energy"), call["results"].get("power")
        if energy is None or power is None:
            return 1  # The machine stood still for longer than a wrap takes.
        assert energy["value"] == sum(true)
        assert energy["data"] == {"packages": true} | ({"dram": true_dram} if true_dram else {})
        assert (energy["unit"], energy["provenance"], power["unit"]) == ("µJ", "measured", "Watt")
        wrapped = true[0] // int(top)
        assert wrapped == pytest.approx(float(watts) * float(seconds) * 1e6 // int(top), abs=1)
        assert sum(power["data"]["packages"]) == pytest.approx(power["value"])
        return abs(float(power["value"]) * inside * 1e6 / sum(true) - 1)

    best_of_three(0.01, off)


def step() -> None:
    """The integral of the power samples is the energy within 2 %, on a step from 100 W to 300 W."""
    machine = Machine()

    def off() -> float:
        def watts(t: float) -> tuple[int, ...]:
            return (100 if t < 0.8 else 300 if t < 1.6 else 0,)

        metrics: list[Metric] = [EnergyMetric("energy"), PowerMetric("power", interval=0.05)]
        database, _ = measured(metrics, machine, Consumption(machine, watts), 1.9)
        (call,) = calls_of(database)
        samples = read(database, "select t, value from sample order by t")
        assert len(samples) > 20
        # While nothing is counted there are no samples: the first reaches back to the start.
        times = [call["started"], *(sample["t"] for sample in samples)]
        integral = sum(
            sample["value"] * (until - since) / 1000
            for sample, (since, until) in zip(samples, itertools.pairwise(times), strict=True)
        )
        assert read(database, "select type, unit, source from series where interval = 50000000") == [
            {"type": "power", "unit": "Watt", "source": "rapl"}
        ]
        highest = max(sample["value"] for sample in samples)
        assert call["results"]["power"]["data"]["max"] == highest
        return abs(float(integral) / float(call["results"]["energy"]["value"]) - 1)

    best_of_three(0.02, off)


def stuck() -> None:
    """Counters that stand still, as on some virtual machines, are no power of 0, and that is said."""
    Machine()
    database = Path(tempfile.mkdtemp()) / "runs.db"

    async def main() -> None:
        async with Benchmark(database) as benchmark:

            @BenchmarkSupervisor([EnergyMetric("energy"), PowerMetric("power", 0.02)], benchmark)
            async def stage() -> None:
                await asyncio.sleep(SETTLED)

            for _ in range(2):
                await stage()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(logging.getLogger("umlaut_async"), "disabled", True)
        asyncio.run(main())
    assert [call["results"] for call in calls_of(database)] == [{}, {}]
    assert read(database, "select * from sample") == []
    events = read(database, "select * from event where kind in ('unreadable', 'too-short')")
    assert sorted((event["kind"], event["data"]["type"]) for event in events) == [
        ("unreadable", "energy"), ("unreadable", "power"),
    ]  # fmt: skip
    assert all("its counter did not move for" in event["message"] for event in events)


def gap() -> None:
    """A counter that cannot be read for a while costs the call in which that happens its numbers, and no other call."""
    machine = Machine()
    database = Path(tempfile.mkdtemp()) / "runs.db"
    logger, handler = logging.getLogger("umlaut_async"), BufferingHandler(100)
    logger.addHandler(handler)

    async def main() -> None:
        async with Benchmark(database) as benchmark:

            @BenchmarkSupervisor([EnergyMetric("energy"), PowerMetric("power", 0.02)], benchmark)
            async def stage(fails: bool) -> str:
                await asyncio.sleep(SETTLED)
                if fails:
                    machine.packages[0].show("")
                    await asyncio.sleep(SETTLED)
                machine.count(2_000_000)
                await asyncio.sleep(SETTLED)
                return "unharmed"

            for fails in (False, True, False):
                assert await stage(fails) == "unharmed"

    asyncio.run(main())
    energies = [call["results"].get("energy", {}).get("value") for call in calls_of(database)]
    assert energies == [2_000_000, None, 2_000_000]
    (event,) = read(database, "select * from event where kind = 'unreadable' and data like '%\"power\"%'")
    assert "energy_uj could not be read" in event["message"]
    assert [record.getMessage() for record in handler.buffer].count(event["message"]) == 1
    assert all(0 <= row["value"] < 300 for row in read(database, "select value from sample"))


def lacking(collector: str) -> None:
    """Memory that cannot be read, from the start or from some moment on, is told once for each metric, with why."""
    machine = Machine(2, dram=True)
    machine.dram[1].counter.unlink()
    database = Path(tempfile.mkdtemp()) / "runs.db"
    logger, handler = logging.getLogger("umlaut_async"), BufferingHandler(100)
    logger.addHandler(handler)

    async def main() -> None:
        async with Benchmark(database, collector=collector) as benchmark:

            @BenchmarkSupervisor([EnergyMetric("my energy"), PowerMetric("my power", 0.02)], benchmark)
            async def stage() -> None:
                await asyncio.sleep(SETTLED)
                machine.packages[0].count(2_000_000)
                machine.dram[0].count(5)
                await asyncio.sleep(SETTLED)

            await stage()
            await benchmark.flush()
            machine.dram[0].show("")
            with patch.object(machine.dram[0], "show"):
                for _ in range(2):
                    await stage()
            await benchmark.flush()
            machine.dram[0].count(0)
            await asyncio.sleep(SETTLED)
            await stage()

    asyncio.run(main())
    energies = [call["results"]["energy"] for call in calls_of(database)]
    assert [energy["value"] for energy in energies] == [2_000_000] * 4
    assert [energy["data"].get("dram") for energy in energies] == [[5], None, None, [5]]
    events = read(database, "select * from event where kind = 'incomplete'")
    told = sorted((event["data"]["type"], event["data"]["part"], event["data"]["reason"]) for event in events)
    assert [(type_, part) for type_, part, _ in told] == [
        (type_, f"the memory (DRAM) of package {number}") for type_ in ("energy", "power") for number in (0, 1)
    ]
    for number, (_, _, reason) in enumerate(told):
        assert ("cannot open" if number % 2 else "intel-rapl:0:1/energy_uj could not be read") in reason
    assert read(database, "select * from event where kind in ('unreadable', 'unavailable')") == []
    assert {row["provenance"] for row in read(database, "select provenance from series")} == {"measured"}
    assert sorted(record.getMessage() for record in handler.buffer) == sorted(event["message"] for event in events)
    shown = CliRunner().invoke(command_line, ["show", str(database)], env={"COLUMNS": "500"}).stdout
    for event in events:
        assert event["message"].startswith(f"{event['data']['type']} 'my {event['data']['type']}' was recorded without")
        assert event["message"] in shown


def short() -> None:
    """Short calls that hold the interpreter have the power that there is, or none with a reason, and never 0."""
    machine = Machine()
    counting = os.fork()
    if counting == 0:
        # In a process of its own, since the stages keep every thread of this one waiting.
        began = time.perf_counter()
        while True:
            time.sleep(0.0005)
            machine.packages[0].show(round((time.perf_counter() - began) * 100e6))
    try:
        best_of_three(0.25, _short_calls)
    finally:
        os.kill(counting, signal.SIGKILL)
        os.waitpid(counting, 0)


def _short_calls() -> float:
    database = Path(tempfile.mkdtemp()) / "runs.db"
    durations = (0.002, 0.005, 0.02, 0.1)
    numbers = [float(number * 7919 % 10007) for number in range(20_000)]

    def compute(seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    def hold(seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            sorted(numbers)

    async def main() -> None:
        async with Benchmark(database) as benchmark:
            metrics: list[Metric] = [EnergyMetric("energy"), PowerMetric("power", interval=0.5)]
            await asyncio.sleep(SETTLED)
            for work in (compute, hold, time.sleep):
                for seconds in durations:
                    stage = BenchmarkSupervisor(metrics, benchmark, name=f"{work.__name__} {seconds}")(work)
                    for _ in range(5):
                        stage(seconds)
                        await asyncio.sleep(0.01)

    asyncio.run(main())
    told = {
        (event["data"]["stage"], event["data"]["type"])
        for event in read(database, "select * from event where kind = 'too-short'")
    }
    errors: list[float] = []
    for call in calls_of(database):
        assert {"power", "energy"} <= call["results"].keys() | {type_ for stage, type_ in told if stage == call["name"]}
        for result in call["results"].values():
            assert result["value"] > 0
            assert result["provenance"] in ("measured", "estimated")
        if call["name"].endswith("0.1"):
            watts = [call["results"][type_]["value"] for type_ in ("power", "energy")]
            watts[1] *= 1e3 / call["duration"]
            errors += [abs(each / 100 - 1) for each in watts]
    assert len(errors) == 30
    assert read(database, "select * from event where kind = 'unreadable'") == []
    return max(errors)


if __name__ == "__main__":
    scenario: Callable[..., Any] = globals()[sys.argv[1]]
    scenario(*sys.argv[2:])
