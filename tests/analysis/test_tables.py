"""Tables as plain Python, and as data frames of three libraries."""

from __future__ import annotations

import math
import sys
from array import array
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from tests.cli.rows import BEGAN
from tests.support import check_message
from umlaut_async.analysis import MissingExtraError, Table
from umlaut_async.analysis.tables import Column, Kind
from umlaut_async.errors import ArgumentError, UmlautError

KINDS: dict[str, Kind] = {
    "text": "text", "integer": "integer", "number": "number", "time": "time", "duration": "duration", "data": "data",
}  # fmt: skip
FULL = ("a", 2**53 + 1, 0.5, BEGAN + 1, 2**53 + 1, {"loss": [0.5, math.inf], "name": "µ"})
EMPTY = (None,) * len(KINDS)
TABLE = Table.of_rows("things", KINDS, [FULL, EMPTY])
NOTHING = Table.of_rows("things", KINDS, [])
JSON = '{"loss":[0.5,"Infinity"],"name":"\\u00b5"}'


def test_rows_and_columns() -> None:
    assert len(TABLE) == 2
    assert list(TABLE) == [dict(zip(KINDS, row, strict=True)) for row in (FULL, EMPTY)]
    assert TABLE[0] == TABLE[-2] == dict(zip(KINDS, FULL, strict=True))
    assert list(TABLE["time"]) == [BEGAN + 1, None]
    assert list(TABLE[1:]) == [TABLE[1]]
    assert [column.name for column in TABLE.columns] == list(KINDS)
    assert repr(TABLE) == "<Table of things: 2 rows of text, integer, number, time, duration, data>"
    assert (len(NOTHING), list(NOTHING), list(NOTHING["text"])) == (0, [], [])
    with pytest.raises(ArgumentError, match="no column 'colour'; there are text, integer"):
        TABLE["colour"]
    with pytest.raises(IndexError):
        TABLE[2]


def test_arrow() -> None:
    frame = TABLE.to_arrow()
    assert frame.schema.types == [
        pa.string(), pa.int64(), pa.float64(), pa.timestamp("ns", tz="UTC"), pa.duration("ns"), pa.string(),
    ]  # fmt: skip
    assert frame["integer"].to_pylist() == [2**53 + 1, None]
    assert frame["time"].cast(pa.int64()).to_pylist() == [BEGAN + 1, None]
    assert frame["duration"].cast(pa.int64()).to_pylist() == [2**53 + 1, None]
    assert frame["data"].to_pylist() == [JSON, None]
    assert frame["text"].to_pylist() == ["a", None]
    assert frame["number"].to_pylist() == [0.5, None]
    assert NOTHING.to_arrow().schema == frame.schema
    assert NOTHING.to_arrow().num_rows == 0


def test_pandas() -> None:
    frame = TABLE.to_pandas()
    assert [str(type_) for type_ in frame.dtypes[1:5]] == [
        "Int64", "float64", "datetime64[ns, UTC]", "timedelta64[ns]",
    ]  # fmt: skip
    assert frame["integer"][0] == 2**53 + 1
    assert frame["time"][0].value == BEGAN + 1
    assert frame["duration"][0].value == 2**53 + 1
    assert frame["data"][0] == FULL[-1]
    assert frame["text"][0] == "a"
    assert frame.iloc[1].isna().all()
    assert [str(type_) for type_ in NOTHING.to_pandas().dtypes] == [str(type_) for type_ in frame.dtypes]


def test_polars() -> None:
    frame = TABLE.to_polars()
    assert frame.dtypes == [
        pl.String, pl.Int64, pl.Float64, pl.Datetime("ns", "UTC"), pl.Duration("ns"), pl.String,
    ]  # fmt: skip
    assert frame["integer"].to_list() == [2**53 + 1, None]
    assert frame["time"].to_physical().to_list() == [BEGAN + 1, None]
    assert frame["duration"].to_physical().to_list() == [2**53 + 1, None]
    assert frame["data"].to_list() == [JSON, None]
    assert NOTHING.to_polars().schema == frame.schema
    assert NOTHING.to_polars().height == 0


def test_arrays_and_all_null_columns() -> None:
    samples = Table(
        "samples",
        [
            Column("time", "time", array("q", [BEGAN, BEGAN + 1])),
            Column("value", "number", array("d", [1.5, math.nan])),
            Column("n", "integer", array("q", [1, 2])),
        ],
    )
    assert [row["n"] for row in samples] == [1, 2]
    assert samples.to_arrow()["time"].cast(pa.int64()).to_pylist() == [BEGAN, BEGAN + 1]
    assert samples.to_polars()["time"].to_physical().to_list() == [BEGAN, BEGAN + 1]
    assert [time.value for time in samples.to_pandas()["time"]] == [BEGAN, BEGAN + 1]
    for values in (
        samples.to_arrow()["value"].to_pylist(),
        samples.to_polars()["value"].to_list(),
        samples.to_pandas()["value"].to_list(),
    ):
        assert values[0] == 1.5
        assert math.isnan(values[1])


@pytest.mark.parametrize(
    ("method", "library", "extra"),
    [("to_pandas", "pandas", "pandas"), ("to_polars", "polars", "polars"), ("to_arrow", "pyarrow", "arrow")],
)
def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, method: str, library: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    convert: Any = getattr(TABLE, method)
    with pytest.raises(MissingExtraError, match=rf"pip install 'umlaut_async\[{extra}\]'") as raised:
        convert()
    check_message(raised.value)
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value, UmlautError)
