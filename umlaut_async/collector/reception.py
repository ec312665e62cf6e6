"""What comes over a channel before it is known whose it is waits here, and is then handed on in its order."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from umlaut_async.collector import wire
from umlaut_async.collector.limits import FULL, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.connection import Connection

_HELLO_DEADLINE = 60.0


class Reception:
    """Listens on a channel.

    Args:
        channel: The channel, on the running loop.
        limits: How much may wait. What comes beyond that is counted and dropped, samples at half of it.
    """

    def __init__(self, channel: Channel, limits: Limits) -> None:
        self.channel = channel
        self._limits = limits
        self._hello: asyncio.Future[wire.Hello] = asyncio.get_running_loop().create_future()
        self._waiting: list[Callable[[Connection], None]] = []
        self._records = self._bytes = self._refused = 0
        self._opened: set[int] = set()
        self._missed: Counter[int] = Counter()
        """The samples that were left out, by their series: ticks that are missed."""
        self._connection: Connection | None = None
        channel.listen(self._message, self._signal)

    async def hello(self) -> wire.Hello | None:
        """Return who is at the other end; None if it is gone before it has said so, or says nothing."""
        ended = asyncio.ensure_future(self.channel.ended())
        try:
            either: list[asyncio.Future[Any]] = [self._hello, ended]
            await asyncio.wait(either, timeout=_HELLO_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        return self._hello.result() if self._hello.done() else None

    def hand_to(self, connection: Connection) -> None:
        """Hand on what has come, and from now on what comes."""
        self._connection = connection
        for act in self._waiting:
            act(connection)
        self._waiting.clear()
        missed = [wire.Samples(series, b"", b"", b"", count, None) for series, count in self._missed.items()]
        connection.take(wire.Batch(samples=missed, dropped={FULL: self._refused} if self._refused else {}))

    def _message(self, content: bytes) -> None:
        batch = wire.decode_batch(content)
        if batch.hello is not None and not self._hello.done():
            self._hello.set_result(wire.greeted(batch.hello))
        elif self._connection is not None:
            self._connection.take(batch)
        else:
            self._keep(batch, len(content))

    def _signal(self, kind: int, series: int, call: int, at: int) -> None:
        if self._connection is not None:
            self._connection.signal(kind, series, call, at)
        elif not self._holds(1):
            self._records += 1
            self._waiting.append(lambda connection: connection.signal(kind, series, call, at))

    def _holds(self, part: int) -> bool:
        """Return whether so much waits as this part of what may."""
        return self._records * part >= self._limits.records or self._bytes * part >= self._limits.data

    def _keep(self, batch: wire.Batch, size: int) -> None:
        if self._holds(2):
            for samples in batch.samples:
                self._missed[samples.series] += samples.missed + len(samples.times) // _BYTES_OF_A_TIME
            batch.samples = []
        if self._holds(1):
            self._refused += _leave_out_records(batch, self._opened)
        else:
            self._records += len(batch.calls) + len(batch.values) + len(batch.opened) + len(batch.edges)
            self._bytes += size
            self._opened |= {opened.number for opened in batch.opened}
        if batch != _NOTHING:
            self._waiting.append(lambda connection: connection.take(batch))


def _leave_out_records(batch: wire.Batch, opened: set[int]) -> int:
    """Leave out what a message tells of calls and values; return how many records that are.

    Args:
        batch: The message.
        opened: The calls that were told of before, which must not be taken to run for ever.
    """
    left_out = len(batch.calls) + len(batch.values)
    batch.unrecorded += [call[1] for call in batch.calls if call[1] in opened]
    batch.opened, batch.edges, batch.calls, batch.values = [], [], [], []
    return left_out


_BYTES_OF_A_TIME = 8
_NOTHING = wire.Batch()
