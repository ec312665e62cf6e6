"""A process that the kernel kills since the memory of its control group has run out: its run says so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import support
from umlaut_async.probes import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Rows

LIMIT = 300 << 20
PATIENCE = 60

GROWS = """
import asyncio, sqlite3, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1], flush_interval=0.1)

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def grow():
    with sqlite3.connect("runs.db") as connection:
        for query in ("select 1 from run where environment like '%oom_kills%'", "select 1 from span"):
            while not connection.execute(query).fetchall():
                time.sleep(0.05)
    time.sleep(1.2)  # A heartbeat.
    kept = []
    while True:
        kept.append(bytes(1 << 20) * 4)

asyncio.run(benchmark.open())
grow()
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """Yield a control group within that of this process, with little memory."""
    path = (cgroup.memory_group() or "/").lstrip("/")
    if (version1 := Path("/sys/fs/cgroup/memory")).is_dir():
        folder, limits = version1 / path, {"memory.limit_in_bytes": LIMIT, "memory.memsw.limit_in_bytes": LIMIT}
    else:
        folder, limits = Path("/sys/fs/cgroup") / path, {"memory.max": LIMIT, "memory.swap.max": 0}
    made = folder / f"umlaut-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        with contextlib.suppress(OSError):  # Where swap is not counted the second is not there.
            for name, limit in limits.items():
                (made / name).write_text(str(limit))
        name = next(iter(limits))
        if not (made / name).exists() or (made / name).read_text().strip() != str(LIMIT):
            pytest.skip("the memory of a control group cannot be limited here")
        yield made
    finally:
        deadline = time.monotonic() + PATIENCE
        while made.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # Something in it may be about to end.
                made.rmdir()
            time.sleep(0.05)
        assert not made.exists()


def run_within(group: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a control group, to its end."""
    enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    return subprocess.run(
        ["sh", "-c", enter, "sh", *command],
        cwd=folder,
        env=support.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has control groups")
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_run_says_that_memory_had_run_out(
    group: Path, tmp_path: Path, database: Path, rows: Rows, collector: str
) -> None:
    ended = run_within(group, tmp_path, sys.executable, "-c", GROWS, collector)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    if collector == "process":
        support.until(lambda: rows("select status from run") == [{"status": "lost"}])
        (event,) = rows("select data from event where kind = 'lost'")
        assert (event["data"]["how"], event["data"]["oom_kills"]) == ("killed by SIGKILL", 1)
        assert 50 < event["data"]["memory"] < LIMIT / 2**20
    shown = run_within(group, tmp_path, sys.executable, "-m", "umlaut_async", "show", str(database))
    assert shown.returncode == 0, shown.stderr
    said = " ".join(shown.stdout.split())
    assert "the kernel killed 1 process(es) of its control group, whose memory had run out" in said
    assert "1 call was open: 'grow'" in said
