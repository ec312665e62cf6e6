"""Bulk inserts: statements of many rows, whose texts are made once from the models."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from umlaut_async.store.models import Base

__all__ = ["Insert", "insert_for"]

# `executemany` of sqlite3 gives up the GIL at each row, and beside a busy Python thread each row then waits for a turn
# (about 0.8 ms); a statement of many rows waits once. Few sizes, so that the prepared statements stay cached.
_ROWS = (2048, 512, 128)
# Fewer rows than that are one statement of just their number: an idle run stores about as many every time.
# SQLite's limit since 3.32; that of PostgreSQL is one more.
_VARIABLES = 32_766


class Insert:
    """The statements that insert rows into one table.

    Values go to the driver as they are: JSON columns take text made by `values.encode`.
    """

    def __init__(
        self, table: Table, columns: tuple[str, ...], *, upsert: bool = False, dialect: str = "sqlite"
    ) -> None:
        self.columns = columns
        self._table = table.name
        self._key = table.primary_key.columns.keys() if upsert else ()
        self._dialect = dialect
        most = _VARIABLES // len(columns)
        self._sizes = [size for size in _ROWS if size <= most]
        self._statements: dict[int, str] = {}

    async def run(self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with its values in the order of `columns`."""
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
            self._statements[rows] = _statement(self._table, self.columns, self._key, rows, self._dialect)
        return self._statements[rows]


@cache
def insert_for(model: type[Base], *, upsert: bool = False, without_id: bool = False, dialect: str = "sqlite") -> Insert:
    """Return the inserts of a model, the same object each time.

    Args:
        model: Whose table takes the rows.
        upsert: Whether a row replaces the values of one that has its primary key already.
        without_id: Whether the database chooses the `id`.
        dialect: The name of the SQLAlchemy dialect: "sqlite" or "postgresql".
    """
    table: Table = model.metadata.tables[model.__tablename__]
    columns = tuple(column.name for column in table.columns if not (without_id and column.name == "id"))
    return Insert(table, columns, upsert=upsert, dialect=dialect)


def _statement(table: str, columns: Sequence[str], key: Sequence[str], rows: int, dialect: str) -> str:
    width = len(columns)
    if dialect == "postgresql":
        marks = (f"({', '.join(f'${row * width + column + 1}' for column in range(width))})" for row in range(rows))
        values = ", ".join(marks)
    else:
        values = ", ".join([f"({', '.join('?' * width)})"] * rows)
    names = ", ".join(f'"{column}"' for column in columns)
    text = f'INSERT INTO "{table}" ({names}) VALUES {values}'
    if key:
        quoted = ", ".join(f'"{column}"' for column in key)
        changes = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column not in key)
        text += f" ON CONFLICT ({quoted}) DO UPDATE SET {changes}"
    return text
