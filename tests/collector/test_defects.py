"""Defects of our own: the stage goes on, whoever waits is answered, and it is said that it was us."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until_empty
from tests.support import until
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, Metric, StoreError, ThroughputMetric, TimeMetric
from umlaut_async.calls import Call
from umlaut_async.collector.forwarder import Forwarder
from umlaut_async.collector.intake import Intake
from umlaut_async.collector.outgoing import Outgoing
from umlaut_async.collector.rows import Rows
from umlaut_async.collector.sampler import Sampler

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls
    from tests.support import Rows as StoredRows
    from umlaut_async.collector.rows import Row, Unit
    from umlaut_async.records import CallRecord, EventRecord


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize("broken", ["take", "_take_turn", "prepare"])
async def test_a_collector_that_fails_answers_whoever_waits(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    await benchmark.open()
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    monkeypatch.setattr(Intake, broken, fail)
    assert supervised("abc") == 3
    async with asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(StoreError):
                await benchmark.flush()
        assert supervised("abc") == 3
        monkeypatch.undo()
        try:
            await benchmark.close()
        except StoreError:
            pass
    assert not wait_until_empty(lambda: [] if "ZeroDivisionError" in caplog.text else ["no word of it"])


async def test_a_record_that_cannot_be_translated_costs_only_itself(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "call", fail)
        assert supervised("abc") == 3
        with pytest.raises(StoreError, match="1 record"):
            await benchmark.flush()
    assert supervised("abc") == 3
    await benchmark.flush()
    account = benchmark.accounting
    assert (account.recorded, account.stored, account.dropped, account.in_flight) == (2, 1, {"defect": 1}, 0)
    assert "a defect of umlaut_async" in caplog.text


async def test_dropped_records_are_an_event_of_each_round(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, rows: StoredRows
) -> None:
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    await benchmark.open()
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "call", fail)
        for _ in range(3):
            supervised("abc")
        with pytest.raises(StoreError, match="3 record"):
            await benchmark.flush()
    found = [event["data"] for event in rows("select data from event where kind = 'drop'")]
    assert {drop["reason"] for drop in found} == {"defect"}
    assert sum(drop["count"] for drop in found) == 3
    # A round of the collector's own may have come between.
    assert len(found) <= 2


async def test_what_is_refused_at_the_end_of_a_run_is_an_event(
    benchmark: Benchmark, database: Path, rows: StoredRows
) -> None:
    await benchmark.open()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "create trigger no before insert on result when new.value = 13 begin select raise(abort, 'unlucky'); end"
        )
    for number in (12, 13, 14):
        benchmark.log("luck", "numbers", number)
    with pytest.raises(StoreError, match="refused: 1"):
        await benchmark.close()
    assert [row["value"] for row in rows("select value from result order by id")] == [12, 14]
    assert [row["data"] for row in rows("select data from event where kind = 'drop'")] == [
        {"reason": "refused", "count": 1}
    ]


async def test_a_record_that_waited_and_cannot_be_translated_costs_only_itself(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, ended_calls: EndedCalls
) -> None:
    class Own(Metric):
        measure_type = "own"
        unit = "things"

        def read(self) -> float:
            time.sleep(0.1)
            return 1.0

    await benchmark.open()
    translate, calls = Rows.call, itertools.count(1)

    def translate_or_fail(self: Rows, record: CallRecord) -> Unit:
        if next(calls) == 2:
            fail()
        return translate(self, record)

    monkeypatch.setattr(Rows, "call", translate_or_fail)
    supervised = BenchmarkSupervisor([Own("mine")], benchmark)(len)
    for _ in range(3):
        supervised("abc")
    with pytest.raises(StoreError, match="1 record"):
        await benchmark.flush()
    assert len(ended_calls()) == 2
    supervised("abc")
    await benchmark.flush()
    assert len(ended_calls()) == 3


async def test_an_event_that_cannot_be_translated_costs_only_itself(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, rows: StoredRows, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(Metric):
        measure_type = "own"
        unit = "things"

        def read(self) -> float:
            raise OSError("away")

    translate = Rows.event

    def translate_or_fail(self: Rows, record: EventRecord) -> Row:
        if record.kind == "untracked":
            fail()
        return translate(self, record)

    monkeypatch.setattr(Rows, "event", translate_or_fail)
    BenchmarkSupervisor([ThroughputMetric("words"), Own("mine")], benchmark)(len)("abc")
    await benchmark.flush()
    account = benchmark.accounting
    assert (account.recorded, account.stored, account.dropped, account.in_flight) == (1, 1, {}, 0)
    assert [row["kind"] for row in rows("select kind from event")] == ["unreadable"]
    assert "a defect of umlaut_async" in caplog.text


@pytest.mark.parametrize("hook", ["__init__", "_append"])
def test_a_hook_that_fails_leaves_the_stage_alone(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    supervised = BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu")], benchmark)(len)
    if hook == "__init__":
        monkeypatch.setattr(Call, hook, fail)
    else:
        monkeypatch.setattr("umlaut_async.calls._read", fail)
    assert [supervised("abc") for _ in range(3)] == [3, 3, 3]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "a defect of umlaut_async" in caplog.text


async def test_a_sampling_task_that_fails_costs_only_its_series(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Sampler, "_sample", lambda self, series: failing())

    async def failing() -> None:
        fail()

    @BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu", interval=0.01)], benchmark)
    async def stage() -> int:
        await asyncio.sleep(0.05)
        return 5

    assert await stage() == 5
    await benchmark.flush()
    assert benchmark.accounting.stored == 1
    assert "a defect of umlaut_async" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")
@pytest.mark.parametrize(
    ("where", "broken"), [(Forwarder, "run"), (Forwarder, "_round"), (Outgoing, "add_stage"), (Forwarder, "_send")]
)
async def test_a_link_that_fails_answers_whoever_waits(
    database: Path,
    rows: StoredRows,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: type,
    broken: str,
) -> None:
    benchmark = Benchmark(database, collector="process")
    supervised = BenchmarkSupervisor([TimeMetric("time")], benchmark)(len)
    if broken != "run":
        await benchmark.open()
    monkeypatch.setattr(where, broken, fail)
    assert supervised("abc") == 3
    async with asyncio.timeout(20):
        for request in (benchmark.flush, benchmark.flush, benchmark.close):
            with pytest.raises(StoreError, match="failed"):
                await request()
        assert supervised("abc") == 3
    assert caplog.text.count("the link to the collector failed, which is a defect of umlaut_async") == 1
    if broken != "run":
        until(lambda: rows("select 1 from run where status != 'running'"))
