"""Defects of our own: the stage goes on, whoever waits is answered, and it is said that it was us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until_empty
from umlaut_async import BenchmarkSupervisor, CPUMetric, StoreError, TimeMetric
from umlaut_async.calls import Call
from umlaut_async.collector.intake import Intake
from umlaut_async.collector.rows import Rows
from umlaut_async.collector.sampler import Sampler

if TYPE_CHECKING:
    from umlaut_async import Benchmark


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize("broken", ["take", "_take_turn", "store"])
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
