"""What a database holds of a run, and how it is read by the standard library alone."""

from __future__ import annotations

import json
import sqlite3
from array import array
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


Key = tuple[int, int]
"""A call: its process and its number there."""


@dataclass(frozen=True)
class Span:
    """A call as it is stored."""

    name: str
    parent: Key | None
    started: int
    duration: int | None
    status: str
    error: str | None


@dataclass(frozen=True)
class Value:
    """A result as it is stored."""

    value: float
    data: dict[str, float] | None
    provenance: str
    samples: int = 0
    """How many samples of its series the collector had when it was made."""

    @property
    def is_estimated(self) -> bool:
        """Whether it says of itself that it may be wrong."""
        return self.provenance == "estimated"


@dataclass
class Stored:
    """What is in the database after a round."""

    spans: dict[Key, Span] = field(default_factory=dict)
    results: dict[tuple[int, int, str], Value] = field(default_factory=dict)
    """By the process, the number of the call and the description."""
    values: list[tuple[int, int, int]] = field(default_factory=list)
    """Process, time and value, sorted."""
    samples: dict[tuple[int, str, int], list[tuple[int, float]]] = field(default_factory=dict)
    """Time and value, sorted; by the process, the name and the interval of the source."""
    processes: dict[int, tuple[int, int | None, str | None]] = field(default_factory=dict)
    """When each began and ended, and how."""
    events: set[tuple[int, str, str]] = field(default_factory=set)
    """Process, kind and type."""
    run: tuple[str, int | None] = ("running", None)
    recorded: int | None = None
    """How many records there were in all, once the run has ended; none was dropped."""
    answered: set[int] = field(default_factory=set)
    """The flushes that are answered: by their place in the script."""


def look(database: Path, numbers: dict[int, int]) -> Stored:
    """Return what a database holds of its run.

    Args:
        database: The file.
        numbers: The processes of the script by their pids.
    """
    found = Stored()
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        execute = connection.execute
        processes: dict[int, int] = {}
        for key, pid, started, ended, ending in execute("select id, pid, started, ended, ending from process"):
            processes[key] = numbers[pid]
            assert numbers[pid] not in found.processes
            found.processes[numbers[pid]] = (started, ended, ending)
        spans: dict[int, tuple[int, int]] = {}
        for key, process, number in execute("select id, process_id, number from span"):
            spans[key] = processes[process], number
        columns = "id, name, parent, started, duration, status, error"
        for key, name, parent, *rest in execute(f"select {columns} from span"):
            # Of a call that is not stored, the key still says which it is.
            above = None if parent is None else (processes[parent >> 40], parent & ((1 << 40) - 1))
            found.spans[spans[key]] = Span(name, above, *rest)
        kinds: dict[int, tuple[int, str, int]] = {}
        for key, process, kind, interval in execute("select id, process_id, type, interval from series"):
            assert (processes[process], kind, interval) not in kinds.values()
            kinds[key] = processes[process], kind, interval
        columns = "span, process_id, type, description, value, data, series_id, provenance, recorded"
        for span, process, kind, description, value, data, series, provenance, recorded in execute(
            f"select {columns} from result"
        ):
            if span is None:
                found.values.append((processes[process], recorded, value))
                continue
            where = (*spans[span], description)
            assert where not in found.results, "a result is stored twice"
            assert spans[span][0] == processes[process]
            assert series is None or kinds[series][:2] == (processes[process], kind)
            assert recorded == found.spans[spans[span]].started + (found.spans[spans[span]].duration or 0)
            found.results[where] = Value(value, None if data is None else json.loads(data), provenance)
        for series, t, value in execute("select series_id, t, value from sample"):
            found.samples.setdefault(kinds[series], []).append((t, value))
        for series, count, times, values in execute('select series_id, n, times, "values" from chunk'):
            moments, packed = array("q", times), array("d", values)
            assert len(moments) == len(packed) == count
            found.samples.setdefault(kinds[series], []).extend(zip(moments, packed, strict=True))
        for process, kind, data in execute("select process_id, kind, data from event"):
            found.events.add((processes[process], kind, json.loads(data or "{}").get("type", "")))
        ((status, ended, collector),) = execute("select status, ended, collector from run").fetchall()
        found.run = status, ended
        account = json.loads(collector)
        if ended is not None:
            assert account["stored"] == account["recorded"]
            assert [account[each] for each in ("dropped", "samples_dropped", "ticks_missed")] == [{}, 0, 0]
            found.recorded = account["recorded"]
    for samples in found.samples.values():
        samples.sort()
    found.values.sort()
    return found
