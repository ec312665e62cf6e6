"""What fails while a database is read: its own values are to blame only where it has some that nobody here writes."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import store
from tests.cli.rows import event, process, result, run, series, span
from umlaut_async.analysis import Results
from umlaut_async.errors import CorruptStoreError
from umlaut_async.store.chunks import BLOCK, pack
from umlaut_async.store.models import Chunk
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store

__all__ = ["store"]

FOREIGN = {
    "run.tags": ["'no JSON'", "'5'", "null", "x'00ff'", "7"],
    "run.started": ["'yesterday'", "null", "1.5"],
    "run.name": ["x'00ff'"],
    "run.collector": ["'[]'"],
    "span.duration": ["'long'"],
    "result.value": ["9e999", "'much'"],
    "result.data": ["'{'"],
    "chunk.times": ["'text'"],
}


@pytest.fixture
def filled(store: Store, database: Path) -> Path:
    """Return a database with rows of all kinds."""
    call, memory = span("train"), series("memory", "statm")
    block = pack(array("q", range(BLOCK)), array("d", range(BLOCK)))
    store(
        run(),
        run("bbbbbbbb-2", ended=None, environment={}),
        process(),
        call,
        memory,
        result("loss", "", None, [1.0, {"a": "NaN"}]),
        result("time", "sec", 1.5, span=call.id),
        event("drop", "one"),
        Chunk(id=1, series_id=memory.id, **block._asdict()),
    )
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("pragma writable_schema = on")
        connection.execute("update sqlite_master set sql = replace(sql, 'NOT NULL', '')")
    return database


def fail(database: Path) -> None:
    with reading(database):
        raise KeyError("a mistake of ours")


def test_a_mistake_is_not_taken_for_a_foreign_value(filled: Path) -> None:
    with pytest.raises(KeyError, match="a mistake of ours"):
        fail(filled)


async def test_nor_is_it_where_the_package_itself_has_written(written: Path) -> None:
    with pytest.raises(KeyError, match="a mistake of ours"):
        fail(written)


@pytest.mark.parametrize(
    ("column", "value"), [(column, value) for column, values in FOREIGN.items() for value in values]
)
def test_a_foreign_value_is_named(filled: Path, column: str, value: str) -> None:
    table, name = column.split(".")
    with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
        connection.execute(f'update {table} set "{name}" = {value}')
    with pytest.raises(CorruptStoreError, match=f"holds values in {column} that"):
        fail(filled)
    with pytest.raises(KeyError, match="my own key"), Results(filled).session():
        raise KeyError("my own key")
