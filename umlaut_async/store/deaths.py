"""How a run was lost: what is known of it, the sentence that says it, and how it is written into the database."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select, update

from umlaut_async.probes import cgroup
from umlaut_async.records import LOST, UNKNOWN
from umlaut_async.store import lost as losses
from umlaut_async.store.models import Chunk, Event, Process, Run, Sample, Series, Span, key
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.lost import Lost

__all__ = ["Death", "OpenCall", "Witness", "as_event", "derived", "take_back", "write_event", "write_lost"]

_KIND = "lost"
"""The kind of the event that says how a run, or a process of it, was lost."""
_NUMBER = 0
"""Its number. The collector of the process counts from 1, and may still write."""
_NAMED = 5
"""How many open calls a sentence names."""
_STORED = 100
"""How many are stored with the event."""


class OpenCall(NamedTuple):
    """A call that had not ended."""

    name: str
    started: int


class Witness(NamedTuple):
    """What is known of the last moments of a process beside what is in the database."""

    how: str = UNKNOWN
    memory: float | None = None
    """The resident memory that was seen last, in MiB."""
    oom_kills: int | None = None
    """How many processes of its control group were killed meanwhile since memory had run out."""


class Death(NamedTuple):
    """The end of a process, or of several of one run together."""

    run_uuid: str
    processes: tuple[int, ...]
    """Their keys, first that of which the rest is told."""
    host: str
    pid: int
    last_seen: int
    open_calls: tuple[OpenCall, ...]
    witness: Witness

    def sentence(self) -> str:
        """Return all of it in one sentence."""
        how, memory, kills = self.witness
        try:
            seen = datetime.fromtimestamp(self.last_seen / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (OverflowError, OSError, ValueError):  # a database may hold any number
            seen = str(self.last_seen)
        verb = "was " if how.startswith("killed") else ""
        parts = [f"process {self.pid} on {self.host} {verb}{how}", f"it was last seen at {seen}"]
        if len(self.processes) > 1:
            parts.append(f"{len(self.processes) - 1} more of its run ended with it")
        parts.append(self._calls())
        if memory is not None:
            parts.append(f"its resident memory was {memory:,.0f} MiB when it was last read")
        if kills:
            parts.append(f"the kernel killed {kills} process(es) of its control group, whose memory had run out")
        return "; ".join(parts)

    def _calls(self) -> str:
        calls = self.open_calls
        if not calls:
            return "no call was open"
        named = [f"{call.name!r} for {max(0, self.last_seen - call.started) / 1e9:,.1f} s" for call in calls[:_NAMED]]
        more = f" and {len(calls) - _NAMED} more" if len(calls) > _NAMED else ""
        return f"{len(calls)} call{'s were' if len(calls) > 1 else ' was'} open: {', '.join(named)}{more}"

    def data(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "how": self.witness.how,
            "host": self.host,
            "pid": self.pid,
            "last_seen": self.last_seen,
            "processes": len(self.processes),
            "open": len(self.open_calls),
            "open_calls": [call._asdict() for call in self.open_calls[:_STORED]],
            "memory": self.witness.memory,
            "oom_kills": self.witness.oom_kills,
        }


def derived(session: Session, lost: Lost) -> list[Death]:
    """Return what a database tells of the ends of what is lost."""
    if not lost.processes:
        return []
    query = select(Process.run_uuid, Process.id, Process.host, Process.pid, Process.last_seen)
    by_run: dict[str, list[Any]] = {}
    for row in session.execute(query.where(Process.id.in_(lost.processes)).order_by(Process.started, Process.id)):
        by_run.setdefault(row[0], []).append(row)
    return [_death(session, members) for members in by_run.values()]


def _death(session: Session, members: Sequence[Any]) -> Death:
    run_uuid, first, host, pid, _ = members[0]
    keys = tuple(member.id for member in members)
    last_seen = max(member.last_seen for member in members)
    open_calls = select(Span.name, Span.started).where(Span.process_id.in_(keys), Span.status == "running")
    calls = tuple(OpenCall(*row) for row in session.execute(open_calls.order_by(Span.started, Span.id)))
    witness = Witness(UNKNOWN, _last_memory(session, first), _oom_kills(session, run_uuid, host))
    return Death(run_uuid, keys, host, pid, last_seen, calls, witness)


def _last_memory(session: Session, process_id: int) -> float | None:
    """Return the memory that was sampled last of a process, or of it with its children."""
    of_memory = select(Series.id).where(Series.process_id == process_id, Series.type == "memory")
    samples = select(Sample.t, Sample.value).where(Sample.series_id.in_(of_memory)).order_by(Sample.t.desc()).limit(1)
    chunks = select(Chunk.t1, Chunk.last).where(Chunk.series_id.in_(of_memory)).order_by(Chunk.t1.desc()).limit(1)
    found = [*session.execute(samples), *session.execute(chunks)]
    return max(found)[1] if found else None


def _oom_kills(session: Session, run_uuid: str, host: str) -> int | None:
    """Return how often memory ran out in the control group of a run since it began, if this process is in it too."""
    environment = session.scalar(select(Run.environment).where(Run.uuid == run_uuid))
    limits = environment.get("limits") if isinstance(environment, dict) else None
    if host != socket.gethostname() or not isinstance(limits, dict) or limits.get("group") != cgroup.memory_group():
        return None
    before = limits["events"].get("oom_kills") if isinstance(limits.get("events"), dict) else None
    after = cgroup.events().oom_kills
    return after - before if isinstance(before, int) and after is not None and after >= before else None


def write_lost(session: Session) -> list[Death]:
    """Write into a database what is lost in it, and return it.

    Who is wrongly taken for dead, since it could not be heard, its clock was set or its host is known by the name of
    this one, is not harmed: the end that it writes itself counts, and takes this back.
    """
    if not (seen := losses.find(session).processes):
        return []
    # Of two that do this at once, on a server, the second waits here, and then sees what the first has written.
    runs = select(Run.uuid).where(Run.uuid.in_(select(Process.run_uuid).where(Process.id.in_(seen))))
    lost = losses.find(session, session.scalars(runs.order_by(Run.uuid).with_for_update()).all())
    found = derived(session, lost)
    for death in found:
        _store(session, death, run_ended=death.run_uuid in lost.runs)
    return found


def _store(session: Session, death: Death, *, run_ended: bool) -> None:
    """Write the end of processes, and of the calls that ran in them, with an event that says it.

    Args:
        session: A session in a transaction.
        death: Their end.
        run_ended: Whether it is the end of the run.
    """
    ended = death.last_seen
    write_event(session, death)
    calls = update(Span).where(Span.process_id.in_(death.processes), Span.status == "running")
    session.execute(calls.where(Span.started <= ended).values(status=LOST, duration=ended - Span.started))
    session.execute(calls.values(status=LOST, duration=0))
    rows = update(Process).where(Process.id.in_(death.processes), Process.ended.is_(None))
    session.execute(rows.values(ended=ended, ending=death.witness.how))
    if run_ended:
        run = update(Run).where(Run.uuid == death.run_uuid, Run.status == "running")
        session.execute(run.values(ended=ended, status=LOST))


def write_event(session: Session, death: Death) -> None:
    """Write the event that says how processes ended, in place of an earlier one."""
    session.merge(as_event(death))
    session.flush()


def take_back(session: Session, processes: Collection[int]) -> None:
    """Delete what says that processes were lost, since they were not."""
    session.execute(delete(Event).where(Event.id.in_([key(process_id, _NUMBER) for process_id in processes])))


def as_event(death: Death) -> Event:
    """Return the event that says how processes ended."""
    process_id, t = death.processes[0], death.last_seen
    message = storable(death.sentence())
    return Event(
        id=key(process_id, _NUMBER), process_id=process_id, t=t, kind=_KIND, message=message, data=death.data()
    )
