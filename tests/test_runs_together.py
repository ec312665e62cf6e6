"""Many runs that begin together on one file that is not there yet, while a reader polls."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import environment
from umlaut_async.cli.database import reading
from umlaut_async.errors import NotAStoreError, StoreNotFoundError
from umlaut_async.store import queries
from umlaut_async.store.engine import open_store
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows

pytestmark = pytest.mark.alone

RATE = 1000
"""Records of each run in a second."""

# The children are forked from one that has imported all: otherwise they would spend the time of the test on imports.
RUNS = """
import asyncio, logging, os, sys, time, traceback
import umlaut_async.collector.opening, umlaut_async.collector.environment
from umlaut_async import Benchmark

logging.basicConfig(level=logging.WARNING)
path, runs, seconds, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])

async def record(number):
    async with Benchmark(path, name=str(number), flush_interval=0.2) as benchmark:
        began = time.monotonic()
        for count in range(int(seconds * rate)):
            benchmark.log("number", "counted", count)
            late = began + count / rate - time.monotonic()
            if count % 20 == 0 and late > 0:
                await asyncio.sleep(late)
            if count % 500 == 499:
                await benchmark.flush()

start, go = os.pipe()
children = []
for number in range(runs):
    child = os.fork()
    if not child:
        os.close(go)
        os.read(start, 1)
        try:
            asyncio.run(record(number))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(start)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.timeout(180)
def test_runs_that_begin_together_on_an_absent_file_lose_nothing(database: Path, rows: Rows, soak: bool) -> None:
    runs, seconds = (16, 10) if soak else (12, 2)
    command = [sys.executable, "-c", RUNS, *map(str, (database, runs, seconds, RATE))]
    seen = 0
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as children:
        while children.poll() is None:
            try:
                with reading(database) as session:
                    seen = max(seen, len(queries.runs(session)))
                    for run in queries.runs(session):
                        queries.trackers(session, run.uuid)[:1]
            except StoreNotFoundError:
                pass  # It does not exist yet.
            except NotAStoreError as error:
                if "empty" not in str(error):
                    raise
            time.sleep(0.05)
        assert (children.returncode, children.stderr.read() if children.stderr else "") == (0, "")
    assert seen > 0
    assert rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    stored = rows(
        "select name, status, count(*) as n, count(distinct value) as different, max(value) as last from run"
        " join process on run_uuid = uuid join result on process_id = process.id group by uuid"
    )
    assert sorted(int(run["name"]) for run in stored) == list(range(runs))
    expected = seconds * RATE
    assert {(run["status"], run["n"], run["different"], run["last"]) for run in stored} == {
        ("ok", expected, expected, expected - 1)
    }
    assert not rows("select * from event where kind = 'drop'")
    # The reader may have been there when the last run ended; whoever writes next tidies up.
    asyncio.run(open_and_close(database))
    assert os.listdir(database.parent) == [database.name]


async def open_and_close(database: Path) -> None:
    """Be the last writer."""
    await (await open_store(resolve(database))).dispose()
