"""A program whose working directory has been removed, as a cleaning job does it to those that still run there.

Its arguments are the absolute path of the database and the collector. Prints what a relative path raises, in Python and
by the command line, and what the run was measured with.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric, UmlautError

folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)

try:
    Benchmark("runs.db")
except UmlautError as error:
    print(isinstance(error, FileNotFoundError), error)

bm = Benchmark(sys.argv[1], collector=sys.argv[2])


@BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory")], bm)
def stage() -> int:
    return 1


async def main() -> None:
    async with bm:
        print(stage())


asyncio.run(main())
# Without a working directory Python itself does not begin where anything is relative to it.
os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].partition(os.pathsep)[0]
umlaut = [sys.executable, "-m", "umlaut_async"]
for words in (["show", "runs.db"], ["export", sys.argv[1], "-f", "chrome", "-o", "out.json"]):
    ended = subprocess.run([*umlaut, *words], capture_output=True, text=True, check=False)
    print(ended.returncode, *ended.stderr.splitlines()[-1:])
