"""The link in memory: wake-ups are not lost for good, and every request is answered."""

from __future__ import annotations

import asyncio

import pytest

from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric
from umlaut_async.collector.link import Link
from umlaut_async.errors import StoreError
from umlaut_async.records import FlushRequest


@pytest.mark.alone
async def test_sampling_goes_on_after_an_interrupt_within_a_wake_up(benchmark: Benchmark) -> None:
    await benchmark.open()

    @BenchmarkSupervisor([MemoryMetric("memory", interval=0.02)], benchmark)
    async def stage() -> None:
        await asyncio.sleep(0.1)

    recorder = benchmark.recorder()
    assert recorder is not None
    # As a KeyboardInterrupt leaves it that comes before the loop is told.
    recorder.link._waking = True
    await asyncio.sleep(1.2)
    assert not recorder.link._waking
    await stage()
    (series,) = recorder.link.series.values()
    assert len(series.log.times) >= 4


def test_a_request_after_the_end_is_answered_with_the_reason() -> None:
    link = Link()
    answers: list[StoreError | None] = []
    link.request(FlushRequest(answers.append))
    assert answers == []
    reason = StoreError("it has ended")
    link.close(reason)
    link.request(FlushRequest(answers.append))
    assert answers == [reason, reason]
    assert not link.recording
