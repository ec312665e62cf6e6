"""Ctrl-C while a call begins: the interrupt passes, and no call stays current or running that nobody ends."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async import BenchmarkSupervisor, MemoryMetric, ThroughputMetric, TimeMetric
from umlaut_async.calls import Call, current_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from tests.support import EndedCalls, Rows
    from umlaut_async import Benchmark

BEGINNING = {Call.__init__.__code__, Call._subscribe.__code__}


def interrupt_at_line(number: int, interrupt: type[BaseException], work: Callable[[], object]) -> bool:
    """Do the work, interrupted before the line of this number that begins a call; return whether there was one."""
    seen = 0
    before = sys.gettrace()

    def line(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == number:
                sys.settrace(None)
                raise interrupt
        return line

    sys.settrace(lambda frame, event, argument: line if frame.f_code in BEGINNING else None)
    try:
        work()
    except interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_a_call_that_is_interrupted_while_it_begins_is_over(
    benchmark: Benchmark, ended_calls: EndedCalls, rows: Rows, interrupt: type[BaseException], kind: str
) -> None:
    metrics = [TimeMetric("time"), MemoryMetric("memory", 0.05), ThroughputMetric("throughput")]
    supervisor = BenchmarkSupervisor(metrics, benchmark)

    @supervisor
    def stage() -> None: ...

    @supervisor
    def numbers() -> Iterator[int]:
        yield 1

    @supervisor
    def outer() -> int:
        inside = current_call()
        number = 1
        while interrupt_at_line(number, interrupt, stage if kind == "function" else lambda: list(numbers())):
            assert current_call() is inside
            number += 1
        assert current_call() is inside
        return number

    lines = outer()
    assert lines > 15
    assert current_call() is None
    recorder = benchmark.recorder()
    assert recorder is not None
    assert not recorder.link.open_calls
    assert all(not series.calls for series in recorder.link.series.values())
    asyncio.run(benchmark.close())
    calls = ended_calls()
    assert [call["status"] for call in calls if call["name"] == "outer"] == ["ok"]
    assert rows("select * from span where status = 'running'") == []
    interrupted = [call for call in calls if call["status"] == "error"]
    assert interrupted
    assert all(call["error"] == interrupt.__name__ for call in interrupted)
    assert benchmark.accounting.recorded == len(calls)
