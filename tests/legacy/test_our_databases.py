"""Our databases in the shape that UMLAUT documented."""

from __future__ import annotations

import asyncio
import datetime
import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.legacy.our_rows import store
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    ConfusionMatrixTracker,
    CPUMetric,
    HyperparameterTracker,
    LossTracker,
    MemoryMetric,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
)
from umlaut_async.legacy.ours import SampleRows, shown
from umlaut_async.legacy.reading import Measured, read, runs
from umlaut_async.legacy.views import connect
from umlaut_async.store.models import Process, Result, Run, Sample, Series, Span, key

if TYPE_CHECKING:
    from pathlib import Path

    from tests import support
    from umlaut_async.store.models import Base


async def record(database: Path) -> None:
    async with Benchmark(database, "a test", name="pipeline.py") as benchmark:
        throughput = ThroughputMetric("load throughput")
        metrics = [TimeMetric("load time"), MemoryMetric("load memory", 0.02), CPUMetric("load cpu", 0.02), throughput]

        @BenchmarkSupervisor(metrics, benchmark)
        async def load(seconds: float) -> None:
            throughput.track(10)
            await asyncio.sleep(seconds)

        await load(0.2)
        await load(0.001)
        LossTracker(benchmark).track(np.array([0.5, 0.25]), "loss")
        TTATracker(benchmark).track([0.5, float("nan")], "tta")
        TimedTTATracker(benchmark, 0.5).track(0.75, "timed")
        ConfusionMatrixTracker(benchmark).track(np.array([[1, 2], [3, 4]]), ["a", "b"], "matrix")
        with HyperparameterTracker(benchmark, "search", ["alpha"], "loss") as tracker:
            tracker.track({"alpha": 1, "loss": 0.5})
            tracker.track({"alpha": 2, "loss": 0.25, "note": "more"})
        benchmark.log("text", "note", "hello", method_name="by hand")
        benchmark.log("number", "cpu", 5)
        benchmark.log("nothing", "note", None)


def by_description(database: Path) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for each in read(database):
        found.setdefault(each.measurement_description, []).append(each)
    return found


async def test_a_run_is_shown(database: Path, rows: support.Rows) -> None:
    before = datetime.datetime.now()
    await record(database)
    (run,) = runs(database)
    assert (run.meta_description, run.meta_name) == ("a test", "pipeline.py")
    assert run.meta_start_time is not None
    assert before <= run.meta_start_time <= datetime.datetime.now()
    found = by_description(database)
    for each in found["load time"]:
        assert isinstance(each.measurement_data, float)
        assert each.measurement_datetime is not None
        assert run.meta_start_time <= each.measurement_datetime <= datetime.datetime.now()
        assert (each.uuid, each.measurement_unit, each.measured_method_name) == (run.uuid, "sec", "load")
    assert found["loss"][0].measurement_data == [0.5, 0.25]
    accuracies = found["tta"][0].measurement_data
    assert accuracies[0] == 0.5
    assert np.isnan(accuracies[1])
    assert isinstance(found["timed"][0].measurement_data, float)
    assert found["matrix"][0].measurement_data == {"matrix": [[1, 2], [3, 4]], "labels": ["a", "b"]}
    assert found["search"][0].measurement_data == {
        "hyperparameters": ["alpha"],
        "target": "loss",
        "low_means_good": True,
        "df": {"alpha": [1, 2], "loss": [0.5, 0.25], "note": [None, "more"]},
    }
    assert (found["text"][0].measurement_data, found["text"][0].measured_method_name) == ("hello", "by hand")
    assert found["number"][0].measurement_data == 5.0
    assert found["nothing"][0].measurement_data is None

    calls = rows("select started, duration from span order by started")
    results = {
        type_: rows("select value, data from result where type = ? and span is not null order by id", type_)
        for type_ in ("memory", "cpu")
    }
    for number, call in enumerate(calls):
        window = [call["started"], call["started"] + call["duration"]]
        memory, cpu = (json.loads(found[f"load {each}"][number].measurement_data) for each in ("memory", "cpu"))
        assert set(memory) == set(cpu) == {"timestamps", "measurements"}
        moments = [nanoseconds(each) for each in memory["timestamps"]]
        assert moments == sorted(moments)
        assert [moments[0], moments[-1]] == [moment // 1000 * 1000 for moment in window]
        data: dict[str, Any] = results["memory"][number]["data"]
        measured = memory["measurements"]
        assert (measured[0], measured[-1], max(measured)) == (data["first"], data["last"], data["max"])
        assert len(measured) == data["n"]
        assert all(window[0] // 1000 * 1000 <= nanoseconds(each) <= window[1] for each in cpu["timestamps"])
        assert cpu["measurements"][-1] == results["cpu"][number]["data"]["last"]
    assert json.loads(found["load cpu"][1].measurement_data)["measurements"] == [results["cpu"][1]["value"]]


def nanoseconds(local: str) -> int:
    whole = datetime.datetime.fromisoformat(local).astimezone(datetime.UTC)
    return (whole - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("type_", "n", "values", "expected"),
    [
        # The first sample of a rate covers time before the call, unless the call counts it.
        ("cpu", 2, [9.0, 2.0, 3.0], [2.0, 3.0]),
        ("cpu", 3, [9.0, 2.0, 3.0], [9.0, 2.0, 3.0]),
        ("cpu", 1, [9.0], [3.0]),
        # A gauge has the readings at the edges of the call besides, and one alone is that of the end.
        ("memory", 5, [9.0, 2.0, 4.0], [1.0, 9.0, 2.0, 4.0, 3.0]),
        ("memory", 1, [9.0], [9.0, 3.0]),
    ],
)
def test_the_samples_of_a_call(type_: str, n: int, values: list[float], expected: list[float]) -> None:
    rows = SampleRows()
    for number, value in enumerate(values, 1):
        rows.step(1000 * number, value)
    data = json.dumps({"n": n, "first": 1.0, "last": 3.0})
    text = shown(type_, 1.0, data, 500, 9000, 1, 1000, None, rows.finalize(), 0)
    assert json.loads(text)["measurements"] == expected


async def steps_of_reading(path: Path, tail: int) -> int:
    """Return what it costs SQLite to read 50 calls, each with two samples, of a series with so many samples."""
    rows: dict[type[Base], list[tuple[Any, ...]]] = {
        Run: [("run", "", "", "[]", 0, None, "ok", "{}", "{}")],
        Process: [(1, "run", "host", 7, None, None, 0, 0, None, None)],
        Span: [(key(1, n), 1, n, None, "f", "function", "", 20 * n, 19, None, "ok", None) for n in range(1, 51)],
        Series: [(5, 1, "memory", "MiB", "test", "measured", 10, "m")],
        Sample: [(5, 10 * number, 1.0) for number in range(tail)],
        Result: [
            (key(1, n), 1, key(1, n), "f", "memory", "d", "MiB", 1.0, '{"n":2}', 5, "measured", 0) for n in range(1, 51)
        ],
    }
    await store(path, rows)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with closing(connect(path)) as connection:
        connection.set_progress_handler(count, 100)
        assert len(connection.execute("SELECT * FROM measurement").fetchall()) == 50
    return steps


async def test_a_call_does_not_cost_more_the_longer_the_series(tmp_path: Path) -> None:
    short = await steps_of_reading(tmp_path / "short.db", 102)
    assert await steps_of_reading(tmp_path / "long.db", 4000) < 2 * short


async def test_times_are_local(database: Path, monkeypatch: Any) -> None:
    await record(database)
    (run,) = runs(database)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        (shifted,) = runs(database)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert run.meta_start_time is not None
    assert shifted.meta_start_time is not None
    assert shifted.meta_start_time - run.meta_start_time == datetime.timedelta(hours=5, minutes=45) - (
        run.meta_start_time.astimezone().utcoffset() or datetime.timedelta()
    )


async def test_a_connection_only_reads(database: Path) -> None:
    await record(database)
    with closing(connect(database)) as connection:
        for statement in ("DELETE FROM result", "DROP VIEW measurement", "CREATE TEMP TABLE more (x)"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute(statement)
