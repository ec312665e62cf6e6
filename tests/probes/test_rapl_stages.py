"""Power and energy of supervised stages, with real pyRAPL on fake counters and without any counters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import fake_rapl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls, Rows, RunScript

pytestmark = pytest.mark.alone

SCENARIOS = [
    ("exact", "1", "no dram", "200", str(fake_rapl.TOP), "1"),
    ("exact", "2", "dram", "300", str(fake_rapl.TOP), "1"),
    ("exact", "2", "dram", "900", "500000000", "2.9"),
    ("exact", "2", "dram", "900", "500000000", "1.3", "process"),
    ("step",),
    ("stuck",),
    ("gap",),
    ("short",),
    ("lacking", "thread"),
    ("lacking", "process"),
]


@pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=" ".join)
def test_stages(scenario: tuple[str, ...]) -> None:
    """What calls on a machine with counters come to, each in a process and a mount namespace of its own."""
    fake_rapl.run("-m", "tests.probes.rapl_stages", *scenario)


WITHOUT_COUNTERS = """
import asyncio, logging, sys

class Kept(logging.Handler):
    def emit(self, record):
        kept.append((record.name, record.levelname, record.getMessage()))

kept = []
logging.getLogger().addHandler(Kept())
logging.getLogger().setLevel(logging.WARNING)

from umlaut_async import Benchmark, BenchmarkSupervisor
from umlaut_async.metrics.energy import EnergyMetric, PowerMetric

async def main():
    async with Benchmark("runs.db") as benchmark:
        @BenchmarkSupervisor([EnergyMetric("my energy"), PowerMetric("my power", 0.01)], benchmark)
        async def stage(number):
            await asyncio.sleep(0.05)
            return number

        for number in range(3):
            assert await stage(number) == number

asyncio.run(main())
assert len(kept) == 2, kept
for (logger, level, message), name in zip(sorted(kept, key=lambda each: each[2]), ("my energy", "my power")):
    assert (logger, level) == ("umlaut_async", "WARNING")
    assert name in message and "no energy counters" in message and "sudo modprobe intel_rapl_msr" in message
assert not {"pandas", "pymongo"} & set(sys.modules)
"""


@pytest.mark.skipif(os.path.exists("/sys/class/powercap/intel-rapl"), reason="this machine has energy counters")
def test_machine_without_counters(tmp_path: Path, run_script: RunScript, ended_calls: EndedCalls, rows: Rows) -> None:
    """Stages run as ever; each metric says once what is missing and what helps, and its numbers are absent."""
    for name in ("pandas", "pymongo"):
        (tmp_path / f"{name}.py").touch()
    ended = run_script(WITHOUT_COUNTERS)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [(call["status"], call["results"]) for call in ended_calls()] == [("ok", {})] * 3
    assert rows("select * from sample") == []
    assert {row["provenance"] for row in rows("select provenance from series")} == {"unavailable"}
    events = rows("select * from event where kind = 'unavailable'")
    assert sorted(event["data"]["type"] for event in events) == ["energy", "power"]
