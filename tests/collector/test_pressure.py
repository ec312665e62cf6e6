"""Too much at once: buffers are limited, what is dropped is counted and told of, and all else stays."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests import support
from tests.test_flush import stalled
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, MemoryMetric, Metric, StoreError, TimeMetric
from umlaut_async.cli.show import print_run
from umlaut_async.collector.account import Ledger
from umlaut_async.collector.limits import FULL, Limits, Tally
from umlaut_async.collector.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Rows

LOOK = 1024
"""How often calls look whether the buffer is full."""


class Slow(Metric):
    """Is read in a thread, at the edges of calls and beside."""

    measure_type = "slow"
    unit = "things"

    def read(self) -> float:
        return 1.0


def limited(database: Path, limits: Limits, collector: str = "thread") -> Benchmark:
    """Return a benchmark whose buffers hold only so much."""
    bm = Benchmark(database, collector=collector, flush_interval=0.05)
    bm._settings = bm._settings._replace(limits=limits)
    return bm


def check_account(bm: Benchmark, recorded: int) -> None:
    """Check the equation of the account."""
    account = bm.accounting
    assert account.recorded == recorded
    assert account.recorded == account.stored + sum(account.dropped.values()) + account.in_flight
    assert account.in_flight >= 0


def check_stored(bm: Benchmark, rows: Rows, recorded: int) -> int:
    """Check after a flush that account, database and events agree; return how many records were dropped."""
    account = bm.accounting
    assert (account.recorded, account.in_flight, set(account.dropped)) == (recorded, 0, {FULL})
    (stored,) = rows(
        "select (select count(*) from span where status != 'running')"
        " + (select count(*) from result where span is null) as n"
    )
    assert stored["n"] == account.stored == recorded - account.dropped[FULL]
    events = [row["data"] for row in rows("select data from event where kind = 'drop'")]
    assert sum(event.get("count", 0) for event in events) == account.dropped[FULL]
    return account.dropped[FULL]


@contextlib.contextmanager
def blocked_loop(bm: Benchmark) -> Iterator[None]:
    """Keep the loop of the collector in this process, or of what sends to it, from doing anything at all."""
    (recorder,) = bm._recorders.values()
    assert recorder.link._listener is not None
    go_on, waits = threading.Event(), threading.Event()

    def wait() -> None:
        waits.set()
        go_on.wait(30)

    recorder.link._listener[0].call_soon_threadsafe(wait)
    assert waits.wait(30)
    try:
        yield
    finally:
        go_on.set()


@contextlib.contextmanager
def stopped_collector(database: Path) -> Iterator[None]:
    """Stop the process of the collector."""
    found = {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if has_open(folder, database)} - {os.getpid()}
    # It may have just forked a program, which has its files until it begins.
    (pid,) = {pid for pid in found if parent_of(pid) not in found}
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).ppid()
    return None


def has_open(process: Path, file: Path) -> bool:
    """Return whether a process has a file open."""
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) == str(file):
                    return True
    return False


def produce(bm: Benchmark, threads: int, calls: int, values: int) -> int:
    """Record so many calls and values from each of several threads; return how many that are."""
    stage = BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu"), Slow("slow", interval=5)], bm, "stage")(abs)

    def work() -> None:
        for number in range(calls):
            assert stage(-number) == number
        for number in range(values):
            bm.log("values", "test", number)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * (calls + values)


@pytest.mark.parametrize("stall", ["database", "loop"])
def test_records_beyond_the_limit_are_counted_in_thread_mode(database: Path, rows: Rows, stall: str) -> None:
    bm = limited(database, Limits(records=2000))
    asyncio.run(bm.open())
    recorded = produce(bm, 1, 10, 10)
    asyncio.run(bm.flush())
    with stalled(database) if stall == "database" else blocked_loop(bm):
        recorded += produce(bm, 4, 2000, 500)
        check_account(bm, recorded)
        assert bm.accounting.in_flight >= 2000
        # A second time, while nothing at all is taken any more.
        recorded += produce(bm, 2, 300, 100)
        check_account(bm, recorded)
    with pytest.raises(StoreError, match=f"{FULL}: "):
        asyncio.run(bm.flush())
    dropped = check_stored(bm, rows, recorded)
    # The buffer before the collector and the one before the database.
    assert recorded - 2 * (2000 + 5 * LOOK) <= dropped <= recorded - 2000 - 20
    # There is room again.
    more = produce(bm, 1, 50, 50)
    asyncio.run(bm.flush())
    assert check_stored(bm, rows, recorded + more) == dropped
    asyncio.run(bm.close())
    (run,) = rows("select collector as data from run")
    assert (run["data"]["recorded"], run["data"]["dropped"]) == (recorded + more, {FULL: dropped})


@pytest.mark.parametrize("stall", ["collector", "loop", "database"])
def test_records_beyond_the_limit_are_counted_across_the_socket(database: Path, rows: Rows, stall: str) -> None:
    bm = limited(database, Limits(records=2000), "process")
    asyncio.run(bm.open())
    recorded = produce(bm, 1, 10, 10)
    asyncio.run(bm.flush())
    stalling: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
        "collector": lambda: stopped_collector(database),
        "loop": lambda: blocked_loop(bm),
        "database": lambda: stalled(database),
    }
    with stalling[stall]():
        recorded += produce(bm, 4, 4000, 1000)
        check_account(bm, recorded)
        time.sleep(0.3)
        recorded += produce(bm, 2, 4000, 1000)
        check_account(bm, recorded)
        time.sleep(0.3)
        check_account(bm, recorded)
    with pytest.raises(StoreError, match=f"{FULL}: "):
        asyncio.run(bm.flush())
    dropped = check_stored(bm, rows, recorded)
    asyncio.run(bm.close())
    check_account(bm, recorded)
    (run,) = rows("select collector as data from run")
    assert (run["data"]["recorded"], run["data"]["dropped"]) == (recorded, {FULL: dropped})


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_values_are_limited_by_their_size(database: Path, rows: Rows, collector: str) -> None:
    bm = limited(database, Limits(data=1 << 20), collector)
    asyncio.run(bm.open())
    text = "x" * (1 << 17)
    with stalled(database) if collector == "thread" else stopped_collector(database):
        for _ in range(40):
            bm.log("texts", "test", text)
        check_account(bm, 40)
    with pytest.raises(StoreError, match=FULL):
        asyncio.run(bm.flush())
    assert 40 - 25 <= check_stored(bm, rows, 40) <= 40 - 8
    for _ in range(40):
        bm.log("texts", "test", text)
        asyncio.run(bm.flush())
    asyncio.run(bm.close())
    assert bm.accounting.recorded == 80
    assert len(rows("select id from result where data = ?", f'"{text}"')) == bm.accounting.stored


@pytest.mark.alone
def test_the_oldest_samples_go_first_and_calls_still_know_of_them(database: Path, rows: Rows) -> None:
    bm = limited(database, Limits(samples=40))

    @BenchmarkSupervisor([MemoryMetric("memory", interval=0.002)], bm)
    async def stage() -> None:
        await asyncio.sleep(0.1)
        with stalled(database):
            await asyncio.sleep(0.6)

    async def work() -> None:
        async with bm:
            await stage()

    asyncio.run(work())
    account = bm.accounting
    assert (account.recorded, account.stored, account.dropped) == (1, 1, {})
    dropped = sum(row["data"]["samples"] for row in rows("select data from event where kind = 'drop'"))
    assert dropped > 0
    (run,) = rows("select collector as data from run")
    assert run["data"]["samples_dropped"] == dropped
    (result,) = rows("select data from result where type = 'memory'")
    (stored,) = rows("select count(*) as n from sample")
    # Two readings at the edges count, of which samples are made as well; ticks after the end do not.
    assert abs(result["data"]["n"] - dropped - stored["n"]) <= 6
    times = [row["t"] for row in rows("select t from sample order by id")]
    assert times == sorted(times)


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_what_the_collector_costs_is_stored_with_the_run(database: Path, rows: Rows, collector: str) -> None:
    bm = Benchmark(database, collector=collector)

    @BenchmarkSupervisor([CPUMetric("cpu", interval=0.01)], bm)
    async def stage() -> None:
        await asyncio.sleep(0.05)

    async def work() -> None:
        async with bm:
            await stage()

    asyncio.run(work())
    (run,) = rows("select collector as data from run")
    data = run["data"]
    assert data["mode"] == collector
    assert 0 < data["cpu_time"] < 60
    assert (data["memory"] is None) == (collector == "thread")
    assert data["memory"] is None or 5 < data["memory"] < 500
    assert 0 < data["worst_lateness"] < 60
    missed = sum(row["data"]["missed"] for row in rows("select data from event where kind = 'missed-ticks'"))
    assert data["ticks_missed"] == missed
    assert data["samples_dropped"] == 0


@pytest.mark.alone
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_late_collector_names_the_cure(database: Path, collector: str, capsys: pytest.CaptureFixture[str]) -> None:
    bm = Benchmark(database, collector=collector)

    @BenchmarkSupervisor([CPUMetric("cpu", interval=0.01)], bm)
    def stage() -> None:
        # Holds the interpreter as much of C code does.
        ctypes.PyDLL(None).usleep(500_000)

    async def work() -> None:
        async with bm:
            stage()

    asyncio.run(work())
    print_run(database)
    printed = " ".join(capsys.readouterr().out.split())
    assert ('collector="process"' in printed) == (collector == "thread")
    (run,) = support.read(database, "select collector as data from run")
    if collector == "thread":
        assert run["data"]["ticks_missed"] >= 10
        assert run["data"]["worst_lateness"] > 0.2


def test_a_tally_is_exact() -> None:
    tally, taken = Tally(), []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.append(tally.take())

    def add() -> None:
        for _ in range(20_000):
            tally.add()

    taker, adders = threading.Thread(target=take), [threading.Thread(target=add) for _ in range(8)]
    for thread in (taker, *adders):
        thread.start()
    for thread in adders:
        thread.join()
    done.set()
    taker.join()
    assert sum(taken) + tally.waiting == 160_000


def test_records_that_move_are_counted_once() -> None:
    total, turn = 10_000, 2_500
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # So that one often looks while the other is in the midst of it.
    try:
        for _ in range(20):
            link, ledger = Link(), Ledger()
            for number in range(total):
                link.append((1, number, None, "task", 0, 1, "ok", None, None, None, None, (), ()))
            taker = threading.Thread(target=take_in_turns, args=(link, ledger, turn))
            taker.start()
            recorded = {link.account(ledger).recorded}
            while taker.is_alive():
                recorded.add(link.account(ledger).recorded)
            assert recorded == {total}
            assert link.account(ledger) == (total, 0, {}, total)
    finally:
        sys.setswitchinterval(interval)


def take_in_turns(link: Link, ledger: Ledger, turn: int) -> None:
    while link.records:
        link.take(turn, ledger)


@pytest.mark.parametrize(
    ("collector", "stall"), [("thread", "database"), ("thread", "loop"), ("process", "collector"), ("process", "loop")]
)
def test_a_dropped_call_that_was_seen_running_does_not_run_for_ever(
    database: Path, rows: Rows, collector: str, stall: str
) -> None:
    bm = limited(database, Limits(records=2000), collector)
    outer = BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory")], bm, "outer")
    asyncio.run(bm.open())
    with contextlib.ExitStack() as stack:
        calls = contextlib.ExitStack()
        for _ in range(3):
            calls.enter_context(outer)
        support.until(lambda: rows("select id from span where status = 'running'")[2:])
        stack.enter_context(
            {"collector": stopped_collector, "database": stalled}[stall](database)
            if stall != "loop"
            else blocked_loop(bm)
        )
        recorded = produce(bm, 2, 4000, 0)
        if stall != "loop":
            time.sleep(0.3)
            recorded += produce(bm, 2, 4000, 0)
        calls.close()
        recorded += 3
    with pytest.raises(StoreError, match=f"{FULL}: "):
        asyncio.run(bm.flush())
    check_stored(bm, rows, recorded)
    asyncio.run(bm.flush())
    assert rows("select id, name from span where status = 'running'") == []
    asyncio.run(bm.close())
    dropped = check_stored(bm, rows, recorded)
    assert rows("select distinct status from span") == [{"status": "ok"}]
    (run,) = rows("select status, collector as data from run")
    assert (run["status"], run["data"]["recorded"], run["data"]["dropped"]) == ("ok", recorded, {FULL: dropped})


def test_a_refused_call_that_was_seen_running_does_not_run_for_ever(database: Path, rows: Rows) -> None:
    bm = Benchmark(database, flush_interval=0.05)
    outer = BenchmarkSupervisor([TimeMetric("time")], bm, "outer")
    asyncio.run(bm.open())
    with outer:
        support.until(lambda: rows("select id from span where status = 'running'"))
        support.execute(
            database,
            "create trigger no before insert on span when new.status = 'ok' begin select raise(abort, 'no'); end",
        )
    with pytest.raises(StoreError):
        asyncio.run(bm.flush())
    asyncio.run(bm.close())
    assert rows("select status from span") == []
    assert bm.accounting.dropped == {"refused": 1}
