"""Bulk inserts: statements of many rows, whose texts are made once from the models."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy.types import Text, TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from umlaut_async.store.models import Base

__all__ = ["Insert", "insert_for"]

# `executemany` of sqlite3 gives up the GIL at each row, and beside a busy Python thread each row then waits for a turn
# (about 0.8 ms); a statement of many rows waits once. Few sizes, so that the prepared statements stay cached.
_ROWS = (2048, 512, 128)
# Fewer rows than that are one statement of just their number: an idle run stores about as many every time.
# SQLite's limit since 3.32.
_VARIABLES = 32_766
_ROWS_OF_ARRAYS = 8192


class Insert:
    """The statements that insert rows into one table.

    Values go to the driver as they are: JSON columns take text made by `values.encode`.

    Args:
        table: The table.
        columns: The columns that get values, in their order.
        upsert: Whether a row replaces the values of one that has its primary key already.
    """

    def __init__(self, table: Table, columns: Sequence[Column[Any]], *, upsert: bool) -> None:
        self.columns = tuple(column.name for column in columns)
        self._upsert = upsert
        self._into = f'INSERT INTO "{table.name}" ({", ".join(map(_quoted, self.columns))}) '
        self._columns = columns
        self._key = table.primary_key.columns.keys()
        self._replacing = _replacing(self.columns, self._key) if upsert else ""
        most = _VARIABLES // len(columns)
        self._sizes = [size for size in _ROWS if size <= most]
        self._statements: dict[int, str] = {}
        self._texts = [place for place, column in enumerate(columns) if _is_text(column)]

    @cached_property
    def _of_arrays(self) -> str:
        from sqlalchemy.dialects import postgresql

        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        types = (column.type.compile(dialect) for column in self._columns)
        arrays = ", ".join(f"${place}::{type_}[]" for place, type_ in enumerate(types, 1))
        # A key that is there already is that of the same row: it was made by a counter, and came once before.
        known = "" if self._upsert or not set(self._key) <= set(self.columns) else " ON CONFLICT DO NOTHING"
        return f"{self._into}SELECT * FROM unnest({arrays}){self._replacing}{known}"

    async def run(self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with its values in the order of `columns`."""
        if connection.dialect.name == "postgresql":
            await self._run_arrays(connection, rows)
            return
        done = 0
        while left := len(rows) - done:
            size = next((size for size in self._sizes if size <= left), left)
            values: list[Any] = []
            for row in rows[done : done + size]:
                values += row
            await connection.exec_driver_sql(self._statement(size), tuple(values))
            done += size

    def _statement(self, rows: int) -> str:
        # The same object each time: the driver finds its prepared statements by their text.
        if rows not in self._statements:
            marks = ", ".join([f"({', '.join('?' * len(self.columns))})"] * rows)
            self._statements[rows] = f"{self._into}VALUES {marks}{self._replacing}"
        return self._statements[rows]

    async def _run_arrays(self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows by an array for each column: one statement, whatever their number."""
        if self._upsert:
            # No statement may replace what it has inserted itself.
            rows = list({row[0]: row for row in rows}.values())
        for start in range(0, len(rows), _ROWS_OF_ARRAYS):
            columns: list[Any] = list(zip(*rows[start : start + _ROWS_OF_ARRAYS], strict=True))
            for place in self._texts:
                columns[place] = [_without_null(text) for text in columns[place]]
            await connection.exec_driver_sql(self._of_arrays, tuple(columns))


@cache
def insert_for(model: type[Base], *, upsert: bool = False, without_id: bool = False) -> Insert:
    """Return the inserts of a model, the same object each time.

    Args:
        model: Whose table takes the rows.
        upsert: Whether a row replaces the values of one that has its primary key already.
        without_id: Whether the database chooses the `id`.
    """
    table: Table = model.metadata.tables[model.__tablename__]
    columns = [column for column in table.columns if not (without_id and column.name == "id")]
    return Insert(table, columns, upsert=upsert)


def _replacing(columns: Sequence[str], key: Sequence[str]) -> str:
    changes = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column not in key)
    return f" ON CONFLICT ({', '.join(map(_quoted, key))}) DO UPDATE SET {changes}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _is_text(column: Column[Any]) -> bool:
    kind = column.type
    return isinstance(kind.impl if isinstance(kind, TypeDecorator) else kind, Text)


def _without_null(text: str | None) -> str | None:
    # The one character that PostgreSQL does not take.
    return text.replace("\0", "\\x00") if text is not None and "\0" in text else text
