"""GPU metrics: how often they ask the driver. A library answers as NVML, and counts its calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from tests import support
from tests.benchmarks.harness import Figures, Row
from tests.probes.fake_nvml import FakeNvml, Gpu, compiled

ROUNDS = 3

FOUR_METRICS = """
import asyncio
from umlaut_async import Benchmark, BenchmarkSupervisor, GPUEnergyMetric, GPUMemoryMetric, GPUMetric, GPUPowerMetric

bm = Benchmark("runs.db")

metrics = [kind("gpu", 0.1) for kind in (GPUMetric, GPUMemoryMetric, GPUPowerMetric, GPUEnergyMetric)]

@BenchmarkSupervisor(metrics, bm)
async def train():
    await asyncio.sleep(3)

async def main():
    async with bm:
        await train()

asyncio.run(main())
"""


def nvml_calls() -> Figures:
    """Compare the calls of NVML in a run with the readings that it stored: one for each field, tick and edge."""
    figures = Figures([], [])
    for _ in range(ROUNDS):
        with TemporaryDirectory() as name:
            folder = Path(name)
            fake = FakeNvml(compiled(folder).parent, folder / "nvml.txt")
            fake.says()
            settings = {"FAKE_NVML": str(fake.script), "LD_LIBRARY_PATH": str(folder)}
            environment = {key: value for key, value in support.environment().items() if key != "CUDA_VISIBLE_DEVICES"}
            environment |= settings
            program = subprocess.Popen([sys.executable, "-c", FOUR_METRICS], cwd=folder, env=environment)
            try:
                energy, deadline = Gpu().millijoules, monotonic() + 60
                while program.poll() is None:
                    assert monotonic() < deadline
                    # A counter that stands still is asked for, but nothing is stored of it.
                    energy += 100
                    fake.says(Gpu(millijoules=energy))
                    sleep(0.02)
            finally:
                program.kill()
            assert program.wait() == 0
            # The session, the device and the environment of the run are asked for a few times at most.
            repeated = [count for count in fake.calls().values() if count > 5]
            [call] = support.calls_of(folder / "runs.db")
            figures.ours.append(sum(repeated))
            figures.peer.append(sum(result["data"]["n"] for result in call["results"].values()))
    return figures


ROWS = [
    Row(
        "nvml-calls",
        "calls of NVML by four metrics of one GPU, 3 s at 10 Hz",
        "readings stored: field x (ticks + edges)",
        nvml_calls,
        1,
        count=True,
    ),
]
