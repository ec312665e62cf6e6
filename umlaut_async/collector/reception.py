"""What comes over a channel before it is known whose it is waits here, and is then handed on in its order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from umlaut_async.collector import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.collector.channel import Channel
    from umlaut_async.collector.connection import Connection

_HELLO_DEADLINE = 60.0


class Reception:
    """Listens on a channel.

    Args:
        channel: The channel, on the running loop.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._hello: asyncio.Future[wire.Hello] = asyncio.get_running_loop().create_future()
        self._waiting: list[Callable[[Connection], None]] = []
        self._connection: Connection | None = None
        channel.listen(self._message, self._signal)

    async def hello(self) -> wire.Hello | None:
        """Return who is at the other end; None if it is gone before it has said so, or says nothing."""
        ended = asyncio.ensure_future(self._channel.ended())
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

    def _message(self, content: bytes) -> None:
        batch = wire.decode_batch(content)
        if batch.hello is not None and not self._hello.done():
            self._hello.set_result(wire.greeted(batch.hello))
        else:
            self._act(lambda connection: connection.take(batch))

    def _signal(self, kind: int, series: int, call: int, at: int) -> None:
        self._act(lambda connection: connection.signal(kind, series, call, at))

    def _act(self, act: Callable[[Connection], None]) -> None:
        if self._connection is None:
            self._waiting.append(act)
        else:
            act(self._connection)
