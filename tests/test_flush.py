"""What `flush` and `close` promise: on disk when they return, from every thread and loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import support
from umlaut_async import Benchmark, BenchmarkSupervisor, StoreError, TimeMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

THREADS = 4
FLUSHES = 500
PRODUCERS = 16
EXIT_SECONDS = 3.0


# What another process sees

RECORD_AND_WAIT = """
import asyncio, sys, threading
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark("runs.db")

@BenchmarkSupervisor([TimeMetric("time")], bm)
def stage():
    pass

def produce(done, end):
    for _ in range(250):
        stage()
    done.release()
    end.wait()

async def main():
    done, end = threading.Semaphore(0), threading.Event()
    for _ in range(8):
        threading.Thread(target=produce, args=(done, end), daemon=True).start()
    for _ in range(8):
        await asyncio.to_thread(done.acquire)
    for number in range(100):
        bm.log("number", "test", number)
    await bm.flush()
    print("flushed", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def test_another_process_sees_what_every_thread_recorded_before_a_flush(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(RECORD_AND_WAIT)
    child = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=support.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "flushed\n"
            assert count_of(tmp_path / "runs.db") == (8 * 250, 8 * 250 + 100)
        finally:
            child.send_signal(signal.SIGKILL)
    assert count_of(tmp_path / "runs.db") == (8 * 250, 8 * 250 + 100)


NEVER_CLOSED = """
import asyncio, sys, threading, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric, TimeMetric

bm = Benchmark("runs.db")

@BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu"), MemoryMetric("memory")], bm)
async def stage():
    await asyncio.sleep(0.01)

async def main():
    await stage()
    bm.log("loss", "test", 0.5)
    ending()

def ending():
    print(time.time(), flush=True)
    {ending}

{start}
"""


@pytest.mark.alone
@pytest.mark.parametrize(
    ("ending", "start", "exit_code"),
    [
        ("pass", "asyncio.run(main())", 0),
        ("raise ValueError('of the user')", "asyncio.run(main())", 1),
        ("sys.exit(3)", "asyncio.run(main())", 3),
        ("raise KeyboardInterrupt", "asyncio.run(main())", 130),
        ("pass", "thread = threading.Thread(target=lambda: asyncio.run(main())); thread.start()", 0),
        ("pass", "asyncio.run(main()); threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", 0),
    ],
    ids=["normal", "exception", "sys.exit", "interrupt", "other thread", "daemon thread left"],
)
def test_a_script_that_never_closes_has_its_data(
    run_script: support.RunScript, rows: support.Rows, tmp_path: Path, ending: str, start: str, exit_code: int
) -> None:
    ended = run_script(NEVER_CLOSED.format(ending=ending, start=start))
    exit_seconds = time.time() - float(ended.stdout)
    # Python ends an interrupted script by the signal itself, unless a thread imports something at that moment.
    assert ended.returncode in ((1, 130, -signal.SIGINT) if exit_code == 130 else (exit_code,)), ended.stderr
    assert exit_seconds < EXIT_SECONDS
    assert ("Traceback" in ended.stderr) == (exit_code in (1, 130))
    assert "umlaut" not in ended.stderr
    assert [(call["name"], call["status"]) for call in support.calls_of(tmp_path / "runs.db")] == [("stage", "ok")]
    assert sorted(row["type"] for row in rows("select type from result")) == ["cpu", "memory", "test", "time"]
    assert [row["status"] for row in rows("select status from run where ended is not null")] != ["running"]
    assert len(rows("select * from run where ended is not null")) == 1


def test_a_script_that_only_imports_and_decorates_leaves_no_file(run_script: support.RunScript, tmp_path: Path) -> None:
    ended = run_script(
        "from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric\n"
        "stage = BenchmarkSupervisor([TimeMetric('time')], Benchmark('runs.db'))(print)\n"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "runs.db").exists()


# Closing


async def test_close_twice(database: Path, rows: support.Rows) -> None:
    bm = Benchmark(database)
    bm.log("loss", "test", 1)
    await bm.close()
    await bm.close()
    assert len(rows("select * from result")) == 1
    assert [row["status"] for row in rows("select status from run")] == ["ok"]


async def test_close_from_many_tasks_and_threads_at_once(database: Path, rows: support.Rows) -> None:
    bm = Benchmark(database)
    for number in range(100):
        bm.log("number", "test", number)
    await asyncio.gather(
        *(bm.close() for _ in range(5)), *(asyncio.to_thread(lambda: asyncio.run(bm.close())) for _ in range(5))
    )
    assert len(rows("select * from result")) == 100
    assert len(rows("select * from run where status = 'ok'")) == 1


@pytest.mark.parametrize("way", ["flush", "close"])
async def test_what_is_called_while_another_task_closes_waits_too(database: Path, rows: support.Rows, way: str) -> None:
    bm = Benchmark(database)
    await bm.open()
    with stalled(database):
        bm.log("loss", "test", 1)
        closing_task = asyncio.create_task(bm.close())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(getattr(bm, way)())
        await asyncio.sleep(0.05)
        returned_early = second.done()
    await second
    assert not returned_early
    assert len(rows("select * from result")) == 1
    await closing_task


async def test_close_of_a_benchmark_that_was_never_used(database: Path) -> None:
    bm = Benchmark(database)
    await bm.close()
    await bm.close()


async def test_open_after_close_starts_a_new_run(database: Path, rows: support.Rows) -> None:
    bm = Benchmark(database)
    for _ in range(2):
        async with bm:
            bm.log("loss", "test", 1)
    assert [row["status"] for row in rows("select status from run")] == ["ok", "ok"]
    assert [
        row["n"]
        for row in rows("select count(*) as n from result join process on process.id = process_id group by run_uuid")
    ] == [1, 1]


# One benchmark, several loops and threads


def measured(bm: Benchmark) -> Callable[[], None]:
    """Return a stage that is an ordinary function."""

    @BenchmarkSupervisor([TimeMetric("time")], bm)
    def stage() -> None:
        pass

    return stage


def test_two_consecutive_loops(benchmark: Benchmark, ended_calls: support.EndedCalls) -> None:
    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0)

    async def work() -> None:
        await stage()
        await benchmark.flush()

    for runs in (1, 2):
        asyncio.run(work())
        assert len(ended_calls("stage")) == runs


def test_two_loops_at_once(benchmark: Benchmark, ended_calls: support.EndedCalls) -> None:
    together = threading.Barrier(2)

    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def stage(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    async def work() -> list[int]:
        together.wait(10)
        numbers = list(await asyncio.gather(*map(stage, range(50))))
        await benchmark.flush()
        return numbers

    with ThreadPoolExecutor(2) as pool:
        assert [future.result(30) for future in [pool.submit(asyncio.run, work()) for _ in range(2)]] == [
            list(range(50))
        ] * 2
    assert len(ended_calls("stage")) == 100


def test_plain_threads(benchmark: Benchmark, ended_calls: support.EndedCalls) -> None:
    stage = measured(benchmark)
    # All are there at once: the identifier of a thread that has ended is used again.
    together = threading.Barrier(8)

    def work() -> None:
        together.wait(30)
        for _ in range(50):
            stage()
        together.wait(30)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(benchmark.flush())
    assert len(ended_calls("stage")) == 400
    assert len({call["task"] for call in ended_calls("stage")}) >= 2


async def test_a_function_inside_a_running_loop(benchmark: Benchmark, ended_calls: support.EndedCalls) -> None:
    measured(benchmark)()
    await asyncio.to_thread(measured(benchmark))
    await benchmark.flush()
    assert len(ended_calls("stage")) == 2


# Many flushes at once


class Ledger:
    """What each thread has logged; what a flush promises is what stood here when it was called."""

    def __init__(self, bm: Benchmark, database: Path) -> None:
        self.bm = bm
        self.database = database
        self.logged = [0] * THREADS
        self.missing: list[tuple[int, int]] = []
        self.answers = itertools.count()
        self.calls = itertools.count()

    async def flush(self, thread: int, check: bool) -> None:
        """Log a value, flush, and compare what is on disk then with what had been logged."""
        self.bm.log(f"thread {thread}", "test", self.logged[thread])
        self.logged[thread] += 1
        promised = list(self.logged)
        next(self.calls)
        try:
            await self.bm.flush()
        finally:
            next(self.answers)
        if check:
            stored = self.stored()
            self.missing += [pair for pair in zip(stored, promised, strict=True) if pair[0] < pair[1]]

    def stored(self) -> list[int]:
        """Return how many values of each thread are on disk."""
        found = support.read(self.database, "select description, count(*) as n from result group by description")
        counts = {row["description"]: row["n"] for row in found}
        return [counts.get(f"thread {thread}", 0) for thread in range(THREADS)]


async def all_return(ledger: Ledger, thread: int, flushes: int) -> None:
    """Flush many times at once and await them all."""
    await asyncio.gather(*(ledger.flush(thread, number % 10 == 0) for number in range(flushes)))


async def some_cancelled(ledger: Ledger, thread: int, flushes: int) -> None:
    """Flush many times at once and cancel two thirds of them: some before they run, some while they wait."""
    tasks = [asyncio.create_task(ledger.flush(thread, number % 10 == 0)) for number in range(flushes)]
    for number, task in enumerate(tasks):
        if number % 3:
            task.cancel()
        if number % 5 == 0:
            await asyncio.sleep(0.002)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


async def ends_early(ledger: Ledger, thread: int, flushes: int) -> None:
    """Leave flushes behind, which `asyncio.run` cancels before it closes the loop."""
    tasks = [asyncio.create_task(ledger.flush(thread, check=False)) for _ in range(flushes)]
    await tasks[0]


def closes_its_loop(ledger: Ledger, thread: int, flushes: int) -> None:
    """Close loops while flushes wait on them, so that their answers have nowhere to go."""
    for _ in range(5):
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(ledger.flush(thread, check=False)) for _ in range(flushes // 5)]
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # to abandon them is the point


@pytest.fixture
def without_gc_complaints() -> Iterator[None]:
    """Let tasks of closed loops be destroyed inside the test that abandoned them."""
    import gc

    yield
    gc.collect()


@pytest.mark.usefixtures("without_gc_complaints")
def test_many_flushes_some_cancelled_some_loops_closed(benchmark: Benchmark, database: Path) -> None:
    ledger = Ledger(benchmark, database)
    asyncio.run(benchmark.open())
    each = FLUSHES // THREADS
    ways: list[Callable[[], object]] = [
        lambda: asyncio.run(all_return(ledger, 0, each)),
        lambda: asyncio.run(some_cancelled(ledger, 1, each)),
        lambda: asyncio.run(ends_early(ledger, 2, each)),
        lambda: closes_its_loop(ledger, 3, each),
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(way) for way in ways]:
            future.result(30)
    asyncio.run(asyncio.wait_for(benchmark.flush(), 10))
    assert ledger.missing == []
    assert ledger.stored() == ledger.logged
    assert ledger.logged[0] == ledger.logged[3] == each
    account = benchmark.accounting
    assert (account.recorded, account.stored, account.dropped, account.in_flight) == (
        sum(ledger.logged),
        sum(ledger.logged),
        {},
        0,
    )


async def test_a_cancelled_flush_still_stores(benchmark: Benchmark, rows: support.Rows) -> None:
    await benchmark.flush()
    for number in range(50):
        benchmark.log("number", "test", number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.0001 * (number % 10)):
                await benchmark.flush()
    await benchmark.flush()
    assert [row["value"] for row in rows("select value from result order by recorded, id")] == list(range(50))


# Records that cannot be stored

REFUSE_RESULT = """create trigger poison before insert on result when new.description = 'poison'
    begin select raise(abort, 'this record is poison'); end"""
REFUSE_SPAN = """create trigger poison before insert on span when new.name = 'poison'
    begin select raise(abort, 'this record is poison'); end"""


def execute(database: Path, sql: str) -> None:
    """Execute a statement through a connection of our own."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as connection:
        connection.execute(sql)


@pytest.mark.parametrize("poisons", [1, 7])
async def test_a_value_that_cannot_be_stored_costs_only_itself(
    benchmark: Benchmark, database: Path, rows: support.Rows, poisons: int
) -> None:
    await benchmark.open()
    execute(database, REFUSE_RESULT)
    for number in range(300):
        benchmark.log("good", "test", number)
        if number % 40 == 20 and number // 40 < poisons:
            benchmark.log("poison", "test", number)
    with pytest.raises(StoreError):
        await benchmark.flush()
    assert [row["value"] for row in rows("select value from result order by id")] == list(range(300))
    account = benchmark.accounting
    assert (account.recorded, account.stored, sum(account.dropped.values())) == (300 + poisons, 300, poisons)

    benchmark.log("good", "test", 300)
    await benchmark.flush()
    assert len(rows("select * from result")) == 301
    drops = rows("select * from event where kind = 'drop'")
    assert sum(drop["data"]["count"] for drop in drops) == poisons


async def test_a_call_that_cannot_be_stored_costs_only_itself(
    benchmark: Benchmark, database: Path, rows: support.Rows, ended_calls: support.EndedCalls
) -> None:
    stage = measured(benchmark)
    poison = BenchmarkSupervisor([TimeMetric("time")], benchmark, name="poison")
    await benchmark.open()
    execute(database, REFUSE_SPAN)
    for _ in range(50):
        stage()
    with poison:
        stage()
    for _ in range(50):
        stage()
    with pytest.raises(StoreError):
        await benchmark.flush()
    assert len(ended_calls("stage")) == 101
    assert len(rows("select * from result")) == 101
    assert benchmark.accounting.stored == 101
    assert sum(benchmark.accounting.dropped.values()) == 1


# The account


@contextlib.contextmanager
def stalled(database: Path) -> Iterator[None]:
    """Keep the writer from writing, as another process does that holds the lock."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as connection:
        connection.execute("begin immediate")
        try:
            yield
        finally:
            connection.execute("rollback")


class Burst(threading.Thread):
    """A producer: so many calls, values and poisonous values."""

    def __init__(self, bm: Benchmark, stage: Callable[[], None], calls: int, values: int, poisons: int) -> None:
        super().__init__()
        self.work = [stage] * calls
        self.work += [lambda: bm.log("good", "test", 1)] * values
        self.work += [lambda: bm.log("poison", "test", 1)] * poisons

    def run(self) -> None:
        """Produce."""
        for work in self.work:
            work()


bursts = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 1)), min_size=PRODUCERS, max_size=PRODUCERS
)
moments = st.tuples(bursts, st.booleans(), st.sampled_from([0.0, 0.05, 0.3]), st.booleans())


def check_accounting(database: Path, program: list[tuple[list[tuple[int, int, int]], bool, float, bool]]) -> None:
    """Run bursts from 16 threads, some while the writer is stalled, and compare the account at each quiet moment."""
    bm = Benchmark(database, flush_interval=0.05)
    stage = measured(bm)
    recorded = stored = dropped = 0
    asyncio.run(bm.open())
    execute(database, REFUSE_RESULT)
    try:
        for burst, stall, seconds, flush in program:
            with stalled(database) if stall else contextlib.nullcontext():
                threads = [Burst(bm, stage, *numbers) for numbers in burst]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                recorded += sum(map(sum, burst))
                stored += sum(calls + values for calls, values, _ in burst)
                dropped += sum(poisons for _, _, poisons in burst)
                time.sleep(seconds)
                account = bm.accounting
                assert account.recorded == recorded
                assert account.recorded == account.stored + sum(account.dropped.values()) + account.in_flight
                assert account.in_flight >= 0
                if stall:
                    calls, results = count_of(database)
                    assert calls + logged(results, calls) == account.stored
            if flush:
                with contextlib.suppress(StoreError):  # the poison
                    asyncio.run(bm.flush())
                account = bm.accounting
                assert (account.recorded, account.stored, account.in_flight) == (recorded, stored, 0)
                assert sum(account.dropped.values()) == dropped
                calls, results = count_of(database)
                assert calls + logged(results, calls) == stored
    finally:
        with contextlib.suppress(StoreError):
            asyncio.run(bm.close())
    account = bm.accounting
    assert (account.recorded, account.stored, account.in_flight) == (recorded, stored, 0)
    assert sum(account.dropped.values()) == dropped
    (run,) = support.read(database, "select json_extract(collector, '$.recorded') as n, collector as data from run")
    assert (run["n"], run["data"]["stored"], sum(run["data"]["dropped"].values())) == (recorded, stored, dropped)


def test_the_account_holds_while_the_writer_stalls(tmp_path_factory: pytest.TempPathFactory, soak: bool) -> None:
    @settings(
        max_examples=100 if soak else 8,
        deadline=None,
        derandomize=not soak,
        database=None,
        phases=[Phase.generate],  # a failure depends on the moment, so there is nothing to shrink
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(moments, min_size=1, max_size=4))
    def check(program: list[tuple[list[tuple[int, int, int]], bool, float, bool]]) -> None:
        check_accounting(tmp_path_factory.mktemp("account") / "runs.db", program)

    check()


def count_of(database: Path) -> tuple[int, int]:
    """Return how many ended calls and how many results are on disk."""
    (row,) = support.read(
        database,
        "select (select count(*) from span where status != 'running') as calls,"
        " (select count(*) from result) as results",
    )
    return row["calls"], row["results"]


def logged(results: int, calls: int) -> int:
    """Return how many of the results were logged, where each call has one."""
    return results - calls


def test_the_writer_waits_for_a_lock_that_another_process_holds(database: Path, rows: support.Rows) -> None:
    bm = Benchmark(database)
    asyncio.run(bm.open())
    with stalled(database):
        bm.log("loss", "test", 1)
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(bm.flush(), 0.3))
        assert rows("select * from result") == []
    asyncio.run(bm.close())
    assert len(rows("select * from result")) == 1
