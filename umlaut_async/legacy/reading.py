"""The measurements and runs of any database, as Python values."""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.legacy.data import decode_shown
from umlaut_async.legacy.forms import find
from umlaut_async.legacy.forms import reading as _errors_on
from umlaut_async.legacy.views import connect_found

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

__all__ = ["Measured", "RunMeta", "read", "runs"]


class Measured(NamedTuple):
    """One measurement."""

    id: int
    uuid: str
    measurement_datetime: datetime.datetime | None
    measurement_description: str
    measurement_type: str
    measurement_data: Any
    measurement_unit: str
    measured_method_name: str


class RunMeta(NamedTuple):
    """One run."""

    uuid: str
    meta_description: str
    meta_name: str
    meta_start_time: datetime.datetime | None


def read(
    db_file: str | os.PathLike[str],
    uuids: Iterable[str] = (),
    types: Iterable[str] = (),
    descriptions: Iterable[str] = (),
) -> Iterator[Measured]:
    """Yield measurements in the order in which they were stored.

    Args:
        db_file: The database.
        uuids: The runs, all by default.
        types: The types, all by default.
        descriptions: The descriptions, all by default.

    Raises:
        StoreError: It cannot be read, or neither we nor UMLAUT wrote it; the leaf says why.
    """
    found = find(db_file)
    wanted = {"uuid": [*uuids], "measurement_type": [*types], "measurement_description": [*descriptions]}
    conditions = [f"{column} IN ({', '.join('?' * len(these))})" for column, these in wanted.items() if these]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT {', '.join(Measured._fields)} FROM measurement{where} ORDER BY id"
    with contextlib.closing(connect_found(found)) as connection, _errors_on(found.path):
        for row in connection.execute(query, [value for these in wanted.values() for value in these]):
            number, uuid, time, description, type_, text, unit, method = row
            yield Measured(
                number, _text(uuid), _time(time), _text(description), _text(type_), decode_shown(text), _text(unit),
                _text(method),
            )  # fmt: skip


def runs(db_file: str | os.PathLike[str]) -> list[RunMeta]:
    """Return the runs, the oldest first.

    Raises:
        StoreError: It cannot be read, or neither we nor UMLAUT wrote it; the leaf says why.
    """
    found = find(db_file)
    query = f"SELECT {', '.join(RunMeta._fields)} FROM benchmark_metadata ORDER BY meta_start_time, uuid"
    with contextlib.closing(connect_found(found)) as connection, _errors_on(found.path):
        return [
            RunMeta(_text(uuid), _text(description), _text(name), _time(start))
            for uuid, description, name, start in connection.execute(query)
        ]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _time(value: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None
