"""What waits before it is known whose it is: only so much, all else is counted, and what must come through does."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async.collector import wire
from umlaut_async.collector.account import Accounting, Ledger
from umlaut_async.collector.channel import Channel
from umlaut_async.collector.connection import Connection
from umlaut_async.collector.limits import FULL, Limits
from umlaut_async.collector.reception import Reception
from umlaut_async.collector.signals import ENTER
from umlaut_async.records import CLOSED, EventRecord, FlushRequest, MetricRecord, StageRecord, ValueRecord
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")

STAGE = StageRecord(1, "stage", "function", (MetricRecord("memory", "memory", "MiB", "peak", 1, 0),))
SERIES = wire.AnnouncedSeries(1, "memory", "MiB", "memory", 10**9, "own", "caller", "measured", False, None)


def call(number: int) -> wire.EndedCall:
    return (1, number, None, "task", number, 1, "ok", None, None, None, None, (None,), (None,))


def value(text: str) -> ValueRecord:
    return ValueRecord(0, "mine", "value", "", "", None, text)


@contextlib.contextmanager
def channels() -> Iterator[tuple[Channel, Channel]]:
    """Yield the two ends of a connection."""
    ends = [Channel(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.close()


async def received(
    limits: Limits, *batches: wire.Batch, signals: int = 0
) -> tuple[Any, Ledger, list[EventRecord], int]:
    """Send messages and signals to a reception, and then hand them to a connection; return also how much waited."""
    with channels() as (theirs, ours):
        reception = Reception(ours, limits)
        hello = wire.Hello(os.getpid(), None, resolve("runs.db").url, "run")
        await theirs.send(wire.greeting(hello))
        for batch in batches:
            await theirs.send(wire.encode(batch))
        for number in range(signals):
            while not theirs.notify(ENTER, 1, number, number):
                await asyncio.sleep(0)
        theirs.close()
        await ours.ended()
        assert await reception.hello() == hello
        waited = len(reception._waiting)
        ledger, events = Ledger(), list[EventRecord]()
        connection = Connection(ours, os.getpid(), ledger, events.append, Limits())
        reception.hand_to(connection)
        return connection.link, ledger, events, waited


async def test_records_beyond_the_limit_are_counted_and_all_else_comes_through() -> None:
    begin = wire.Batch(series=[SERIES], stages=[STAGE], opened=[wire.OpenCall(5, 1, None, "task", 0)])
    calls = [wire.Batch(calls=[call(100 * part + number) for number in range(100)]) for part in range(1, 50)]
    end = wire.Batch(
        stages=[STAGE._replace(number=2)], calls=[call(5)], values=[value("last")], requests=[(1, CLOSED, None)],
        dropped={FULL: 7},
    )  # fmt: skip
    link, ledger, events, waited = await received(Limits(records=1000), begin, *calls, end)
    assert waited <= 13
    kept = [record for record in link.records if type(record) is tuple]
    assert 1000 <= len(kept) <= 1100
    assert [record[1] for record in kept] == [*range(100, 100 + len(kept))]
    refused = 4900 + 2 - len(kept)
    assert ledger.account() == Accounting(refused + 7, 0, {FULL: refused + 7}, 0)
    assert sum(event.data["count"] for event in events if event.kind == "drop" and event.data) == refused + 7
    assert [record.number for record in link.records if isinstance(record, StageRecord)] == [1, 2]
    (request,) = (record for record in link.records if isinstance(record, FlushRequest))
    assert request.ending == CLOSED
    # What was told of as running has ended, though its record was left out.
    assert not link.open_calls


async def test_bytes_are_limited_as_well() -> None:
    values = [wire.Batch(values=[value("x" * 50_000)]) for _ in range(100)]
    link, ledger, _, waited = await received(Limits(data=1 << 20), *values)
    assert waited == len(link.records)
    assert 20 <= waited <= 22
    assert ledger.account().dropped == {FULL: 100 - waited}


async def test_samples_go_first_and_are_missed_ones() -> None:
    times, numbers = array.array("q", range(1000)).tobytes(), array.array("d", [1.0] * 1000).tobytes()
    samples = wire.Batch(samples=[wire.Samples(1, times, numbers, b"", 2, None)])
    begin = wire.Batch(series=[SERIES], stages=[STAGE])
    calls = [wire.Batch(calls=[call(number)]) for number in range(60)]
    link, ledger, _, _ = await received(Limits(records=100), begin, samples, *calls, samples, samples)
    series = link.series[1]
    assert len(series.log.times) == 1000
    assert series.missed == 2 + 2 * 1002
    assert ledger.account().dropped == {}


async def test_signals_are_limited() -> None:
    _, ledger, _, waited = await received(Limits(records=100), signals=5000)
    assert waited == 100
    assert ledger.account() == Accounting()
