"""UMLAUT's databases, taken over into one of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.errors import ArgumentError, StoreError
from umlaut_async.legacy.forms import Form, Found, find, reading
from umlaut_async.legacy.run_rows import RunRows, Stored
from umlaut_async.legacy.times import from_text
from umlaut_async.legacy.views import connect_found
from umlaut_async.store.engine import open_store, transaction
from umlaut_async.store.inserts import insert_for
from umlaut_async.store.location import look, resolve
from umlaut_async.store.models import Chunk, Event, Process, Result, Run, Sample, Series

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from umlaut_async.store.location import Location

__all__ = ["Imported", "import_database"]

_BATCH = 500
_WITHOUT_RUN = "unknown"
_MEASUREMENTS = (
    "SELECT id, ifnull(uuid, ?), measurement_datetime, measurement_description, measurement_type, measurement_data,"
    " measurement_unit, measured_method_name,"
    " (SELECT typeof(stored.measurement_data) FROM main.measurement AS stored WHERE stored.id = shown.id) = 'blob'"
    " FROM measurement AS shown ORDER BY id"
)
_RUNS = """
SELECT known.uuid, meta_description, meta_name, meta_start_time, first, last, number
FROM (SELECT uuid FROM benchmark_metadata WHERE uuid IS NOT NULL
    UNION SELECT ifnull(uuid, :unknown) FROM measurement) AS known
LEFT JOIN benchmark_metadata AS run ON run.uuid = known.uuid
LEFT JOIN (SELECT ifnull(uuid, :unknown) AS uuid, min(measurement_datetime) AS first,
    max(measurement_datetime) AS last, count(*) AS number FROM main.measurement GROUP BY 1) AS measured
    ON measured.uuid = known.uuid
ORDER BY meta_start_time, known.uuid
"""


class Imported(NamedTuple):
    """What was taken over."""

    runs: int
    measurements: int
    unreadable: int
    """Measurements that could not be read."""
    swapped: int
    """Latencies and throughputs that UMLAUT had stored under each other's names."""


def import_database(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    fix_swapped: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Add all runs of a database that UMLAUT wrote to one of ours, which is made if it is not there; or none of them.

    Args:
        old: The database of UMLAUT.
        new: The database of ours.
        fix_swapped: Whether latencies and throughputs that UMLAUT stored under each other's names are exchanged.
        progress: Told how many of how many measurements are done.

    Raises:
        ArgumentError: These name no two files, or the old one is ours already.
        StoreError: One of them cannot be used, or has one of the runs already; the leaf says why.
    """
    found = find(old)
    if found.form is Form.OURS:
        raise ArgumentError(f"{found.path} is a database of umlaut_async already; pass one that UMLAUT wrote")
    location = resolve(new)
    if location.path is None:
        raise StoreError("old databases are imported into files only; pass the path of an SQLite file")
    if os.path.exists(location.path) and os.path.samefile(location.path, found.path):
        raise ArgumentError(f"{found.path} cannot be imported into itself; choose another path for the new database")
    look(location, "a")
    with contextlib.closing(connect_found(found)) as connection, reading(found.path):
        connection.execute("BEGIN")
        return asyncio.run(_Import(connection, found, fix_swapped, progress).run(location))


class _Import:
    def __init__(
        self,
        connection: sqlite3.Connection,
        found: Found,
        fix_swapped: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._connection = connection
        self._found = found
        self._fix_swapped = fix_swapped
        self._progress = progress or (lambda done, total: None)

    async def run(self, location: Location) -> Imported:
        runs: dict[str, RunRows] = {}
        total = self._connection.execute("SELECT count(*) FROM main.measurement").fetchone()[0]
        engine = await open_store(location)
        try:
            async with transaction(engine, durable=True) as session:
                for row in self._connection.execute(_RUNS, {"unknown": _WITHOUT_RUN}).fetchall():
                    uuid = str(row[0])
                    if await session.get(Run, uuid) is not None:
                        raise StoreError(f"run {uuid} is in {location.given} already; import into another database")
                    runs[uuid] = await self._add_run(session, uuid, *row[1:])
                done = 0
                self._progress(done, total)
                for batch in self._batches():
                    stored = Stored()
                    for uuid, row in batch:
                        runs[uuid].add(stored, *row)
                    await _store(session, stored)
                    done += len(batch)
                    self._progress(done, total)
                stored = Stored()
                for rows in runs.values():
                    rows.finish(stored)
                await _store(session, stored)
        finally:
            await engine.dispose()
        every = runs.values()
        return Imported(len(runs), done, sum(rows.unreadable for rows in every), sum(rows.swapped for rows in every))

    def _batches(self) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
        cursor = self._connection.execute(_MEASUREMENTS, (_WITHOUT_RUN,))
        while rows := cursor.fetchmany(_BATCH):
            yield [(str(uuid), (number, *rest)) for number, uuid, *rest in rows]

    async def _add_run(
        self,
        session: AsyncSession,
        uuid: str,
        description: object,
        name: object,
        start: object,
        first: object,
        last: object,
        number: int | None,
    ) -> RunRows:
        moments = [moment for moment in map(from_text, (start, first, last)) if moment is not None]
        started = moments[0] if moments else 0
        ended = max([started, *moments])
        count = number or 0
        source = {"file": os.path.basename(self._found.path), "form": self._found.form.value}
        session.add(
            Run(
                uuid=uuid,
                description=_text(description),
                name=_text(name),
                tags=[],
                started=started,
                ended=ended,
                status="ok",
                environment={"timezone": "unknown", "imported": source},
                collector={"mode": "import", "recorded": count, "stored": count, "dropped": {}},
            )
        )
        await session.flush()
        process = Process(
            run_uuid=uuid, host="", pid=0, started=started, last_seen=ended, ended=ended, ending="imported"
        )
        session.add(process)
        await session.flush()
        return RunRows(process.id, started, self._fix_swapped)


async def _store(session: AsyncSession, stored: Stored) -> None:
    connection = await session.connection()
    await insert_for(Result).run(connection, stored.results)
    await insert_for(Series).run(connection, stored.series)
    await insert_for(Chunk, without_id=True).run(connection, stored.chunks)
    await insert_for(Sample, without_id=True).run(connection, stored.samples)
    await insert_for(Event).run(connection, stored.events)


def _text(value: object) -> str:
    return "" if value is None else str(value)
