"""Real runs compared, as Python and the command line see them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.legacy import old_databases as old
from tests.support import TRIES
from umlaut_async import Benchmark, BenchmarkSupervisor, LossTracker, MemoryMetric, ThroughputMetric, TimeMetric
from umlaut_async.analysis import NoRunError, Results, SelectorError
from umlaut_async.analysis.comparison import Verdict
from umlaut_async.errors import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Umlaut
    from umlaut_async.analysis import Comparison

RUNS = 5


async def pipeline(database: Path, tag: str, loading: float) -> None:
    """Run a pipeline whose loader takes so many seconds a batch."""
    benchmark = Benchmark(database, tags=[tag])
    processed = ThroughputMetric("processed")

    @BenchmarkSupervisor([TimeMetric("load time")], benchmark)
    async def load() -> None:
        await asyncio.sleep(loading)

    @BenchmarkSupervisor([TimeMetric("train time"), processed, MemoryMetric("train memory", interval=0.05)], benchmark)
    def train() -> None:
        time.sleep(0.05)
        processed.track(10)

    async with benchmark:
        for _ in range(2):
            await load()
            train()
        LossTracker(benchmark).track([0.5, 0.25], "training loss")


async def compared(database: Path) -> Comparison:
    # In turns, so that what else the machine does meets both sides alike.
    for _ in range(RUNS):
        await pipeline(database, "base", 0.03)
        await pipeline(database, "new", 0.06)
    # What is slower is twice as slow, so that noise is far from both.
    return Results(database).compare("tag:base", "tag:new", margin=0.25)


async def test_a_slower_stage_is_found_among_stages_that_are_the_same(tmp_path: Path) -> None:
    for number in range(TRIES):
        found = await compared(tmp_path / f"{number}.db")
        rows = {row.label: row for row in found.rows}
        # What was recorded is there each time; what was concluded is left to chance by noise that tests cannot forbid.
        assert {"run time", "load/time", "train/time", "train/throughput", "training loss"} < set(rows)
        assert {len(side.values) for row in found.rows for side in (row.base, row.new)} == {RUNS}
        assert (found.differences.machine, found.differences.found) == ("same", ())
        assert rows["training loss"].verdict is Verdict.SAME
        load, train = rows["load/time"], rows["train/time"]
        if load.verdict is Verdict.HIGHER and train.verdict is Verdict.SAME:
            assert load.better is False
            assert load.change is not None
            assert 0.5 < load.change < 1.5
            return
    pytest.fail(f"no try in {TRIES} found it: {load}, {train}")


async def test_a_comparison_as_a_table(tmp_path: Path) -> None:
    database = tmp_path / "runs.db"
    for tag in ("base", "base", "new"):
        await pipeline(database, tag, 0.001)
    found = Results(database).compare("tag:base", "tag:new", metrics=["time"])
    table = found.to_table()
    assert list(table["metric"]) == ["run time", "load/time", "train/time"]
    assert set(table["verdict"]) == {"single run"}
    frame = table.to_pandas()
    assert list(frame["base_runs"]) == [2, 2, 2]
    assert list(frame["new_runs"]) == [1, 1, 1]
    assert frame["change"].notna().all()
    assert frame["p"].isna().all()
    assert found.tested == 0


async def test_what_cannot_be_compared(tmp_path: Path) -> None:
    results = Results(await one_run(tmp_path / "runs.db"))
    with pytest.raises(NoRunError, match="no run is the baseline"):
        results.compare("@baseline", "last")
    with pytest.raises(SelectorError, match="a run cannot be compared with itself"):
        results.compare("last", "last")
    await one_run(tmp_path / "runs.db")
    for margin in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="the margin must be a positive number"):
            results.compare("last~1", "last", margin=margin)
    with pytest.raises(ArgumentError, match="no run has a metric memroy"):
        results.compare("last~1", "last", metrics=["memroy"])


async def one_run(database: Path) -> Path:
    async with Benchmark(database) as benchmark:
        benchmark.log("a number", "own", 1.0)
    return database


def test_databases_of_umlaut_are_compared(tmp_path: Path, umlaut: Umlaut) -> None:
    uuids = [f"{number}{old.RUN[1:]}" for number in range(4)]
    rows = [row._replace(uuid=uuid) for uuid in uuids for row in old.rows("json")]
    path = old.make(tmp_path / "old.db", "json", rows, uuids)
    shown = umlaut("compare", path, "0,1", "2,3", "--json")
    assert shown.exit_code == 0
    document = json.loads(shown.stdout)
    assert document["machine"] == "unknown"
    labels = {row["label"]: row["verdict"] for row in document["rows"]}
    assert labels["the time"] == labels["the memory"] == labels["the tta"] == "same"
    assert umlaut("compare", path, "0,1", "2,3", "--fail-on", "time:5%").exit_code == 3
