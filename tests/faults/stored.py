"""What a program has stored, read by the standard library alone."""

from __future__ import annotations

import sqlite3
import time
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Row


def results(database: Path, stage: str, measure_type: str, description: str | None = None) -> list[Row]:
    """Return the results of the calls of a stage, in the order of the calls, with the span's columns beside them."""
    found = read(
        database,
        "select span.name, span.started, span.duration, span.status, span.producing, result.type, result.description,"
        " result.value, result.unit, result.data, result.provenance from result join span on span.id = result.span"
        " where span.name = ? and result.type = ? order by span.process_id, span.number",
        stage,
        measure_type,
    )
    return [row for row in found if description in (None, row["description"])]


def events(database: Path) -> list[Row]:
    """Return the events, oldest first."""
    return read(database, "select kind, message, data from event order by t")


def runs(database: Path) -> list[Row]:
    """Return the runs, oldest first, each with the number of its calls."""
    return read(
        database,
        "select run.*, count(span.id) as calls from run left join process on process.run_uuid = run.uuid"
        " left join span on span.process_id = process.id group by run.uuid order by run.started",
    )


def ended_runs(database: Path, patience: float = 15) -> list[Row]:
    """Return the runs once none is running, since a collector of its own outlives the program a little."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with suppress(sqlite3.OperationalError):  # It may still be made.
            if (found := runs(database)) and all(run["status"] != "running" for run in found):
                return found
        time.sleep(0.05)
    return runs(database)


def samples(database: Path) -> list[int]:
    """Return the times of all samples, in order."""
    times = [row["t"] for row in read(database, "select t from sample")]
    for row in read(database, "select times from chunk"):
        times += array("q", row["times"])
    return sorted(times)
