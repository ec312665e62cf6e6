"""All processes of a run report to its collector: forked, spawned, in pools and as programs of their own."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from umlaut_async.collector import address, registry

if TYPE_CHECKING:
    from tests.support import Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

WORKERS = """
import asyncio, concurrent.futures, contextlib, multiprocessing, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric

benchmark = Benchmark("runs.db", mode="w", collector=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory")], benchmark)
def work(number):
    return number

def opened():
    # The files of the database that this process has open, with their descriptors.
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if "runs.db" in path:
                found.add((descriptor, path))
    return found

def many():
    inherited = opened()
    for number in range(1000):
        work(number)
    asyncio.run(benchmark.flush())
    assert opened() <= inherited

@BenchmarkSupervisor([TimeMetric("time")], benchmark, name="outer")
def start(method):
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=many) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4

if __name__ == "__main__":
    start("fork")
    start("spawn")
    with concurrent.futures.ProcessPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(500), chunksize=10)) == sum(range(500))
    # Nobody but the collector has it open.
    assert bool(opened()) == (sys.argv[1] == "thread")
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_every_call_of_every_worker_is_in_the_run_once(run_script: RunScript, rows: Rows, collector: str) -> None:
    ended = run_script(WORKERS, collector, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    (run,) = rows("select uuid, status from run")
    assert run["status"] == "ok"
    counts = rows(
        "select process_id, count(*) as calls, count(distinct number) as numbers, count(distinct parent) as parents,"
        " sum(parent is null) as orphans from span where name = 'work' group by process_id order by min(started)"
    )
    assert sum(row["calls"] for row in counts) == sum(row["numbers"] for row in counts) == 8500
    assert [row["calls"] for row in counts[:8]] == [1000] * 8
    # The call that forked them is known; to spawned ones nobody tells it.
    assert [(row["parents"], row["orphans"]) for row in counts[:4]] == [(1, 0)] * 4
    assert [(row["parents"], row["orphans"]) for row in counts[4:8]] == [(0, 1000)] * 4
    (outer, _) = rows("select id, duration from span where name = 'outer' order by number")
    assert {row["parent"] for row in rows("select distinct parent from span where parent is not null")} == {outer["id"]}
    endings = rows("select ending from process order by id")
    assert endings[0]["ending"] == "closed"
    assert {row["ending"] for row in endings[1:]} <= {"exit", "the run ended"}
    assert len(rows("select distinct pid from process")) == len(endings)


PROGRAM = """
import asyncio, os, subprocess, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

benchmark = Benchmark(sys.argv[1], mode="w", collector=sys.argv[3])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    if sys.argv[2]:
        subprocess.run([sys.executable, __file__, sys.argv[2], "", "thread"], check=True)

async def main():
    async with benchmark:
        stage()
        print(benchmark.uuid, flush=True)

asyncio.run(main())
assert "UMLAUT_COLLECTOR" not in os.environ or not sys.argv[2]
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_program_that_names_the_same_database_joins_and_does_not_replace_it(
    run_script: RunScript, rows: Rows, collector: str
) -> None:
    ended = run_script(PROGRAM, "runs.db", "runs.db", collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    inner, outer = ended.stdout.split()
    assert inner == outer
    (run,) = rows("select uuid, status from run")
    assert run == {"uuid": outer, "status": "ok"}
    assert len(rows("select * from process")) == len(rows("select * from span where status = 'ok'")) == 2


def test_runs_into_other_databases_know_of_each_other(run_script: RunScript, rows: Rows, tmp_path: Path) -> None:
    from tests import support

    ended = run_script(PROGRAM, "runs.db", "other.db", "thread")
    assert (ended.returncode, ended.stderr) == (0, "")
    inner, outer = ended.stdout.split()
    (event,) = rows("select data from event where kind = 'other-run'")
    assert event["data"]["run"] == inner
    (run,) = support.read(tmp_path / "other.db", "select uuid, environment from run")
    assert run["uuid"] == inner
    assert outer in run["environment"]


SPAWNED = """
import asyncio, multiprocessing, pickle
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, LossTracker, TimeMetric

def work(benchmark, metric):
    with BenchmarkSupervisor([metric], benchmark, name="inner"):
        LossTracker(benchmark).track([1.0], "loss")

if __name__ == "__main__":
    benchmark = Benchmark("runs.db", "words", tags=["a"])
    metric = CPUMetric("cpu", interval=0.5, children=False)
    BenchmarkSupervisor([metric], benchmark)(len)("abc")
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(benchmark, metric))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    again = pickle.loads(pickle.dumps(metric))
    assert repr(again) == repr(metric)
    asyncio.run(benchmark.close())
"""


def test_benchmarks_and_metrics_may_be_arguments_of_spawned_functions(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(SPAWNED)
    assert (ended.returncode, ended.stderr) == (0, "")
    (run,) = rows("select description from run")
    assert run["description"] == "words"
    assert [row["name"] for row in rows("select name from span order by process_id")] == ["len", "inner"]
    assert [row["type"] for row in rows("select type from result where span is null")] == ["loss"]


ENDED = """
import asyncio, logging, os, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, StoreError, TimeMetric

logging.basicConfig(format="%(message)s")
when = sys.argv[2]
benchmark = Benchmark("runs.db", collector=sys.argv[1])

@BenchmarkSupervisor([TimeMetric("time")], benchmark)
def stage():
    pass

asyncio.run(benchmark.open())
begun, to_begin = os.pipe()
ended, to_end = os.pipe()
child = os.fork()
if child == 0:
    if when != "late":
        stage()
        asyncio.run(benchmark.flush())
    os.write(to_begin, b".")
    os.read(ended, 1)
    if when != "before":
        stage()
    try:
        asyncio.run(benchmark.flush())
    except StoreError as error:
        print("flush:", error)
    asyncio.run(benchmark.close())
    print(*benchmark.accounting)
    sys.stdout.flush()
    os._exit(0)
os.read(begun, 1)
asyncio.run(benchmark.close())
os.write(to_end, b".")
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize(
    ("when", "told", "logged"),
    [
        ("before", ["1 1 {} 0"], []),
        # The end of the run may be noticed before the call has ended, or after.
        ("late", ["(flush: the collector of run .* cannot be reached)?", "1 0 {'not (stored|measured)': 1} 0"], None),
        ("before and after", ["2 1 {'not measured': 1} 0"], ["not measured"]),
    ],
)
def test_closing_what_the_parent_has_ended_is_no_error(
    run_script: RunScript, rows: Rows, collector: str, when: str, told: list[str], logged: list[str] | None
) -> None:
    ended = run_script(ENDED, collector, when, timeout=60)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    for pattern, line in zip(told, lines if len(lines) == len(told) else ["", *lines], strict=True):
        assert re.fullmatch(pattern.replace("{", "[{]"), line)
    # Its loss is a line; that nothing more is measured may be another one.
    said = [line for line in ended.stderr.splitlines() if line]
    assert len(said) == len(logged) if logged is not None else 1 <= len(said) <= 2, said
    assert all("is not measured" in line for line in said), said
    assert rows("select count(*) as n from span") == [{"n": int(when != "late")}]
    assert rows("select status from run") == [{"status": "ok"}]


NAMED = """
import asyncio, multiprocessing
from umlaut_async import Benchmark

benchmark = Benchmark("runs.db", run_uuid="mine")

def work():
    benchmark.log("item", "mine", 1)
    asyncio.run(benchmark.flush())

if __name__ == "__main__":
    work()
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    asyncio.run(benchmark.close())
"""


def test_spawned_workers_join_a_run_whose_identity_was_chosen(run_script: RunScript, rows: Rows) -> None:
    ended = run_script(NAMED)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows("select uuid, status from run") == [{"uuid": "mine", "status": "ok"}]
    assert rows("select count(*) as n, count(distinct process_id) as processes from result") == [
        {"n": 2, "processes": 2}
    ]


def test_the_address_is_private_and_goes_with_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(address.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path)[:40] if len(str(tmp_path)) > 70 else str(tmp_path))
    made = address.new_address("run", "database")
    assert made is not None
    folder = Path(made.socket).parent
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        address.publish(made)
        assert address.inherited() == [made]
        # It is this process's own, so nothing here joins it.
        assert registry.collector_for("database") is None
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert registry.collector_for("database") == made
        assert registry.collector_for("another") is None
        assert registry.collector_for("database", "run") == made
        assert registry.collector_for("database", "another run") is None
        address.withdraw(made)
        assert address.VARIABLE not in os.environ
    finally:
        folder.rmdir()


def test_a_path_that_is_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    made = address.new_address("run", "database")
    assert made is not None
    assert not made.socket.startswith(str(long))
    Path(made.socket).parent.rmdir()


def test_where_no_folder_for_a_socket_can_be_made_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(address, "bases", lambda: ["/proc", "/" + 120 * "x"])
    assert address.new_address("run", "database") is None
    (said,) = caplog.messages
    assert "cannot join its run" in said
    assert "/proc: No such file or directory; the path /xxx" in said


@pytest.mark.parametrize("text", ["", "[", "{}", "[[1]]", "null", "3"])
def test_a_damaged_variable_is_no_address(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(address.VARIABLE, text)
    assert address.inherited() == []


def test_runs_that_begin_and_end_in_many_threads_leave_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(address.VARIABLE, raising=False)
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait(30)
        for turn in range(300):
            own = address.Address(f"/{number}/{turn}", "run", "database", os.getpid())
            address.publish(own)
            address.withdraw(own)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert address.VARIABLE not in os.environ
