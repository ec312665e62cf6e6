"""Who takes part in a run: processes that join it and leave it, and writers that share it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from umlaut_async.records import LOST
from umlaut_async.store.deaths import take_back, write_event
from umlaut_async.store.models import Process, Run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.ext.asyncio import AsyncSession

    from umlaut_async.records import Ending
    from umlaut_async.store.deaths import Death

_SUMS = ("recorded", "stored", "samples_dropped", "ticks_missed", "cpu_time")
_PEAKS = ("worst_lateness",)
_FROM_GOOD_TO_BAD = ("ok", "error", LOST)


async def add_process(session: AsyncSession, run_uuid: str, process: dict[str, Any]) -> int:
    """Add a process to a run, and return its key."""
    member = Process(run_uuid=run_uuid, **process)
    session.add(member)
    await session.flush()
    return member.id


async def begin_process(session: AsyncSession, run_uuid: str, process_id: int, started: int, seen: int) -> None:
    """Write when a process began to take part in its run, and when that began: with the first of its processes.

    Args:
        session: A session in a transaction.
        run_uuid: The key of the run.
        process_id: The key of the process.
        started: The time, in nanoseconds since the epoch.
        seen: When the process is known to live, in the same.
    """
    # Of two that do so at once, the second waits here, and then sees what the first has written.
    await session.scalars(select(Run.uuid).where(Run.uuid == run_uuid).with_for_update())
    row = update(Process).where(Process.id == process_id)
    await session.execute(row.values(started=started, last_seen=seen))
    first = select(func.min(Process.started)).where(Process.run_uuid == run_uuid).scalar_subquery()
    await session.execute(update(Run).where(Run.uuid == run_uuid).values(started=first))


async def find_process(session: AsyncSession, run_uuid: str, pid: int) -> int | None:
    """Return the key that a process of this machine has in a run; others of the run may have the same pid elsewhere."""
    here = select(Process.id).where(Process.host == socket.gethostname(), Process.pid == pid)
    return await session.scalar(here.where(Process.run_uuid == run_uuid).order_by(Process.id.desc()).limit(1))


def heartbeat(processes: Collection[int], seen: int) -> str:
    """Return the statement that processes are alive.

    Args:
        processes: Their keys.
        seen: The time of the wall clock, in nanoseconds since the epoch: readers on other machines compare it with
            theirs, and the clock of the other times stands still while a machine sleeps.
    """
    living = ", ".join(map(str, processes)) or "NULL"
    return f"UPDATE process SET last_seen = {seen:d} WHERE id IN ({living})"


async def end_processes(
    session: AsyncSession, processes: Collection[int], ended: int, how: str, deaths: Iterable[Death] = ()
) -> None:
    """Write the end of processes.

    Args:
        session: A session in a transaction.
        processes: Their keys.
        ended: The time, in nanoseconds since the epoch.
        how: What ended them.
        deaths: What is known of those that ended without a word.
    """
    await session.run_sync(take_back, processes)
    for death in deaths:
        await session.run_sync(write_event, death)
    rows = update(Process).where(Process.id.in_(processes))
    await session.execute(rows.values(ended=ended, last_seen=ended, ending=how))


async def end_run(
    session: AsyncSession, run_uuid: str, ended: int, ending: Ending, collector: dict[str, object]
) -> None:
    """End a run that has one writer.

    Args:
        session: A session in a transaction.
        run_uuid: The key of the run.
        ended: The time, in nanoseconds since the epoch.
        ending: How it ended.
        collector: What the collector says of itself.
    """
    row = update(Run).where(Run.uuid == run_uuid)
    await session.execute(row.values(ended=ended, status=ending.status, collector=collector))


async def resume_run(session: AsyncSession, run_uuid: str, process_id: int) -> None:
    """Take back the end of a run, and of the process that began it.

    Args:
        session: A session in a transaction.
        run_uuid: The key of the run.
        process_id: The key of the process.
    """
    await session.execute(update(Process).where(Process.id == process_id).values(ended=None, ending=None))
    await session.execute(update(Run).where(Run.uuid == run_uuid).values(ended=None, status="running"))


async def end_part(
    session: AsyncSession, run_uuid: str, ended: int, ending: Ending, collector: dict[str, object]
) -> None:
    """End the part that one writer has in a run, whose processes have ended; if it is the last one, end the run.

    Args:
        session: A session in a transaction.
        run_uuid: The key of the run.
        ended: The time, in nanoseconds since the epoch.
        ending: How the writer's part ended.
        collector: What its collector says of itself.
    """
    # Of two that end at once, the second waits here, and then sees the end of the first.
    run = (await session.scalars(select(Run).where(Run.uuid == run_uuid).with_for_update())).one()
    run.collector = merged(run.collector, collector, ending.status)
    members = select(func.count(), func.count(Process.ended), func.max(Process.ended))
    count, left, last = (await session.execute(members.where(Process.run_uuid == run_uuid))).one()
    if left == count:
        # Who is the last to write its end was not always the last to end.
        run.ended = max(ended, last or 0)
        run.status = run.collector["status"]


def merged(before: Any, collector: dict[str, object], status: str) -> dict[str, Any]:
    """Return the accounts of several collectors as one.

    Args:
        before: That of the others.
        collector: That of one more, which counts alone where it is not about numbers of records.
        status: How that one's part ended.
    """
    before = before if isinstance(before, dict) else {}
    numbers = {name: before.get(name, 0) + collector.get(name, 0) for name in _SUMS}
    numbers |= {name: max(before.get(name, 0), collector.get(name, 0)) for name in _PEAKS}
    dropped: dict[str, Any] = dict(before.get("dropped", {}))
    mine: Any = collector.get("dropped", {})
    for reason, count in mine.items():
        dropped[reason] = dropped.get(reason, 0) + count
    worst = max(before.get("status", "ok"), status, key=_FROM_GOOD_TO_BAD.index)
    return {**before, **collector, **numbers, "dropped": dropped, "status": worst}
