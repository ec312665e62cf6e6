"""Kills its process at a named moment. As `sitecustomize` it is part of every interpreter that a test starts.

The environment variable KILL_AT says where: in which process ("measured" or "collector"), at which event ("sql" and a
regular expression that a statement matches, or "send" of a message to the other process), at which of those that are
alike, and how many seconds later.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from typing import Any


def _install(where: str, event: str, pattern: str, which: int, delay: float) -> None:
    is_collector = any("umlaut_async.collector.host" in word for word in sys.orig_argv)
    if is_collector != (where == "collector"):
        return
    count = itertools.count(1)

    def die() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def happens() -> None:
        if next(count) == which:
            if delay:
                threading.Thread(target=die, daemon=True).start()
            else:
                die()

    if event == "send":
        _at_messages(happens)
    else:
        _at_statements(re.compile(pattern), happens)


def _at_messages(happens: Any) -> None:
    from umlaut_async.collector.channel import Channel

    send = Channel.send

    async def sending(self: Channel, message: bytes) -> None:
        happens()
        await send(self, message)

    Channel.send = sending  # type: ignore[method-assign]


def _at_statements(wanted: re.Pattern[str], happens: Any) -> None:
    import sqlite3

    from umlaut_async.store import driver

    # So that every commit is followed by a checkpoint.
    driver.LOG_SIZE = 0
    connect: Any = sqlite3.connect

    def traced(statement: str) -> None:
        if wanted.match(statement):
            happens()

    def connecting(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        if not options.get("uri"):
            connection.set_trace_callback(traced)
        return connection

    sqlite3.connect = connecting


if __name__ != "tests.kill_at" and "KILL_AT" in os.environ:
    _install(*json.loads(os.environ["KILL_AT"]))
