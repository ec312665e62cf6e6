"""What a collector sees of the processes of its run each second, for the case that one of them dies."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from umlaut_async.probes import cgroup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

T = TypeVar("T")

BEAT = 1.0
"""The seconds from one heartbeat to the next."""


_TELLING = 0.25
"""How often those who wait for a round of work are told how it gets on, in seconds."""


class Seen(NamedTuple):
    """What was seen of a process."""

    memory: float | None
    """Its resident memory, in MiB."""
    oom_kills: int | None
    """How many processes of its control group have been killed since then, for want of memory."""


class Vitals:
    """Remembers what it has seen last of each process."""

    def __init__(self) -> None:
        self._memory: dict[int, float] = {}
        self._kills = cgroup.events().oom_kills

    def look(self, pids: Iterable[int]) -> None:
        """See how much memory processes of this machine have."""
        for pid in pids:
            try:
                with open(f"/proc/{pid}/statm", "rb") as file:
                    pages = int(file.read().split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if pages:  # One that has ended has none, until its parent has waited for it.
                self._memory[pid] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def seen(self, pid: int) -> Seen:
        """Return what was seen of a process last."""
        kills = cgroup.events().oom_kills
        known = kills is not None and self._kills is not None and kills >= self._kills
        return Seen(self._memory.get(pid), kills - self._kills if known else None)  # type: ignore[operator]  # known


async def wait(attention: asyncio.Event, seconds: float, beat: Callable[[], Awaitable[None]]) -> None:
    """Wait until attention is wanted, for so many seconds at the most, with a heartbeat in each second of it.

    Args:
        attention: Set when it is.
        seconds: How long to wait.
        beat: Makes a heartbeat.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while (left := end - clock()) > 0:
        try:
            async with asyncio.timeout(min(left, BEAT)):
                await attention.wait()
            return
        except TimeoutError:
            # Where the wait is over, what comes next is as good as a heartbeat.
            if clock() < end:
                await beat()


async def told(work: Coroutine[Any, Any, T], tell: Callable[[], Awaitable[None]]) -> T:
    """Return what work comes to, and tell of it now and then while it goes on, and at its end.

    Args:
        work: The work.
        tell: Tells of it.
    """
    working = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([working], timeout=_TELLING))[0]:
            await tell()
    finally:
        await asyncio.wait([working])
    await tell()
    return working.result()
