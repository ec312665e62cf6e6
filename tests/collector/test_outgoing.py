"""Which records are sent as they are, and which are looked up first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from umlaut_async.collector import wire
from umlaut_async.collector.faults import Faults
from umlaut_async.collector.link import Link
from umlaut_async.collector.outgoing import Outgoing, _LocalMetric
from umlaut_async.collector.series import Series
from umlaut_async.probes import Probe
from umlaut_async.records import CallRecord, FlushRequest, StageRecord, ValueRecord

CALL = CallRecord(1, 7, 3, "Task-1", 100, 20, "ok", None, {0: 2.0}, 5, None, (1.0,), (2.0,))
STAGE = StageRecord(1, "train", "function", ())
VALUE = ValueRecord(1, "loss", "of mine", "", "value", 0.5, None)


@pytest.fixture
def outgoing() -> Outgoing:
    link, events = Link(), list[Any]()
    filled = Outgoing(link, Faults(events.append, lambda: 0), events)
    local = Series(link, 1, "kind", "unit", "words", Probe("key", lambda: 1.0, "test"), 100)
    filled._local[2] = [_LocalMetric(local, 0)]
    return filled


def test_a_call_is_sent_with_the_name_of_its_task_or_thread(outgoing: Outgoing) -> None:
    batch = wire.Batch()
    here, name = threading.get_ident(), threading.current_thread().name
    calls = [CALL, CALL._replace(number=8, task=here), CALL._replace(number=9, task=here)]
    assert outgoing.add_records([STAGE, *map(tuple, calls), VALUE, FlushRequest(print)], batch) == []
    assert batch.stages == [STAGE]
    assert batch.values == [VALUE]
    assert batch.calls == [tuple(CALL), *(tuple(call._replace(task=name)) for call in calls[1:])]


@pytest.mark.parametrize(
    "call",
    [
        CALL._replace(task="Aufgabe ä"),
        CALL._replace(task="\ud800"),
        CALL._replace(error="ValueError: \ud800"),
        CALL._replace(number=6),
        CALL._replace(stage=2),
    ],
    ids=["task", "surrogate", "error", "shown", "local"],
)
def test_a_call_of_which_more_has_to_be_looked_up_is_returned(outgoing: Outgoing, call: CallRecord) -> None:
    outgoing._shown[6] = "MainThread"
    batch = wire.Batch()
    assert outgoing.add_records([STAGE, tuple(call), tuple(CALL)], batch) == [call]
    assert batch.calls == [tuple(CALL)]
