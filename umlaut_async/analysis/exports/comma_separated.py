"""Tables as CSV, in which no text can be taken for a formula."""

from __future__ import annotations

import csv
import re
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from umlaut_async.analysis.exports.source import TABLES, UNION
from umlaut_async.store import values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from umlaut_async.analysis.exports.source import Source
    from umlaut_async.analysis.tables import Column

__all__ = ["Target", "guarded", "write", "writer"]

# What a spreadsheet takes for the beginning of a formula, in its wide forms as well, and what it drops before that.
_FORMULA = re.compile("[\\s\x00-\x1f\ufeff]*[=+\\-@＝＋－＠]|[\t\r\n]")  # noqa: RUF001


class Target(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Take a text."""
        ...


def guarded(cell: Any) -> Any:
    """Return a cell such that no spreadsheet takes it for a formula: such a text begins with an apostrophe then.

    Numbers stay what they are.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


class _Lines:
    """A target for lines that end with a line feed alone.

    The writer gets the longer ending, since it quotes only what is in that: a carriage return in a text would end a row
    for many readers, and begin a cell that nothing guards.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def write(self, line: str) -> None:
        self._target.write(f"{line.removesuffix(_ENDING)}\n")


_ENDING = "\r\n"


def writer(target: Target) -> Any:
    """Return a writer of rows as the standard library has it."""
    return csv.writer(_Lines(target), lineterminator=_ENDING)


def write(source: Source, target: Target, table: str | None = None) -> None:
    """Write one table, or all of them as one, the name of each in its first column.

    Times and durations are integer nanoseconds, lists and mappings JSON text; what is missing is empty.
    """
    rows = writer(target)
    header = list(UNION if table is None else TABLES[table])
    rows.writerow(header)
    for piece in source.tables(TABLES if table is None else [table]):
        cells = {column.name: _cells(column) for column in piece.columns}
        if table is None:
            cells["table"] = [piece.name] * len(piece)
        rows.writerows(zip(*(cells.get(name, repeat("", len(piece))) for name in header), strict=True))


def _cells(column: Column) -> Iterable[Any]:
    match column.kind:
        case "text":
            return map(guarded, column.values)
        case "data":
            return map(_data, column.values)
        case _:
            return column.values


def _data(value: Any) -> Any:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return values.encode(value)  # which begins with a letter, a quotation mark or a bracket
