"""The workers of a data loader, and what only a worker itself can read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import EndedCalls, Rows, RunScript

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

LOADER = """
import asyncio, multiprocessing, os, queue, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric, WaitMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1])
LOOK = 5.0  # how often a worker looks whether its parent lives, and how long the parent waits for it, as in PyTorch

class Dataset:
    @BenchmarkSupervisor([TimeMetric("time"), MemoryMetric("memory")], benchmark, name="item")
    def __getitem__(self, index):
        return index * 2

def worker_loop(dataset, indices, results, done):
    # As torch.utils.data._utils.worker._worker_loop.
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            task = indices.get(timeout=LOOK)
        except queue.Empty:
            continue
        if task is None:
            assert done.is_set()
            break
        if done.is_set():
            continue
        number, batch = task
        results.put((number, [dataset[index] for index in batch]))
        del task, batch
    if done.is_set():
        results.cancel_join_thread()
        results.close()

class Loader:
    def __init__(self, *settings):
        self.settings, self.workers = settings, []

    def __iter__(self):
        batches = Batches(*self.settings)
        self.workers += batches.workers
        return iter(batches)

class Batches:
    # As torch.utils.data.dataloader._MultiProcessingDataLoaderIter.
    def __init__(self, dataset, size, batch, workers, context):
        self.batches = [range(first, min(first + batch, size)) for first in range(0, size, batch)]
        self.results, self.done = context.Queue(), context.Event()
        self.queues, self.workers = [], []
        for _ in range(workers):
            indices = context.Queue()
            indices.cancel_join_thread()
            worker = context.Process(target=worker_loop, args=(dataset, indices, self.results, self.done))
            worker.daemon = True
            worker.start()
            self.queues.append(indices)
            self.workers.append(worker)

    def __iter__(self):
        ready, sent = {}, 0
        try:
            for number in range(len(self.batches)):
                while sent < min(number + 2 * len(self.workers), len(self.batches)):
                    self.queues[sent % len(self.queues)].put((sent, self.batches[sent]))
                    sent += 1
                while number not in ready:
                    came, items = self.results.get(timeout=LOOK)
                    ready[came] = items
                yield ready.pop(number)
        finally:
            self.shut_down()

    def shut_down(self):
        try:
            self.done.set()
            for indices in self.queues:
                indices.put(None)
            for worker in self.workers:
                worker.join(timeout=LOOK)
            for indices in self.queues:
                indices.cancel_join_thread()
                indices.close()
        finally:
            for worker in self.workers:
                if worker.is_alive():
                    print("terminated", flush=True)
                    worker.terminate()

def epoch(context):
    loader = Loader(Dataset(), 300, 8, 4, context)
    batches = BenchmarkSupervisor([TimeMetric("time"), WaitMetric("wait")], benchmark).iterate(loader, "epoch")
    assert sum(sum(batch) for batch in batches) == sum(index * 2 for index in range(300))
    assert [worker.exitcode for worker in loader.workers] == [0] * 4

if __name__ == "__main__":
    for _ in range(2):
        epoch(multiprocessing.get_context(sys.argv[2]))
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_item_of_the_workers_of_a_data_loader_is_a_call_once(
    run_script: RunScript, rows: Rows, collector: str, method: str
) -> None:
    ended = run_script(LOADER, collector, method, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [row["status"] for row in rows("select status from run")] == ["ok"]
    items = rows("select id, process_id, status from span where name = 'item'")
    assert (len(items), {row["status"] for row in items}) == (600, {"ok"})
    assert len({row["process_id"] for row in items}) == 8
    results = rows(
        "select type, count(distinct span) as n from result where type != 'wait' group by type order by type"
    )
    assert results == [{"type": "memory", "n": 600}, {"type": "time", "n": 602}]
    endings = rows("select ending from process order by id")
    assert [row["ending"] for row in endings] == ["closed", *["exit"] * 8]


READERS = """
import asyncio, multiprocessing, subprocess, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, EventLoopLagMetric, Metric, TimeMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1])

class Counted(Metric):
    measure_type, unit, counter, readings = "counted", "readings", True, 0

    def read(self):
        self.readings += 1
        return self.readings

class Gauge(Metric):
    measure_type, unit = "gauge", "things"

    async def read(self):
        await asyncio.sleep(0)
        return 2.5

class Failing(Metric):
    measure_type, unit = "failing", "things"

    def read(self):
        raise OSError("no such thing")

METRICS = [TimeMetric("time"), EventLoopLagMetric("lag", interval=0.01)]
METRICS += [made(made.measure_type, interval=0.02) for made in (Counted, Gauge, Failing)]

@BenchmarkSupervisor(METRICS, benchmark)
async def stage():
    for _ in range(10):
        await asyncio.sleep(0.03)

async def measured():
    await stage()
    await benchmark.flush()  # on the loop on which the last readings are taken

def work():
    asyncio.run(measured())

if __name__ == "__main__":
    if sys.argv[2] == "alone":
        work()
    elif sys.argv[2] == "program":
        asyncio.run(benchmark.open())
        subprocess.run([sys.executable, __file__, "thread", "alone"], check=True)
    else:
        asyncio.run(benchmark.open())
        worker = multiprocessing.get_context(sys.argv[2]).Process(target=work)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("how", ["alone", "fork", "spawn", "program"])
def test_what_only_a_worker_can_read_is_recorded(
    run_script: RunScript, rows: Rows, ended_calls: EndedCalls, collector: str, how: str
) -> None:
    ended = run_script(READERS, collector, how)
    assert ended.returncode == 0
    assert ended.stderr.count("could not be read") == 1
    (call,) = ended_calls()
    results = call["results"]
    assert results.keys() == {"time", "looplag", "counted", "gauge"}
    assert 5 <= results["counted"]["value"] <= 40
    assert (results["gauge"]["value"], results["gauge"]["data"]["max"]) == (2.5, 2.5)
    assert results["gauge"]["data"]["n"] >= 5
    assert results["looplag"]["value"] >= 0
    sampled = rows("select type, count(*) as n from series join sample on series.id = series_id group by type")
    assert {row["type"] for row in sampled} == {"counted", "gauge", "looplag"}
    assert all(row["n"] >= 5 for row in sampled)
    assert len(rows("select id from event where kind = 'unreadable'")) == 1


WITHOUT_A_GPU = """
import asyncio, multiprocessing, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, GPUMetric, GPUPowerMetric

benchmark = Benchmark("runs.db", collector=sys.argv[1])

@BenchmarkSupervisor([GPUMetric("use"), GPUPowerMetric("power")], benchmark)
def stage():
    pass

def work():
    stage()
    asyncio.run(benchmark.flush())

if __name__ == "__main__":
    asyncio.run(benchmark.open())
    for _ in range(3):
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
    stage()
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.usefixtures("fake")
def test_what_a_machine_lacks_is_logged_once_and_stored_for_each_process(
    run_script: RunScript, rows: Rows, monkeypatch: pytest.MonkeyPatch, collector: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    ended = run_script(WITHOUT_A_GPU, collector)
    assert ended.returncode == 0
    assert ended.stderr.count("\n") == ended.stderr.count("is not recorded: GPU 0 does not exist") == 2
    events = rows("select process_id, count(*) as n from event where kind = 'unavailable' group by process_id")
    assert [event["n"] for event in events] == [2] * 4
