"""Forks, exits and threads that cannot be had: runs stay whole, nothing hangs, nothing is lost unsaid."""

from __future__ import annotations

import asyncio
import gc
import re
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from umlaut_async import Benchmark, BenchmarkSupervisor, ClosedError, StoreError, TimeMetric, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

FORK = """
import asyncio, gc, logging, os, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
logging.getLogger("umlaut_async").setLevel(logging.ERROR)
bm = Benchmark("runs.db", mode=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time")], bm)
def stage():
    return os.getpid()

async def use():
    async with bm:
        stage()
        bm.log("value", "mine", 1)
        await bm.flush()

if sys.argv[2] == "after":
    stage()
    time.sleep(float(sys.argv[3]))
ready, go_on = os.pipe()
if (child := os.fork()) == 0:
    import pickletools, sqlite3  # A child must be able to import what the collector was importing.
    assert stage() == os.getpid()
    asyncio.run(use())
    gc.collect()
    os.write(go_on, b"x")
    if sys.argv[3] == "alive":
        time.sleep(1)
    os._exit(0)
os.read(ready, 1)
if sys.argv[3] != "alive":
    assert os.waitpid(child, 0)[1] == 0
asyncio.run(use())
if sys.argv[3] == "alive":
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("when", ["after 0", "after 0.1", "after 0.2", "after 0.5"])
def test_a_forked_child_takes_part_in_the_run_of_its_parent(
    run_script: RunScript, rows: Rows, mode: str, when: str
) -> None:
    ended = run_script(FORK, mode, *when.split(), timeout=20)
    assert (ended.returncode, ended.stderr) == (0, "")
    (run,) = rows("select * from run")
    assert run["status"] == "ok"
    parent, child = rows("select * from process order by id")
    assert (parent["ending"], child["ending"]) == ("closed", "closed")
    counts = rows("select process_id as id, count(*) as calls from span group by process_id order by process_id")
    assert counts == [{"id": parent["id"], "calls": 2}, {"id": child["id"], "calls": 2}]
    assert [row["value"] for row in rows("select value from result where type = 'mine'")] == [1, 1]


@pytest.mark.parametrize("when", ["before dead", "before alive"])
def test_a_child_that_was_forked_before_the_run_begins_it_for_its_parent(
    run_script: RunScript, rows: Rows, when: str
) -> None:
    ended = run_script(FORK, "a", *when.split(), timeout=20)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select status from run") == [{"status": "ok"}]
    calls = rows("select count(*) as calls from span group by process_id order by process_id")
    assert calls == [{"calls": 1}, {"calls": 2}]


def test_where_no_thread_can_be_started_the_stage_goes_on(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    benchmark = Benchmark(database)
    stage = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert [stage("abc"), stage("abc")] == [3, 3]
    with pytest.raises(StoreError, match="can't start new thread"):
        asyncio.run(benchmark.flush())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_values_that_are_accepted_while_another_thread_closes_are_stored(database: Path, rows: Rows) -> None:
    benchmark = Benchmark(database)
    accepted = []

    def log() -> None:
        try:
            for number in range(100_000):
                benchmark.log("value", "mine", number)
                accepted.append(number)
        except ClosedError:
            return

    threads = [threading.Thread(target=log) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    asyncio.run(benchmark.close())
    for thread in threads:
        thread.join()
    account = benchmark.accounting
    assert account.recorded == len(accepted)
    assert account.stored == len(rows("select id from result"))
    assert account.recorded == account.stored + sum(account.dropped.values()) + account.in_flight


async def test_an_answer_that_came_while_the_loop_was_blocked_counts(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    await benchmark.open()
    monkeypatch.setattr(waiting, "_DEADLINE", 0.3)
    benchmark.log("value", "mine", 1)
    flushed = asyncio.create_task(benchmark.flush())
    await asyncio.sleep(0)
    time.sleep(1)
    await flushed


EXITS = """
import atexit, sys, threading, time
{first}
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
bm = Benchmark("runs.db")
{second}
"""


@pytest.mark.parametrize("begun", [True, False])
def test_what_an_exit_handler_records_is_stored(run_script: RunScript, rows: Rows, begun: bool) -> None:
    second = 'bm.log("first", "mine", 1)\n' * begun + 'atexit.register(lambda: bm.log("last", "mine", 2))'
    ended = run_script(EXITS.format(first="", second=second))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["description"] for row in rows("select * from result")] == ["first"] * begun + ["last"]


@pytest.mark.alone
def test_a_locked_database_does_not_hold_the_exit_up(run_script: RunScript, database: Path, tmp_path: Path) -> None:
    script = EXITS.format(first="began = time.monotonic()", second="""
import asyncio
asyncio.run(bm.open())
import sqlite3
locked = sqlite3.connect("runs.db", isolation_level=None)
locked.execute("begin immediate")
bm.log("value", "mine", 1)
import os
exiting = time.monotonic()
import umlaut_async.collector.recorder as recorder
atexit.unregister(recorder._end_all)
def end():
    recorder._end_all()
    print(time.monotonic() - exiting)
atexit.register(end)
""")  # fmt: skip
    ended = run_script(script)
    assert ended.returncode == 0
    assert "1 records are lost" in ended.stderr
    assert float(ended.stdout) < 2


async def test_a_refused_replacement_can_be_tried_again(database: Path, rows: Rows) -> None:
    async with Benchmark(database, "other") as other:
        other.log("value", "mine", 1)
        await other.flush()
        benchmark = Benchmark(database, "mine", mode="w")
        for _ in range(2):
            with pytest.raises(StoreError, match="writing"):
                await benchmark.open()
    await benchmark.open()
    await benchmark.close()
    assert [run["description"] for run in rows("select * from run")] == ["mine"]


async def test_a_run_that_is_there_already_is_refused_by_name(database: Path) -> None:
    async with Benchmark(database, run_uuid="one"):
        pass
    benchmark = Benchmark(database, run_uuid="one")
    with pytest.raises(StoreError, match="run one is in"):
        await benchmark.open()
    with pytest.raises(StoreError):
        await benchmark.close()


@pytest.mark.parametrize(("code", "status"), [(None, "ok"), (0, "ok"), (3, "error")])
async def test_an_exit_within_a_run_is_an_error_if_its_code_says_so(
    database: Path, rows: Rows, code: int | None, status: str
) -> None:
    with pytest.raises(SystemExit):
        async with Benchmark(database):
            raise SystemExit(code)
    assert [run["status"] for run in rows("select status from run")] == [status]


async def test_closing_what_was_never_used_closes_it(database: Path) -> None:
    benchmark = Benchmark(database)
    await benchmark.close()
    with pytest.raises(ClosedError):
        benchmark.log("value", "mine", 1)
    assert not database.exists()


def test_a_write_in_progress_elsewhere_ends_before_the_run_begins(database: Path, rows: Rows) -> None:
    async def write() -> None:
        async with Benchmark(database) as benchmark:
            benchmark.log("value", "mine", 1)

    asyncio.run(write())
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("begin immediate")
        thread = threading.Thread(target=lambda: asyncio.run(write()))
        thread.start()
        time.sleep(0.3)
        other.execute("rollback")
        thread.join(20)
    assert len(rows("select * from result")) == 2


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("first", ["a call", "a value"])
async def test_a_run_does_not_begin_after_what_began_it(database: Path, rows: Rows, collector: str, first: str) -> None:
    benchmark = Benchmark(database, collector=collector)
    if first == "a call":
        BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)([])
    else:
        benchmark.log("mine", "mine", 1)
    await benchmark.close()
    (run,) = rows("select run.started, process.started as joined from run join process on run_uuid = uuid")
    assert run["joined"] == run["started"]
    moments = rows("select started as moment from span union all select recorded from result")
    assert run["started"] <= min(row["moment"] for row in moments)


def ours() -> Counter[str]:
    """Return how many objects of this package there are, by class; those of the models SQLAlchemy caches."""
    gc.collect()
    classes = Counter(type(thing) for thing in gc.get_objects())
    known = re.compile(r"umlaut_async\.(?!store\.models)")
    return Counter({each.__qualname__: n for each, n in classes.items() if known.match(str(each.__module__))})


def test_a_benchmark_that_is_opened_and_closed_often_does_not_grow(
    database: Path, tmp_path: Path, rows: Rows, soak: bool
) -> None:
    turns = 10_000 if soak else 20

    async def work() -> None:
        benchmark = Benchmark(database, mode="w")
        stage = BenchmarkSupervisor([TimeMetric("time")], benchmark, "stage")(abs)

        async def turn() -> None:
            async with benchmark:
                assert stage(-1) == 1

        for _ in range(3):
            await turn()
        before = ours()
        for _ in range(turns):
            await turn()
        # Of the last collector something may still be on its way out, and what is made once may have come meanwhile.
        for _ in range(100):
            if not (more := {name: n for name, n in (ours() - before).items() if n >= turns // 2}):
                break
            await asyncio.sleep(0.02)
        assert not more

    asyncio.run(work())
    # Only the first of them has replaced the file.
    assert rows("select count(*) as n from run where status = 'ok'") == [{"n": turns + 3}]


OFTEN = """
import asyncio, multiprocessing.util
from umlaut_async import Benchmark

def often(benchmark):
    for _ in range(5):
        benchmark.log("value", "mine", 1)
        asyncio.run(benchmark.close())
        asyncio.run(benchmark.open())
    asyncio.run(benchmark.close())
    finalizers = multiprocessing.util._finalizer_registry.values()
    print(sum(each._callback.__name__ == "_end_all" for each in finalizers), flush=True)

if __name__ == "__main__":
    benchmark = Benchmark("runs.db")
    asyncio.run(benchmark.open())
    child = multiprocessing.get_context("fork").Process(target=often, args=(benchmark,))
    child.start()
    child.join()
    asyncio.run(benchmark.close())
"""


def test_a_child_that_opens_often_is_ended_once(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(OFTEN)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n", "")
    assert rows("select count(*) as n from result") == [{"n": 5}]
