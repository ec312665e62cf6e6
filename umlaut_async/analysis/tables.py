"""Tables of what was measured: rows in plain Python, and data frames of the library that is there."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

from umlaut_async.errors import ArgumentError, UmlautError
from umlaut_async.store import values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    import pandas
    import polars
    import pyarrow

__all__ = ["Column", "Kind", "MissingExtraError", "Row", "Table", "library"]

Kind: TypeAlias = Literal["text", "integer", "number", "time", "duration", "data"]
"""Times and durations are integer nanoseconds, `data` is what JSON can hold."""
Row: TypeAlias = "dict[str, Any]"

_EXTRAS = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}


class MissingExtraError(UmlautError, ImportError):
    """A table was asked for in a form whose library is not installed."""


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind
    values: Sequence[Any]


class Table(Sequence[Row]):
    """Rows as dictionaries, all with the same names; `table["name"]` is a column.

    Times are integer nanoseconds since the epoch here, and times with the zone UTC in data frames; durations likewise.

    Args:
        name: What it is a table of.
        columns: The columns, all of one length.
    """

    def __init__(self, name: str, columns: Sequence[Column]) -> None:
        self.name = name
        self._columns = {column.name: column for column in columns}

    @classmethod
    def of_rows(cls, name: str, kinds: Mapping[str, Kind], rows: Sequence[Sequence[Any]]) -> Table:
        """Return a table of rows whose values come in the order of the columns."""
        by_column: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
        return cls(name, [Column(*each, found) for each, found in zip(kinds.items(), by_column, strict=True)])

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns."""
        return tuple(self._columns.values())

    def __len__(self) -> int:
        return len(self.columns[0].values) if self._columns else 0

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    @overload
    def __getitem__(self, index: str) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice | str) -> Row | Table | Sequence[Any]:
        if isinstance(index, str):
            if index not in self._columns:
                raise ArgumentError(f"there is no column {index!r}; there are {', '.join(self._columns)}")
            return self._columns[index].values
        if isinstance(index, slice):
            return Table(self.name, [column._replace(values=column.values[index]) for column in self.columns])
        return {column.name: column.values[index] for column in self.columns}

    def __iter__(self) -> Iterator[Row]:
        names = tuple(self._columns)
        for row in zip(*(column.values for column in self.columns), strict=True):
            yield dict(zip(names, row, strict=True))

    def __repr__(self) -> str:
        return f"<Table of {self.name}: {len(self):,} rows of {', '.join(self._columns)}>"

    def _repr_html_(self) -> str:
        from umlaut_async.analysis.card import table_html

        return table_html(self)

    def to_arrow(self) -> pyarrow.Table:
        """Return it as an Arrow table.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        arrow = library("pyarrow")
        types = {
            "text": arrow.string(),
            "integer": arrow.int64(),
            "number": arrow.float64(),
            "time": arrow.timestamp("ns", tz="UTC"),
            "duration": arrow.duration("ns"),
            "data": arrow.string(),
        }
        arrays = {
            column.name: arrow.array(_plain(column), types[column.kind], from_pandas=False) for column in self.columns
        }
        return arrow.table(arrays)

    def to_pandas(self) -> pandas.DataFrame:
        """Return it as a data frame of pandas; missing integers are `pandas.NA`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = library("pandas")
        types = {
            "text": "string",
            "integer": "Int64",
            "number": "float64",
            "time": "datetime64[ns, UTC]",
            "duration": "timedelta64[ns]",
            "data": "object",
        }
        return pandas.DataFrame({column.name: _series(pandas, column, types[column.kind]) for column in self.columns})

    def to_polars(self) -> polars.DataFrame:
        """Return it as a data frame of polars; what is no number is JSON text.

        Raises:
            MissingExtraError: polars is not installed.
        """
        polars_ = library("polars")
        types = {
            "text": polars_.String,
            "integer": polars_.Int64,
            "number": polars_.Float64,
            "time": polars_.Datetime("ns", "UTC"),
            "duration": polars_.Duration("ns"),
            "data": polars_.String,
        }
        made: polars.DataFrame = polars_.DataFrame(
            [polars_.Series(column.name, _plain(column), types[column.kind]) for column in self.columns]
        )
        return made


def library(name: str) -> ModuleType:
    """Import a library of an extra.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name != name:
            raise
        extra = _EXTRAS[name]
        raise MissingExtraError(
            f"{name} is not installed; install it with: pip install 'umlaut_async[{extra}]'", name=name
        ) from error


def _plain(column: Column) -> Any:
    """Return the values of a column as Arrow and polars take them."""
    if column.kind == "data":
        return [None if value is None else values.encode(value) for value in column.values]
    return column.values


def _series(pandas: ModuleType, column: Column, type_: str) -> Any:
    if column.kind == "time":
        return pandas.to_datetime(pandas.Series(column.values, dtype="Int64"), unit="ns", utc=True)
    if column.kind == "duration":
        return pandas.to_timedelta(pandas.Series(column.values, dtype="Int64"), unit="ns")
    return pandas.Series(column.values, dtype=type_)
