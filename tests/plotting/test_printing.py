"""Measurements as text and as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.plotting.conftest import NAMES
from tests.plotting.databases import MATRIX, OLD_START, SAMPLED, SIXTEEN
from tests.plotting.test_shapes import measured
from umlaut_async.compat.plotting.comma_separated import COLUMNS, write_csv
from umlaut_async.compat.plotting.shapes import contents, shapes
from umlaut_async.compat.plotting.text import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.compat.plotting.shapes import Read

    ReadAll = Callable[[str, str], list[Read]]


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(read: list[Read], target: io.StringIO | None = None) -> list[dict[str, str]]:
    """Return the lines of CSV as a reader sees them."""
    target = target or io.StringIO()
    write_csv(read, target)
    return [*csv.DictReader(io.StringIO(target.getvalue()))]


def cells(text: str) -> list[list[str]]:
    """Return what stands in each line, by columns."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line and not line.startswith("─")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure_type", SIXTEEN)
def test_all_types_are_printed(name: str, measure_type: str, read: ReadAll) -> None:
    found = read(name, measure_type)
    assert found
    text = as_text(shapes(found))
    assert len(text.splitlines()) >= 3
    rows = lines(found)
    assert {row["type"] for row in rows} == {measure_type}
    assert len({row["id"] for row in rows}) == len(found)
    assert {row["unit"] for row in rows} == {SIXTEEN[measure_type]}


@pytest.mark.parametrize("measure_type", SAMPLED)
def test_the_statistics_of_samples(measure_type: str, read: ReadAll) -> None:
    (heading, head, row, _) = cells(as_text(shapes(read("last", measure_type))))
    assert heading[0].endswith(f": {measure_type} of training")
    assert head[0].endswith(f" in {SAMPLED[measure_type]}")
    assert dict(zip(head[1:], row[1:], strict=True)) == {
        "values": "4", "mean": "21.4", "st dev": "8.71", "min": "10", "max": "30.5", "first": "10", "last": "25",
    }  # fmt: skip
    assert row[0] == '"_train" from 2024-11-05 09:30:00'


def test_numbers_matrices_and_searches_as_text(read: ReadAll) -> None:
    (_, head, *rows) = cells(as_text(shapes(read("last", "time"))))
    assert head == ["Time taken in sec"]
    assert rows == [['"_train" from 2024-11-05 09:30:00', "2.5"], ['"_train" from 2024-11-05 09:31:00', "2.5"]]
    (_, head, *rows) = cells(as_text(shapes(read("first", "confusion-matrix"))))
    assert head[-3:] == ["cat", "dog", "owl"]
    assert head[:2] == ["predicted ↓", "actual →"]
    assert [[int(cell) for cell in row[1:]] for row in rows] == MATRIX
    (_, head, *rows) = cells(as_text(shapes(read("first", "hyperparameters"))))
    assert head == ["run", "depth", "solver", "error (lower is better)"]
    assert rows[1] == ["2", "2", "sgd", "0.2"]


def test_the_statistics_of_accuracies_are_those_of_what_was_given(read: ReadAll) -> None:
    (_, head, row) = cells(as_text(shapes(read("first", "tta"))))
    assert (head[0], row[1:3]) == ("Accuracy", ["4", "0.5"])


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_in_the_csv(name: str, read: ReadAll) -> None:
    rows = [row for row in lines(read(name, "loss")) if row["id"] == lines(read(name, "loss"))[0]["id"]]
    assert [(row["step"], float(row["value"])) for row in rows] == [("1", 0.9), ("2", 0.5), ("3", 0.3)]
    rows = lines(read(name, "confusion-matrix"))[:9]
    assert [(row["row"], row["column"], float(row["value"])) for row in rows][5] == ("dog", "owl", 1.0)
    rows = lines(read(name, "hyperparameters"))[:9]
    assert [(row["step"], row["column"], row["value"]) for row in rows][4] == ("2", "solver", "sgd")
    assert list(rows[0]) == list(COLUMNS)


def test_samples_in_the_csv_have_their_times(read: ReadAll) -> None:
    rows = lines(read("last", "power"))
    assert [(row["timestamp"], row["value"]) for row in rows][:2] == [
        ("2024-11-05 09:30:00.250000", "10.0"), ("2024-11-05 09:30:01.250000", "30.5"),
    ]  # fmt: skip
    assert {(row["method"], row["description"]) for row in rows} == {("_train", "power of training")}
    assert datetime.fromisoformat(rows[0]["measured"]) == OLD_START + timedelta(microseconds=1)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_no_text_is_a_formula(sign: str) -> None:
    text = f'{sign}cmd|" /C calc"!A0,x'
    row = measured(
        text, text, measurement_description=text, measured_method_name=text, measurement_unit=text, uuid=text
    )
    target = io.StringIO()
    write_csv(contents([row]), target)
    (found,) = csv.DictReader(io.StringIO(target.getvalue(), newline=""))
    for column in ("uuid", "type", "description", "method", "unit", "value"):
        assert found[column] == f"'{text}"


def test_no_name_of_a_class_or_a_hyperparameter_is_a_formula() -> None:
    matrix = {"matrix": [[1]], "labels": ["=a"]}
    search = {"hyperparameters": ["=b"], "target": "@c", "measurements": [{"=b": "-d", "@c": -1}]}
    rows = lines(contents([measured("confusion-matrix", matrix), measured("hyperparameters", search)]))
    assert {row[name] for row in rows for name in ("row", "column")} == {"", "'=a", "'=b", "'@c"}
    assert [row["value"] for row in rows] == ["1.0", "'-d", "-1"]


def test_numbers_stay_numbers() -> None:
    rows = lines(contents([measured("mine", [-1, -2.5, float("-inf"), float("nan")])]))
    assert [row["value"] for row in rows] == ["-1.0", "-2.5", "-inf", "nan"]


HOSTILE: list[Any] = [
    "\x1b]0;title\x07\x1b[2Jtext",
    {"a": "\x1b[31m"},
    json.dumps({"timestamps": ["\x1b[31m1"], "measurements": [1]}),
    {"matrix": [[1]], "labels": ["\x1b[31ma"]},
    {
        "hyperparameters": ["\x1b[31ma"],
        "target": "\x9b31mb",
        "measurements": [{"\x1b[31ma": "\x1b[31m", "\x9b31mb": 1}],
    },
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_is_stored_reaches_the_terminal_as_a_command(data: Any) -> None:
    hostile = "\x1b[31mred\x9b0m"
    row = measured(
        hostile,
        data,
        measurement_description=hostile,
        measured_method_name=hostile,
        measurement_unit=hostile,
        uuid=hostile,
    )
    terminal = Terminal()
    write_csv(contents([row]), terminal)
    for text in (terminal.getvalue(), as_text(shapes(contents([row])), 80)):
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert "red" in text


def test_a_file_of_csv_keeps_texts_as_they_are() -> None:
    (row,) = lines(contents([measured("note", "a\x1b[31m,b")]))
    assert row["value"] == "a\x1b[31m,b"


def test_what_was_not_reached_says_so(read: ReadAll) -> None:
    found = read("ours", "timed tta")
    assert cells(as_text(shapes(found)))[-1][1] == "0.99 not reached, best was 0.6"
    assert [row["value"] for row in lines(found)][1] == "0.99 not reached, best was 0.6"
