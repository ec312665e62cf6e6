"""Metrics of asynchronous stages: what a coroutine awaits, who waits for whom, and how the event loop keeps up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.errors import ArgumentTypeError
from umlaut_async.kinds import COROUTINE, YIELDING
from umlaut_async.metrics.metric import Metric
from umlaut_async.probes.loop import loop_lag

if TYPE_CHECKING:
    from umlaut_async.metrics.reductions import Outcome, Reduction
    from umlaut_async.probes import Probe
    from umlaut_async.records import CallRecord


class EventLoopLagMetric(Metric):
    """Measure how long the event loop of a stage takes to answer, in seconds.

    A call's value is the worst answer. A sample of 0.05 seconds and more is a block: a time in which the loop ran
    nothing else, which ended at the time of the sample and lasted as long as its value says, to half an interval. The
    source is a question put to the loop from another thread. A call has the answers of its own loop only, and only for
    its own time: a question that is open when it ends counts up to the end. A call that runs on no loop has no value.

    Args:
        description: What is measured, in the words of the user.
        interval: The seconds between two questions, at least 0.001.
    """

    measure_type = "looplag"
    unit = "sec"
    reduction = "peak"

    def __init__(self, description: str, interval: float = 0.05) -> None:
        super().__init__(description, interval)

    def probe(self) -> Probe:
        return loop_lag("looplag", self.interval or 0)


class AwaitMetric(Metric):
    """Measure how a coroutine spends its time: computing, or waiting for others.

    A call's value is its duration in seconds; beside it are the seconds `running` on the event loop and `awaiting`,
    and the `longest_step`, in which nothing else could run. The source is the clock around each step.

    Args:
        description: What is measured, in the words of the user.
    """

    measure_type = "await"
    unit = "sec"
    reduction = "await"
    steps = True

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.interval = None

    def check(self, kind: str) -> None:
        if kind != COROUTINE:
            raise ArgumentTypeError(f"AwaitMetric measures coroutine functions, not a stage of kind {kind!r}")


class WaitMetric(Metric):
    """Measure for how much of its time the consumer of a generator or a loader waits for items, in percent.

    Beside it are, in seconds, the time for which the consumer waited (`consumer_waited`), that for which the producer
    waited to be asked for the next item (`producer_waited`), the time to the first item (`first_item`), and the number
    of `items`. The source is the clock around each step.

    The time in question ends when the producer is exhausted, closed or destroyed. A consumer that breaks off but keeps
    the generator, in a variable for instance, counts as busy with its last item until then: the producer waits, and
    the share falls. Close the generator to end it there (`contextlib.closing` or `aclosing`); what is never closed ends
    with the run, as abandoned.

    Args:
        description: What is measured, in the words of the user.
    """

    measure_type = "wait"
    unit = "%"
    reduction = "wait"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.interval = None

    def check(self, kind: str) -> None:
        if kind not in YIELDING:
            raise ArgumentTypeError(f"WaitMetric measures generators and .iterate(), not a stage of kind {kind!r}")


def _await(call: CallRecord, *_: object) -> Outcome | None:
    if call.steps is None:
        return None
    running = call.steps.running / 1e9
    wall = call.duration / 1e9
    return wall, {"running": running, "awaiting": wall - running, "longest_step": call.steps.longest / 1e9}


def _wait(call: CallRecord, *_: object) -> Outcome | None:
    if call.steps is None or not call.duration:
        return None
    waited = call.steps.running
    data: dict[str, Any] = {
        "consumer_waited": waited / 1e9,
        "producer_waited": (call.duration - waited) / 1e9,
        "first_item": None if call.steps.first_item is None else call.steps.first_item / 1e9,
        "items": call.items,
    }
    return 100 * waited / call.duration, data


REDUCTIONS: dict[str, Reduction] = {"await": _await, "wait": _wait}
