"""A connection between a measured process and a collector: what was sent arrives, however the other end has gone."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from umlaut_async.collector.channel import Channel
from umlaut_async.collector.signals import LAST_TAG

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")


@pytest.mark.parametrize("unread", [False, True])
async def test_what_was_sent_arrives_though_the_other_end_has_gone_without_reading_all(unread: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        channel, messages = Channel(ours), list[bytes]()
        if unread:
            await channel.send(b"an answer that nobody reads")
        for number in range(100):
            theirs.send(bytes((LAST_TAG, number)))
    channel.listen(messages.append, lambda *_: None)
    async with asyncio.timeout(30):
        await channel.ended()
    channel.close()
    assert messages == [bytes((number,)) for number in range(100)]
