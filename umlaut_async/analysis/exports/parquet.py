"""Tables as Parquet, through Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from umlaut_async.analysis.exports.source import TABLES, UNION
from umlaut_async.analysis.tables import Table, library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from umlaut_async.analysis.exports.source import Source

__all__ = ["write"]

_ROW_GROUP = 1 << 18


def write(source: Source, target: BinaryIO, table: str | None = None) -> None:
    """Write one table, or all of them as one, the name of each in its first column.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = library("pyarrow")
    from pyarrow import parquet

    kinds = UNION if table is None else TABLES[table]
    schema = Table.of_rows("", kinds, []).to_arrow().schema
    with parquet.ParquetWriter(target, schema) as writer:
        for group in _groups(source.tables(TABLES if table is None else [table])):
            pieces = [_with_columns(arrow, piece, schema) for piece in group]
            writer.write_table(arrow.concat_tables(pieces), row_group_size=_ROW_GROUP)


def _groups(pieces: Iterator[Table]) -> Iterator[list[Table]]:
    """Yield so many pieces at a time as make a group of rows."""
    group: list[Table] = []
    rows = 0
    for piece in pieces:
        group.append(piece)
        rows += len(piece)
        if rows >= _ROW_GROUP:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _with_columns(arrow: Any, piece: Table, schema: Any) -> Any:
    found = piece.to_arrow()
    rows = len(piece)
    columns = []
    for field in schema:
        if field.name in found.column_names:
            columns.append(found.column(field.name))
        elif field.name == "table":
            columns.append(arrow.array([piece.name] * rows, field.type))
        else:
            columns.append(arrow.nulls(rows, field.type))
    return arrow.table(columns, schema=schema)
