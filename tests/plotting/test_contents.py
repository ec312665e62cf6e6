"""What the data of a measurement are taken for, however odd they be."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest

from umlaut_async.compat.plotting.contents import Matrix, Number, Numbers, Samples, Search, Text, content_of

TIMES = ["2024-11-05 09:30:00", "2024-11-05 09:30:01.5"]


@pytest.mark.parametrize(
    "timestamps",
    [
        TIMES,
        [datetime.fromisoformat(time) for time in TIMES],
        [10, 11.5],
        ["2024-11-05T09:30Z", "2024-11-05T09:30:01.5Z"],
    ],
)
def test_samples_with_times_of_any_form(timestamps: list[Any]) -> None:
    found = content_of("cpu", {"timestamps": timestamps, "measurements": [1, 2.5], "interval": 1})
    assert isinstance(found, Samples)
    assert (found.elapsed, found.values) == ([0.0, 1.5], [1.0, 2.5])
    assert found.timestamps[0].startswith(("2024-11-05", "10"))


def test_samples_as_the_text_of_json() -> None:
    text = json.dumps({"timestamps": TIMES, "measurements": [1, 2]})
    assert content_of("memory", text) == Samples(TIMES, [0.0, 1.5], [1.0, 2.0])


@pytest.mark.parametrize(
    "timestamps", [["x", "y"], [1, "2024-11-05"], [None, None], [*reversed(TIMES)], [TIMES[0], f"{TIMES[1]}+02:00"]]
)
def test_times_that_cannot_be_told_leave_the_values(timestamps: list[Any]) -> None:
    found = content_of("cpu", {"timestamps": timestamps, "measurements": [1, 2]})
    assert isinstance(found, Samples)
    assert (found.elapsed, found.values) == (None, [1.0, 2.0])


def test_no_samples() -> None:
    assert content_of("cpu", {"timestamps": [], "measurements": []}) == Samples([], [], [])


def test_a_target_that_was_not_reached() -> None:
    data = {"target": 0.9, "reached": False, "best": 0.75}
    assert content_of("timed tta", data) == Number(None, "0.9 not reached, best was 0.75")
    assert content_of("timed tta", data | {"best": None}) == Number(None, "0.9 not reached")


def test_a_search_in_both_forms() -> None:
    head = {"hyperparameters": ["a"], "target": "loss", "low_means_good": False}
    search = Search({"a": [1, 2], "loss": [0.5, 0.25]}, "loss", low_means_good=False)
    assert content_of("hyperparameters", head | {"df": {"a": [1, 2], "loss": [0.5, 0.25]}}) == search
    assert (
        content_of("hyperparameters", head | {"df": {"a": {"0": 1, "1": 2}, "loss": {"0": 0.5, "1": 0.25}}}) == search
    )
    assert (
        content_of("hyperparameters", head | {"measurements": [{"a": 1, "loss": 0.5}, {"a": 2, "loss": 0.25}]})
        == search
    )
    short = content_of("hyperparameters", head | {"df": {"loss": [1]}})
    assert short == Search({"a": [None], "loss": [1]}, "loss", low_means_good=False)


def test_a_confusion_matrix() -> None:
    matrix = [[1, 2], [3, 4]]
    assert content_of("confusion-matrix", {"matrix": matrix, "labels": ["a", 7]}) == Matrix(
        [[1.0, 2.0], [3.0, 4.0]], ["a", "7"]
    )
    assert content_of("confusion-matrix", {"matrix": matrix, "labels": ["a"]}) == Matrix(
        [[1.0, 2.0], [3.0, 4.0]], ["0", "1"]
    )
    cut = {"matrix": "[[1 2 ... 3]]", "labels": ["a"], "cut": True}
    assert isinstance(content_of("confusion-matrix", cut), Text)


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (3, Number(3.0)),
        ("12", Text("12")),
        ("[not json", Text("[not json")),
        ('{"a": 1}', Text('{"a": 1}')),
        ([1, 2], Numbers([1.0, 2.0])),
        ([[1, 2, 3], [4, 5, 6]], Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], None)),
        ([[1, 2], [3]], Text("[[1, 2], [3]]")),
        ([[]], Text("[[]]")),
        ([], Text("[]")),
        ([1, "a"], Text('[1, "a"]')),
        (True, Text("true")),
        (None, Number(None, "no value")),
        (10**400, Text(f"1{'0' * 400}")),
        ({"timestamps": [1], "measurements": ["x"]}, Text('{"timestamps": [1], "measurements": ["x"]}')),
        ({"hyperparameters": 3, "target": 4}, Text('{"hyperparameters": 3, "target": 4}')),
        ({"matrix": [[1]], "labels": {}}, Matrix([[1.0]], ["0"])),
    ],
)
def test_other_data_by_their_shape(data: Any, content: object) -> None:
    assert content_of("mine", data) == content


def test_a_number_in_a_text_of_energy() -> None:
    assert content_of("energy", "120.5") == Number(120.5)
    assert content_of("energy", "much") == Text("much")


def test_numbers_that_are_not_finite() -> None:
    found = content_of("loss", [1.0, math.nan, math.inf])
    assert isinstance(found, Numbers)
    assert math.isnan(found.values[1])
    assert math.isinf(found.values[2])
