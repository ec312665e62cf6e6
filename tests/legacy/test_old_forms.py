"""Databases of the four old forms, as they are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.legacy import old_databases as old
from umlaut_async.legacy.forms import Form, find
from umlaut_async.legacy.reading import read, runs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("form", old.FORMS)
def test_every_type_is_read(tmp_path: Path, form: str) -> None:
    path = old.make(tmp_path / "old.db", form, old.rows(form))
    found = {each.measurement_type: each for each in read(path)}
    assert tuple(found) == old.TYPES
    for number, (type_, each) in enumerate(found.items(), 1):
        assert (each.id, each.uuid, each.measurement_unit) == (number, old.RUN, old.UNITS.get(type_, ""))
        assert each.measured_method_name == ("train" if form in old.FORMS[2:] else "")
    shown = {type_: each.measurement_data for type_, each in found.items()}
    for type_, measured in old.NUMBERS.items():
        assert shown[type_] == measured
        assert type(shown[type_]) is float
    for type_ in old.SAMPLED:
        assert isinstance(shown[type_], str)
        expected = {**old.samples(type_), "timestamps": [str(time) for time in old.TIMES]}
        assert json.loads(shown[type_]) == expected
    assert shown["loss"] == shown["tta"] == [0.5, 0.25, 0.125]
    assert shown["confusion-matrix"] == {"matrix": old.MATRIX, "labels": ["cat", "dog"]}
    assert shown["hyperparameters"] == old.SEARCH
    (run,) = runs(path)
    assert run == (old.RUN, "about 1111", "pipeline.py" if form == "meta name" else "", old.START)
    assert found["time"].measurement_datetime == old.START


def test_the_forms_are_told_apart(tmp_path: Path) -> None:
    forms = [find(old.make(tmp_path / f"{form}.db", form, old.rows(form))).form for form in old.FORMS]
    assert forms == [Form.PICKLED, Form.JSON, Form.METHOD_NAME, Form.META_NAME]
    empty = [find(old.make(tmp_path / f"{form} empty.db", form, [])).form for form in old.FORMS]
    assert empty == forms


def test_a_file_that_went_on_in_another_form(tmp_path: Path) -> None:
    both = [old.Row("loss", old.stored(form, "loss", [1.5])) for form in ("pickled", "json")]
    path = old.make(tmp_path / "old.db", "json", both)
    assert find(path).form is Form.PICKLED
    assert [each.measurement_data for each in read(path)] == [[1.5], [1.5]]


def test_a_large_matrix_is_kept_as_text_and_flagged(tmp_path: Path) -> None:
    large, small = ({"matrix": np.arange(side * side).reshape(side, side), "labels": []} for side in (40, 31))
    rows = [old.Row("confusion-matrix", old.stored("json", "confusion-matrix", each)) for each in (large, small)]
    cut, whole = (each.measurement_data for each in read(old.make(tmp_path / "old.db", "json", rows)))
    assert cut == {"matrix": str(large["matrix"]), "labels": [], "cut": True}
    assert whole == {"matrix": np.arange(31 * 31).reshape(31, 31).tolist(), "labels": []}


def test_questions_for_some_of_the_measurements(tmp_path: Path) -> None:
    rows = [old.Row("loss", "[1]", "a"), old.Row("loss", "[2]", "b"), old.Row("tta", "[3]", "a", uuid="other")]
    path = old.make(tmp_path / "old.db", "json", rows, [old.RUN, "other"])
    assert [each.id for each in read(path, types=["loss"])] == [1, 2]
    assert [each.id for each in read(path, descriptions=["a"])] == [1, 3]
    assert [each.id for each in read(path, uuids=["other", old.RUN], descriptions=["a"], types=["tta"])] == [3]
    assert [run.uuid for run in runs(path)] == [old.RUN, "other"]
