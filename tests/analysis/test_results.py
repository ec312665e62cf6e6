"""Databases and runs as Python sees them: made by hand, and recorded."""

from __future__ import annotations

import asyncio
from array import array
from typing import TYPE_CHECKING

import pytest

from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from umlaut_async import ArgumentError, Benchmark, BenchmarkSupervisor, LossTracker, MemoryMetric, TimeMetric
from umlaut_async.analysis import NoRunError, Results, SelectorError
from umlaut_async.errors import StoreNotFoundError
from umlaut_async.store.chunks import BLOCK, pack
from umlaut_async.store.models import Base, Chunk, Sample, Series, key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store

MEMORY = key(1, 1)


def series(number: int = 1, type_: str = "memory", process_id: int = 1) -> Series:
    return Series(
        id=key(process_id, number), process_id=process_id, type=type_, unit="MiB", source="statm",
        provenance="measured", interval=SECOND,
    )  # fmt: skip


def block(times: array[int], values: array[float], number: int = 1) -> Chunk:
    return Chunk(id=number, series_id=MEMORY, **pack(times, values)._asdict())


def sample(number: int, t: int, value: float, series_id: int = MEMORY) -> Sample:
    return Sample(id=number, series_id=series_id, t=t, value=value)


def test_runs_by_what_they_are(store: Store, database: Path) -> None:
    store(
        run("aaaa", started=BEGAN, tags=["night"], name="train.py"),
        run("bbbb", started=BEGAN + 1, tags=[], status="error", name="train_all.py"),
        run("cccc", started=BEGAN + 2, tags=["night"], status="error", name="serve.py"),
    )
    results = Results(database)

    def found(**arguments: object) -> list[str]:
        return [each.uuid for each in results.runs(**arguments)]  # type: ignore[arg-type]

    assert found() == ["cccc", "bbbb", "aaaa"]
    assert found(tag="night") == ["cccc", "aaaa"]
    assert found(tag="nigh") == []
    assert found(name="train*") == ["bbbb", "aaaa"]
    assert found(name="train.py") == ["aaaa"]
    assert found(status="error", tag="night") == ["cccc"]
    assert found(since=BEGAN + 1) == ["cccc", "bbbb"]
    assert found(before=BEGAN + 1) == ["aaaa"]
    assert found(limit=2) == ["cccc", "bbbb"]
    assert found(limit=0) == []
    with pytest.raises(ArgumentError, match="at least 0, not -1"):
        found(limit=-1)
    assert found(selector="tag:night", limit=1) == ["cccc"]
    assert results.run().uuid == "cccc"
    assert results.run("train.py").name == "train.py"
    with pytest.raises(NoRunError):
        results.run("none")
    with pytest.raises(SelectorError, match="means 2 runs"):
        results.run("tag:night")


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        Results(tmp_path / "none.db")


def test_the_tables_of_a_run(store: Store, database: Path) -> None:
    outer = span("train")
    inner = span("load", parent=outer.id, status="running", duration=None)
    other = span("elsewhere", process_id=2)
    outer_id = outer.id
    store(
        run(), run("other"), process(), process("other", 2), outer, inner, other,
        result("cpu", "%", 50.0, {"n": 3}, span=outer.id, series_id=MEMORY), result("loss", "loss", None, [0.5, 0.25]),
        result("cpu", "%", 99.0, span=other.id, process_id=2),
        event("drop", "3 records were dropped", data={"count": 3}), event("drop", "elsewhere", process_id=2),
    )  # fmt: skip
    found = Results(database).run("aaaaaaaa")
    assert found.environment == {"python": "3.11"}
    assert [(call["stage"], call["parent"], call["duration"], call["status"]) for call in found.calls] == [
        ("train", None, 2 * SECOND, "ok"),
        ("load", outer_id, None, "running"),
    ]
    assert [(each["call"], each["type"], each["value"], each["data"]) for each in found.results] == [
        (outer_id, "cpu", 50.0, {"n": 3}),
        (None, "loss", None, [0.5, 0.25]),
    ]
    assert [(each["kind"], each["message"], each["data"]) for each in found.events] == [
        ("drop", "3 records were dropped", {"count": 3})
    ]
    (train, load) = found.stages
    assert (train["stage"], train["calls"], train["duration"], train["cpu_mean"]) == ("train", 1, 2 * SECOND, 50.0)
    assert (load["stage"], load["statuses"], load["cpu_mean"], load["cpu_n"]) == ("load", {"running": 1}, None, None)


def long_series() -> list[Base]:
    """Return rows with three blocks of samples, a second apart, and a tail; one sample in the middle is a peak."""
    times = array("q", (BEGAN + number * SECOND for number in range(3 * BLOCK + 2)))
    values = array("d", [1.0]) * len(times)
    values[BLOCK + 17] = 1000.0
    blocks = [
        block(times[start : start + BLOCK], values[start : start + BLOCK], start + 1)
        for start in range(0, 3 * BLOCK, BLOCK)
    ]
    tail = [sample(number, t, 1.0) for number, t in enumerate(times[3 * BLOCK :], 1)]
    return [run(), process(), series(), *blocks, *tail]


def test_all_samples_and_few_points(store: Store, database: Path) -> None:
    store(*long_series())
    found = Results(database).run()
    samples = found.samples("memory")
    assert len(samples) == 3 * BLOCK + 2
    assert samples["time"][-1] == BEGAN + (3 * BLOCK + 1) * SECOND
    assert sum(samples["value"]) == 3 * BLOCK + 1 + 1000
    for points in (1, 2, 3, 7, 1000):
        steps = found.samples("memory", points=points)
        assert 1 <= len(steps) <= points
        assert (sum(steps["n"]), max(steps["max"]), min(steps["min"])) == (3 * BLOCK + 2, 1000.0, 1.0)
    with pytest.raises(ArgumentError, match="0 buckets"):
        found.samples("memory", points=0)


def test_the_samples_of_a_stage(store: Store, database: Path) -> None:
    def call(name: str, start: int, seconds: int | None, number: int = 1) -> list[Base]:
        made = span(name, started=BEGAN + start * SECOND, duration=None if seconds is None else seconds * SECOND)
        return [made, result("memory", "MiB", 1.0, span=made.id, series_id=key(1, number), description="my memory")]

    lost = process()
    lost.last_seen = BEGAN + 8003 * SECOND
    store(
        *(row for row in long_series() if not hasattr(row, "pid")), lost, series(2),
        sample(900, BEGAN + 12 * SECOND, 5.0, key(1, 2)),
        *call("train", 10, 5), *call("train", 12, 5), *call("train", 100, 1), *call("other", 10, 90, number=2),
        *call("lost", 8000, None), span("unmeasured"),
    )  # fmt: skip
    found = Results(database).run()

    def moments(metric: str, stage: str | None = None) -> list[int]:
        return [(t - BEGAN) // SECOND for t in found.samples(metric, stage)["time"]]

    assert moments("memory", "train") == moments("my memory", "train") == [*range(10, 18), 100, 101]
    assert moments("memory", "other") == [12]
    assert moments("memory", "lost") == [8000, 8001, 8002, 8003]
    assert moments("memory", "unmeasured") == []
    assert len(moments("memory")) == len(moments("my memory")) == 3 * BLOCK + 3
    with pytest.raises(ArgumentError, match=r"no stage 'trane'; its stages are: .*train"):
        found.samples("memory", "trane")
    with pytest.raises(ArgumentError, match=r"no samples of 'cpu'; sampled were: memory$"):
        found.samples("cpu")


async def test_a_recorded_run(database: Path) -> None:
    benchmark = Benchmark(database, tags=["recorded"])

    @BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], benchmark)
    async def train() -> None:
        await asyncio.sleep(0.05)

    async with benchmark:
        await train()
        LossTracker(benchmark).track([0.5, 0.25], "loss")
        await benchmark.flush()
        running = Results(database).run()
        assert running.info.status == "running"
    found = Results(database).run("tag:recorded")
    assert (found.uuid, found.status, found.tags) == (benchmark.uuid, "ok", ["recorded"])
    assert [call["stage"] for call in found.calls] == ["train"]
    assert {"time", "memory", "loss"} == set(found.results["type"])
    (memory,) = [each for each in found.results if each["type"] == "memory"]
    samples = found.samples("memory", "train")
    assert memory["value"] >= max(samples["value"]) > 0
