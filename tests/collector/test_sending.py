"""Whatever is recorded, and whatever fails on its way: what can be sent to the collector is stored there."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests import support
from tests.collector.test_pressure import blocked_loop, stopped_collector
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    CPUMetric,
    LatencyMetric,
    Metric,
    StoreError,
    ThroughputMetric,
    TimeMetric,
    waiting,
)
from umlaut_async.collector import process
from umlaut_async.collector.forwarder import Forwarder
from umlaut_async.collector.outgoing import Outgoing
from umlaut_async.records import ValueRecord
from umlaut_async.waiting import block_for_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support import Rows


class Text(str):
    """A text of the user's."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not this"


class Count(int):
    """A number of the user's."""


class Items(enum.IntEnum):
    """Numbers with names."""

    FEW = 3


class Own(Metric):
    """Reads what it is given."""

    measure_type = Text("own")
    unit = Text("things")

    def __init__(self, reading: Any) -> None:
        super().__init__(Text("own"), interval=np.float64(0.05))
        self.reading = reading

    def read(self) -> Any:
        return self.reading


NUMBERS: list[Any] = [
    np.float64(2), np.float32(2), np.int64(2), np.array(2), np.array([2.0]), Count(2), Items.FEW, 2, 2.5, 2**70,
    np.float64("nan"), np.bool_(True), True, "2",
]  # fmt: skip


async def record(benchmark: Benchmark) -> list[str]:
    """Record numbers of each kind in each way, as well as texts; return what was refused."""
    refused: list[str] = []
    async with benchmark:
        for number in NUMBERS:
            tracked, own = ThroughputMetric(Text("rate")), Own(number)
            with BenchmarkSupervisor([tracked, LatencyMetric("latency"), own], benchmark, name=Text("stage")) as call:
                await asyncio.sleep(0.05)  # Long enough to be read.
                for track in (tracked.track, call.track):
                    try:
                        track(number)
                    except (ValueError, TypeError) as error:
                        refused.append(str(error))
            benchmark.log(Text("value"), Text("mine"), number, Text("unit"), Text("method"))
    return refused


def recorded(database: Path) -> dict[str, Any]:
    """Return what was recorded that does not depend on how fast the machine is."""
    calls = []
    for call in support.calls_of(database):
        results = call["results"]
        own = results["own"]["value"] if "own" in results else None
        entries = [
            f"{support.entries(call, measured):.6g}" for measured in ("throughput", "latency") if measured in results
        ]
        calls.append((call["name"], call["status"], own, *entries))
    values = support.read(
        database, "select method, type, description, unit, value, data from result where span is null order by id"
    )
    series = support.read(database, "select type, unit, interval from series order by id")
    events = support.read(database, "select kind, message from event where kind = 'unreadable' order by message")
    (run,) = support.read(database, "select status, name, description, tags from run")
    return {"calls": calls, "values": values, "series": series, "events": events, "run": run}


async def test_numbers_and_texts_of_derived_classes_are_the_same_in_both_modes(tmp_path: Path) -> None:
    modes, refused = {}, {}
    for mode in ("thread", "process"):
        database = tmp_path / f"{mode}.db"
        benchmark = Benchmark(
            Text(database), Text("described"), name=Text("named"), tags=[Text("tag"), np.str_("other")], collector=mode,
            flush_interval=np.float64(0.5),
        )  # fmt: skip
        refused[mode] = await record(benchmark)
        assert benchmark.accounting == (2 * len(NUMBERS), 2 * len(NUMBERS), {}, 0)
        modes[mode] = recorded(database)
    assert modes["thread"] == modes["process"]
    assert refused["thread"] == refused["process"]
    calls = modes["process"]["calls"]
    assert calls[:4] == [("stage", "ok", 2, "4", "2")] * 4
    assert len([call for call in calls if len(call) == 5]) == 10


@pytest.fixture
async def outside(database: Path) -> AsyncIterator[Benchmark]:
    """Yield a benchmark whose collector is a process of its own, as its run has begun."""
    begun = Benchmark(database, collector="process")
    await begun.open()
    yield begun
    with contextlib.suppress(StoreError):
        await begun.close()


async def test_a_record_that_cannot_be_sent_costs_only_itself(
    outside: Benchmark, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervised = BenchmarkSupervisor([TimeMetric("time")], outside)(asyncio.sleep)
    (recorder,) = outside._recorders.values()
    with blocked_loop(outside):
        for number in range(100):
            await supervised(0)
            outside.log("value", "mine", number)
        records = recorder.link.records
        place = next(place for place, record in enumerate(records) if place > 50 and type(record) is tuple)
        call: Any = records[place]
        records[place] = (*call[:8], {0: object()}, *call[9:])
        recorder.link.append(ValueRecord(0, "mine", "value", "", "", object(), None))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"2 record.*\(defect: 2\)"):
        await outside.flush()
    assert outside.accounting == (201, 199, {"defect": 2}, 0)
    assert len(rows("select id from span where status = 'ok'")) == 99
    assert [row["value"] for row in rows("select value from result where span is null order by id")] == [*range(100)]
    assert [row["data"]["count"] for row in rows("select data from event where kind = 'drop'")] == [2]
    assert caplog.text.count("could not be sent") == 1
    await supervised(0)
    await outside.flush()


async def test_a_call_that_was_seen_running_and_cannot_be_sent_does_not_run_for_ever(
    outside: Benchmark, rows: Rows
) -> None:
    running: Any
    with BenchmarkSupervisor([ThroughputMetric("rate")], outside, name="stage") as running:
        await outside.flush()
        assert [row["status"] for row in rows("select status from span")] == ["running"]
        running.entries = {0: object()}
    with pytest.raises(StoreError, match="defect: 1"):
        await outside.flush()
    assert rows("select * from span") == []


def raises(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(process, "_launch"), (process, "forward"), (Forwarder, "__init__"), (Outgoing, "describe")],
)
async def test_whatever_fails_where_records_are_sent_nobody_waits_for_it(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: Any, name: str
) -> None:
    monkeypatch.setattr(owner, name, raises)
    benchmark = Benchmark(database, collector="process")
    supervised = BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu")], benchmark)(abs)
    async with asyncio.timeout(20):
        for _ in range(2):
            assert supervised(-2) == 2
            with pytest.raises(StoreError, match="defect"):
                await benchmark.flush()
        with pytest.raises(StoreError, match="defect"):
            await benchmark.close()
    account = benchmark.accounting
    assert account.in_flight == 0
    assert account.recorded == account.stored + sum(account.dropped.values())
    assert caplog.text.count("nothing more is recorded") == 1


ARGUMENTS = """
import asyncio
from umlaut_async import Benchmark

async def main():
    async with Benchmark("runs.db", collector="process") as benchmark:
        benchmark.log("value", "mine", 1)

asyncio.run(main())
"""


def test_names_that_are_no_text_do_not_keep_a_run_from_beginning(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    script = folder / os.fsdecode(b"caf\xe9.py")
    script.write_text(ARGUMENTS)
    ended = subprocess.run(
        [sys.executable, script, b"caf\xe9"], cwd=folder, env=support.environment(), capture_output=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, b"")
    runs = support.read(folder / "runs.db", "select name, status, json_extract(collector, '$.mode') as mode from run")
    assert runs == [{"name": "caf\\udce9.py", "status": "ok", "mode": "process"}]
    assert len(support.read(folder / "runs.db", "select id from result")) == 1


@pytest.mark.parametrize("face", ["asynchronous", "blocking"])
def test_a_collector_that_stands_still_costs_one_deadline(
    database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, face: str
) -> None:
    benchmark = Benchmark(database, collector="process")
    asyncio.run(benchmark.open())

    def wait(method: str) -> None:
        if face == "asynchronous":
            asyncio.run(getattr(benchmark, method)())
        else:
            block_for_answer(getattr(benchmark, f"request_{method}"), benchmark)

    with stopped_collector(database):
        benchmark.log("value", "mine", 1)
        monkeypatch.setattr(waiting, "_DEADLINE", 0.3)
        with pytest.raises(TimeoutError, match=r"disk hang.* process of the collector stopped") as caught:
            wait("flush")
        support.check_message(caught.value)
        # As long as that is not answered, nobody waits for the whole of another deadline.
        monkeypatch.setattr(waiting, "_DEADLINE", 600)
        with pytest.raises(TimeoutError, match="within 1 s"):
            wait("flush")
    # Then the deadline is the whole one again.
    support.until(lambda: not waiting._overdue)
    wait("flush")
    assert rows("select value from result") == [{"value": 1}]
    with stopped_collector(database):
        monkeypatch.setattr(waiting, "_DEADLINE", 0.3)
        with pytest.raises(TimeoutError):
            wait("flush")
        monkeypatch.setattr(waiting, "_DEADLINE", 600)
        with pytest.raises(TimeoutError, match="within 1 s"):
            asyncio.run(benchmark.close())
    # What was asked for is done nevertheless.
    support.until(lambda: rows("select uuid from run where status = 'ok'"))
    support.until(lambda: not waiting._overdue)
