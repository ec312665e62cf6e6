"""Methods that block until the core is done: from everywhere, without hanging and without losing anything."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support import check_message, environment, read
from umlaut_async import StoreError, compat
from umlaut_async.collector import thread as collector_thread

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import RunScript

pytestmark = pytest.mark.timeout(120)


def counts(database: Path) -> dict[str, int]:
    """Return how many calls and values are stored."""
    (calls,) = read(database, "select count(*) as n from span where status = 'ok'")
    (logged,) = read(database, "select count(*) as n from result where span is null")
    return {"calls": calls["n"], "values": logged["n"]}


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_in_a_coroutine_it_blocks_and_names_the_async_method_once(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bm = compat.Benchmark(str(database))
    stage = compat.BenchmarkSupervisor([compat.TimeMetric("time")], bm, "stage")(len)
    progress = asyncio.create_task(asyncio.sleep(0))
    stage([])
    bm.flush()
    assert not progress.done(), "the loop went on while flush() blocked its thread"
    assert counts(database) == {"calls": 1, "values": 0}
    bm.flush()
    bm.close()
    await progress
    messages = warned(caplog)
    assert ["Benchmark.flush" in message for message in messages] == [True, False]
    assert ["Benchmark.close" in message for message in messages] == [False, True]


async def test_the_asynchronous_benchmark_is_at_hand(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    bm = compat.Benchmark(str(database))
    bm.log("kept", "mine", 1)
    await bm.core.flush()
    assert counts(database) == {"calls": 0, "values": 1}
    await bm.core.close()
    bm.close()
    (message,) = warned(caplog)
    assert "close() of umlaut_async.compat blocks the event loop" in message
    assert "`await benchmark.core.close()`" in message


def test_without_a_loop_nothing_is_said(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    with compat.Benchmark(str(database)) as bm:
        bm.log("kept", "mine", 1)
        bm.flush()
    assert warned(caplog) == []


def test_eight_threads_lose_nothing(database: Path) -> None:
    bm = compat.Benchmark(str(database))
    throughput = compat.ThroughputMetric("throughput")
    stage = compat.BenchmarkSupervisor([compat.TimeMetric("time"), throughput], bm, "stage")(len)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(50):
                stage([])
                throughput.track(turn)
                bm.log("kept", "mine", number)
                if turn % 10 == 9:
                    bm.flush()
            bm.close() if number == 0 else bm.flush()
        except BaseException as error:
            errors.append(error)

    # The first closes the run last: what is recorded into a closed run is an error of the user.
    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    work(0)
    assert errors == []
    assert counts(database) == {"calls": 400, "values": 400}
    (run,) = read(database, "select status, collector as data from run")
    assert run["status"] == "ok"
    assert run["data"]["recorded"] == run["data"]["stored"] == 800


def test_eight_threads_close_at_once(database: Path) -> None:
    bm = compat.Benchmark(str(database))
    bm.log("kept", "mine", 1)
    together = threading.Barrier(8)
    ended: list[int] = []

    def work(number: int) -> None:
        together.wait(20)
        bm.close()
        ended.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ended) == [*range(8)]
    assert counts(database) == {"calls": 0, "values": 1}


def test_in_the_thread_of_a_collector_it_raises(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bm = compat.Benchmark(str(database))
    bm.log("kept", "mine", 1)
    bm.flush()
    answers: list[BaseException | None] = []

    def answer(error: StoreError | None) -> None:
        # The collector calls this in its own thread.
        assert collector_thread.collects_here()
        for method in (bm.flush, bm.close):
            try:
                method()
                answers.append(None)
            except BaseException as raised:
                answers.append(raised)

    bm.core.request_flush(answer)
    bm.close()
    assert [type(raised) for raised in answers] == [StoreError, StoreError]
    check_message(answers[0] or ValueError())


FINALIZERS = """
import gc, sys
from umlaut_async import compat

class Pipeline:
    def __init__(self, path):
        self.bm = compat.Benchmark(path)
        self.itself = self  # so that the garbage collector finds it
    def run(self):
        compat.BenchmarkSupervisor([compat.TimeMetric("time")], self.bm, "stage")(len)([])
    def __del__(self):
        self.bm.log("kept", "mine", 1)
        self.bm.close()

pipeline = Pipeline("collected.db")
pipeline.run()
del pipeline
gc.collect()
at_end = Pipeline("at_end.db")
at_end.run()
"""


def test_from_a_finalizer_also_of_the_interpreter(run_script: RunScript, tmp_path: Path) -> None:
    ended = run_script(FINALIZERS, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert counts(tmp_path / "collected.db") == {"calls": 1, "values": 1}
    # The run has ended before the finalizers of the last objects come, which may say so but not hang.
    assert counts(tmp_path / "at_end.db")["calls"] == 1
    (run,) = read(tmp_path / "at_end.db", "select status from run")
    assert run["status"] == "ok"


INTERRUPTED = """
import os, signal, sqlite3, sys, threading, time
from umlaut_async import compat

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background of a shell
bm = compat.Benchmark("runs.db")
stage = compat.BenchmarkSupervisor([compat.TimeMetric("time")], bm, "stage")(len)
stage([])
bm.flush()
blocker = sqlite3.connect("runs.db", isolation_level=None, check_same_thread=False)
blocker.execute("begin immediate")  # the writer waits
for _ in range(100):
    stage([])
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    bm.close()
except KeyboardInterrupt:
    print("interrupted")
blocker.execute("rollback")
blocker.close()
if sys.argv[1] == "again":
    bm.close()
    print("closed")
"""


@pytest.mark.parametrize("then", ["again", "exit"])
def test_ctrl_c_while_close_waits_loses_nothing(run_script: RunScript, tmp_path: Path, then: str) -> None:
    ended = run_script(INTERRUPTED, then, timeout=60)
    expected = ["interrupted", "closed"] if then == "again" else ["interrupted"]
    assert (ended.returncode, ended.stdout.split()) == (0, expected)
    assert counts(tmp_path / "runs.db") == {"calls": 101, "values": 0}
    (run,) = read(tmp_path / "runs.db", "select status from run")
    assert run["status"] == "ok"


def test_no_answer_within_the_deadline_is_an_error(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bm = compat.Benchmark(str(database))
    bm.log("kept", "mine", 1)
    bm.flush()
    monkeypatch.setattr("umlaut_async.waiting._DEADLINE", 0.3)
    with closing(sqlite3.connect(database, isolation_level=None)) as blocker:
        blocker.execute("begin immediate")
        bm.log("kept", "mine", 2)
        with pytest.raises(TimeoutError) as caught:
            bm.flush()
        check_message(caught.value)
        blocker.execute("rollback")
    monkeypatch.undo()
    bm.close()
    assert counts(database) == {"calls": 0, "values": 2}


def test_an_exception_that_leaves_the_block_is_that_of_the_run(database: Path) -> None:
    def run() -> None:
        with compat.Benchmark(str(database)) as bm:
            bm.log("kept", "mine", 1)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run()
    (row,) = read(database, "select run.status, process.ending from run join process on process.run_uuid = run.uuid")
    assert (row["status"], row["ending"]) == ("error", "exception: ValueError")


def test_a_failure_to_store_does_not_take_the_place_of_an_exception(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(error: Exception | None) -> None:
        with compat.Benchmark(str(database)) as bm:
            with closing(sqlite3.connect(database)) as connection:
                refuse = "begin select raise(abort, 'no'); end"
                connection.execute(f"create trigger if not exists t before insert on result {refuse}")
            bm.log("lost", "mine", 1)
            if error is not None:
                raise error

    with pytest.raises(ValueError, match="mine"):
        run(ValueError("mine"))
    assert any("could not be stored to its end" in record.getMessage() for record in caplog.records)
    with pytest.raises(StoreError):
        run(None)


CELLS = [
    """
from umlaut_async import compat as umlaut

bm = umlaut.Benchmark("runs.db", "a notebook")
throughput = umlaut.ThroughputMetric("throughput")

@umlaut.BenchmarkSupervisor([umlaut.TimeMetric("time"), throughput], bm)
def stage(number):
    throughput.track(number)
    return sum(range(number))

stage(10)
""",
    """
results = [stage(number) for number in range(1, 100)]
bm.flush()
""",
    """
umlaut.LossTracker(bm).track([3, 2, 1], "loss")
bm.close()
bm.close()
""",
    """
from umlaut_async.compat.datamodel import Measurement

with umlaut.Benchmark("runs.db", mode="r") as reading:
    print(reading.query(Measurement).filter_by(measurement_type="time").count())
""",
]


def test_from_the_cells_of_a_notebook(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(
        notebook, timeout=60, startup_timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment())
    assert counts(tmp_path / "runs.db") == {"calls": 100, "values": 1}
    (printed,) = [output.text for output in notebook.cells[3].outputs if output.get("name") == "stdout"]
    assert printed == "100\n"
