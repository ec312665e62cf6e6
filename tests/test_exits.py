"""What the end of the interpreter waits for: for as long as the records are being stored, and not for ever."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

BACKLOG = """
import asyncio, multiprocessing, sqlite3, sys
from contextlib import closing
from umlaut_async import Benchmark
from umlaut_async.collector import recorder

benchmark = Benchmark("runs.db", collector=sys.argv[1])
asyncio.run(benchmark.open())
with closing(sqlite3.connect("runs.db")) as connection:
    # So that what is stored in seconds is recorded in a moment, as by a stage that leaves the collector no time.
    connection.execute('''
        create trigger slow after insert on result begin
            select count(*) from (
                with recursive number(n) as (select 1 union all select n + 1 from number where n < 160)
                select n from number
            );
        end
    ''')

def work():
    for number in range(32_000):
        benchmark.log("value", "mine", number)

if sys.argv[2] != "child":
    if sys.argv[2] == "in short":
        recorder._LONGEST = 0.5
    work()
else:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0
"""


@pytest.mark.alone
@pytest.mark.parametrize(("collector", "whose"), [("thread", "own"), ("process", "own"), ("thread", "child")])
def test_what_takes_seconds_to_store_is_waited_for(
    run_script: RunScript, rows: Rows, collector: str, whose: str
) -> None:
    ended = run_script(BACKLOG, collector, whose)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select count(*) as n from result") == [{"n": 32_000}]
    assert rows("select status from run") == [{"status": "ok"}]


def test_it_is_not_waited_for_without_end(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(BACKLOG, "thread", "in short")
    assert ended.returncode == 0
    (line,) = ended.stderr.splitlines()
    assert re.fullmatch(r"the end of the process did not wait any longer for run \S+: up to \d+ records are lost", line)
    assert rows("select status from run") == [{"status": "running"}]
