"""Our databases, written in the last form that UMLAUT had."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.errors import OldDatabaseError, StoreError
from umlaut_async.legacy import ours
from umlaut_async.legacy.conversion import split_entries
from umlaut_async.legacy.data import decode_shown
from umlaut_async.legacy.forms import Form, find, reading
from umlaut_async.legacy.views import connect_found
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Exported", "export_database"]

_TABLES = """
CREATE TABLE benchmark_metadata (
    uuid VARCHAR NOT NULL, meta_description VARCHAR, meta_name VARCHAR, meta_start_time DATETIME, PRIMARY KEY (uuid)
);
CREATE TABLE measurement (
    id INTEGER NOT NULL, uuid VARCHAR, measurement_datetime DATETIME, measurement_description VARCHAR NOT NULL,
    measurement_type VARCHAR, measurement_data JSON, measurement_unit VARCHAR, measured_method_name VARCHAR,
    PRIMARY KEY (id), FOREIGN KEY(uuid) REFERENCES benchmark_metadata (uuid)
);
"""
_RESULTS = f"""
SELECT shown.*, result.value, result.data,
    (SELECT duration FROM main.span WHERE span.id = result.span)
FROM ({ours.MEASUREMENTS.format(complete=True)}) AS shown JOIN main.result ON result.id = shown.id
WHERE ? IS NULL OR shown.uuid = ? ORDER BY shown.id
"""
# What UMLAUT has no tables for.
_WITHOUT_PLACE = {
    "calls": ("span", "TRUE"),
    "events": ("event", "TRUE"),
    "unavailable metrics": ("result", ours.UNAVAILABLE),
}
_OF_RUN = "JOIN main.process ON process.id = {}.process_id WHERE (? IS NULL OR process.run_uuid = ?)"
_BATCH = 500
_LARGEST = 1 << 63


class Exported(NamedTuple):
    """What was written."""

    runs: int
    measurements: int
    left_out: dict[str, int]
    """How many rows have no place in the old form, by what they are."""


def export_database(
    db_file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    run_uuid: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a database of ours as UMLAUT would have, into a new file.

    Args:
        db_file: The database.
        out: The file to make.
        run_uuid: The run to write; all by default.
        progress: Told how many of how many measurements are done.

    Raises:
        ArgumentError: One of these names no file.
        StoreError: The database cannot be read, or the file cannot be made; the leaf says why.
    """
    found = find(db_file)
    if found.form is not Form.OURS:
        raise OldDatabaseError(
            f"{found.path} was written by UMLAUT; what is exported is ours, so `umlaut import` it first"
        )
    target = resolve(out)
    if target.path is None:
        raise StoreError("UMLAUT's databases are files only; pass a path to export to")
    if os.path.lexists(target.path):
        raise StoreError(f"{target.path} exists already; choose another path to export to")
    with contextlib.closing(connect_found(found)) as source, reading(found.path):
        source.execute("BEGIN")
        with _made(target.path) as connection:
            return _export(source, connection, run_uuid, progress or (lambda done, total: None))


@contextlib.contextmanager
def _made(path: str) -> Iterator[sqlite3.Connection]:
    """Make a file, which is there with all of its content or not at all."""
    partial = f"{path}.part"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        with reading(path), contextlib.closing(sqlite3.connect(partial)) as connection, connection:
            connection.executescript(_TABLES)
            yield connection
        os.rename(partial, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}; choose another path") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)


def _export(
    source: sqlite3.Connection, target: sqlite3.Connection, uuid: str | None, progress: Callable[[int, int], None]
) -> Exported:
    chosen = (uuid, uuid)
    runs = source.execute(f"{ours.RUNS} WHERE ? IS NULL OR uuid = ? ORDER BY started", chosen).fetchall()
    target.executemany("INSERT INTO benchmark_metadata VALUES (?, ?, ?, ?)", runs)
    total, done = _count(source, "result", f"NOT {ours.UNAVAILABLE}", chosen), 0
    progress(done, total)
    results = source.execute(_RESULTS, chosen)
    while rows := results.fetchmany(_BATCH):
        measurements = [_measurement(number, *row) for number, row in enumerate(rows, done + 1)]
        target.executemany("INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?)", measurements)
        done += len(rows)
        progress(done, total)
    left_out = {name: _count(source, *which, chosen) for name, which in _WITHOUT_PLACE.items()}
    return Exported(len(runs), done, {name: count for name, count in left_out.items() if count})


def _count(source: sqlite3.Connection, table: str, which: str, chosen: tuple[str | None, ...]) -> int:
    query = f"SELECT count(*) FROM main.{table} {_OF_RUN.format(table)} AND {which}"
    return int(source.execute(query, chosen).fetchone()[0])


def _measurement(number: int, _: int, *row: Any) -> tuple[Any, ...]:
    uuid, time, description, type_, shown, unit, method, value, data, duration = row
    if type_ == "latency" and value is not None:
        description = _with_entries(description, value, decode_shown(data), duration)
    return number, uuid, time, description, type_, _stored(type_, decode_shown(shown)), unit, method


def _with_entries(description: str, value: float, data: Any, duration: int | None) -> str:
    """Return the description of a latency with the number of its entries, as UMLAUT stored it."""
    entries = data.get("entries") if isinstance(data, dict) else None
    if entries is None and value and duration:
        exact = duration / 1e9 / value
        entries = round(exact) if math.isclose(exact, round(exact), rel_tol=1e-6) else exact
    # Else the end of a user's own words would be taken for such a number.
    if entries is None and split_entries(description)[0] == description:
        return description
    return f"{description}\n (#Entries = {entries})"


def _stored(measurement_type: str, value: Any) -> Any:
    """Return a value as UMLAUT's column of JSON holds it."""
    if measurement_type == "energy" and isinstance(value, int | float):
        return json.dumps(json.dumps(value))
    if measurement_type == "confusion-matrix" and isinstance(value, dict):
        return json.dumps(json.dumps(value, indent=4))
    # As a number, since SQLite would make one of the text, and not always the same.
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return value
    return json.dumps(value)
