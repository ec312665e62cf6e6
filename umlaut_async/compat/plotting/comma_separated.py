"""Measurements as CSV: a line for each number, texts that no spreadsheet takes for formulas."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any, TextIO

from umlaut_async.analysis.exports.comma_separated import guarded, writer
from umlaut_async.cli.text import safe
from umlaut_async.compat.plotting.contents import Matrix, Number, Numbers, Samples, Search, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from umlaut_async.compat.plotting.shapes import Read

__all__ = ["COLUMNS", "write_csv"]

COLUMNS = (
    "id", "uuid", "measured", "type", "description", "method", "unit", "step", "timestamp", "row", "column", "value",
)  # fmt: skip
"""`step` counts samples, epochs and runs of a search; `row` and `column` name the place of a number in a matrix."""

_Line = tuple[object, object, object, object, object]


def write_csv(read: Iterable[Read], target: TextIO) -> None:
    """Write all numbers of the measurements, each on a line with what it belongs to.

    Args:
        read: The measurements.
        target: Where to; if it is a terminal, its escape sequences are left out.
    """
    shown = _harmless if target.isatty() else guarded
    rows = writer(target)
    rows.writerow(COLUMNS)
    for measured, content in read:
        moment = measured.measurement_datetime
        head = (
            measured.id,
            measured.uuid,
            "" if moment is None else moment.isoformat(sep=" "),
            measured.measurement_type,
            measured.measurement_description,
            measured.measured_method_name or "",
            measured.measurement_unit or "",
        )
        rows.writerows([*map(shown, (*head, *line))] for line in _lines(content))


def _harmless(cell: object) -> object:
    return safe(guarded(cell), 10_000) if isinstance(cell, str) else cell


@singledispatch
def _lines(content: Any) -> Iterator[_Line]:
    # What single dispatch comes to for a content that no function below is registered for, which is a defect.
    raise NotImplementedError(type(content).__name__)


@_lines.register(Samples)
def _samples(content: Samples) -> Iterator[_Line]:
    for step, (timestamp, value) in enumerate(zip(content.timestamps, content.values, strict=True), start=1):
        yield step, timestamp, "", "", value


@_lines.register(Numbers)
def _numbers(content: Numbers) -> Iterator[_Line]:
    for step, value in enumerate(content.values, start=1):
        yield step, "", "", "", value


@_lines.register(Number)
def _number(content: Number) -> Iterator[_Line]:
    yield "", "", "", "", content.note if content.value is None else content.value


@_lines.register(Matrix)
def _matrix(content: Matrix) -> Iterator[_Line]:
    names = content.labels
    for row, values in enumerate(content.rows):
        for column, value in enumerate(values):
            place = (row + 1, column + 1) if names is None else (names[row], names[column])
            yield "", "", *place, value


@_lines.register(Search)
def _search(content: Search) -> Iterator[_Line]:
    for step, run in enumerate(zip(*content.columns.values(), strict=True), start=1):
        for name, value in zip(content.columns, run, strict=True):
            yield step, "", "", name, value if isinstance(value, (int, float, str)) or value is None else str(value)


@_lines.register(Text)
def _text(content: Text) -> Iterator[_Line]:
    yield "", "", "", "", content.text
