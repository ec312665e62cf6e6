"""What is drawn of which measurements, and how it is named."""

from __future__ import annotations

import itertools
import math
from datetime import datetime
from typing import Any

from umlaut_async.compat.plotting.parallel_axes import Axis, axes_of
from umlaut_async.compat.plotting.shapes import Bars, Curves, Grid, Notes, Parallel, Shape, contents, shapes
from umlaut_async.compat.plotting.thinning import thin
from umlaut_async.legacy.reading import Measured

MOMENT = datetime(2024, 11, 5, 9, 30, 0, 250_000)
_numbers = itertools.count(1)


def measured(measure_type: str, data: Any, **fields: Any) -> Measured:
    """Return a measurement."""
    made = Measured(next(_numbers), "aaaaaaaa-1", MOMENT, "of training", measure_type, data, "sec", "train")
    return made._replace(**fields)


def drawn(*measurements: Measured) -> list[Shape]:
    """Return what is drawn."""
    return shapes(contents(measurements))


def test_each_type_and_unit_has_axes_of_its_own() -> None:
    found = drawn(
        measured("time", 1), measured("mine", 1), measured("time", 2), measured("mine", 1, measurement_unit="m")
    )
    assert [(shape.measure_type, len(shape.bars)) for shape in found if isinstance(shape, Bars)] == [
        ("mine", 1), ("mine", 1), ("time", 2),
    ]  # fmt: skip
    assert {shape.value_label for shape in found if isinstance(shape, Bars)} == {
        "mine in sec",
        "mine in m",
        "Time taken in sec",
    }


def test_one_type_with_several_forms_of_data() -> None:
    found = drawn(*(measured("mine", data) for data in (1, [1, 2], [[1, 2]], "text", None)))
    assert sorted(type(shape).__name__ for shape in found) == ["Bars", "Curves", "Grid", "Notes"]


def test_calls_in_the_order_of_time() -> None:
    later = measured("time", 2, measurement_datetime=MOMENT.replace(hour=10))
    (bars,) = drawn(later, measured("time", 1))
    assert isinstance(bars, Bars)
    assert [bar.value for bar in bars.bars] == [1, 2]


def names(*measurements: Measured) -> list[str]:
    """Return the labels of bars."""
    (bars,) = drawn(*measurements)
    assert isinstance(bars, Bars)
    return [bar.label for bar in bars.bars]


def test_labels_say_what_is_needed() -> None:
    later = MOMENT.replace(minute=31)
    assert names(measured("time", 1)) == ['"train" from 2024-11-05 09:30:00']
    assert names(measured("time", 1, measured_method_name="")) == ['"of training" from 2024-11-05 09:30:00']
    assert names(measured("time", 1), measured("time", 1, measurement_datetime=later)) == [
        '"train" from 2024-11-05 09:30:00',
        '"train" from 2024-11-05 09:31:00',
    ]
    assert names(measured("time", 1), measured("time", 1, measurement_description="other")) == [
        '"train" (of training) from 2024-11-05 09:30:00',
        '"train" (other) from 2024-11-05 09:30:00',
    ]
    assert names(measured("time", 1), measured("time", 1, uuid="bbbbbbbb-2")) == [
        '"train" in run aaaaaaaa from 2024-11-05 09:30:00',
        '"train" in run bbbbbbbb from 2024-11-05 09:30:00',
    ]
    assert names(measured("time", 1, measurement_datetime=None)) == ['"train"']


def test_titles() -> None:
    both = measured("time", 1), measured("time", 2, measurement_description="other")
    assert [shape.title for shape in drawn(both[0])] == ["Time: of training"]
    assert [shape.title for shape in drawn(*both)] == ["Time"]
    assert [shape.title for shape in drawn(measured("time", 1, measurement_description=""))] == ["Time"]


def test_no_two_labels_are_the_same() -> None:
    close = MOMENT.replace(microsecond=260_000)
    assert names(measured("time", 1), measured("time", 1, measurement_datetime=close), measured("time", 1)) == [
        '"train" from 2024-11-05 09:30:00.250 #1',
        '"train" from 2024-11-05 09:30:00.250 #2',
        '"train" from 2024-11-05 09:30:00.260',
    ]


def test_labels_are_harmless() -> None:
    hostile = "\x1b[31mred\x1b[0m\nnext\u202e"
    (shape,) = drawn(
        measured(hostile, 1, measured_method_name=hostile, measurement_description=hostile, measurement_unit=hostile)
    )
    assert isinstance(shape, Bars)
    assert (shape.title, shape.value_label) == ("red next: red next", "red next in red next")
    assert shape.bars[0].label.startswith('"red next" from')


def test_the_best_accuracy_so_far_and_all_of_them() -> None:
    (curves,) = drawn(measured("tta", [0.2, math.nan, 0.6, 0.4, 0.8]))
    assert isinstance(curves, Curves)
    (curve,) = curves.curves
    assert curve.ys == [0.2, 0.2, 0.6, 0.6, 0.8]
    assert curve.dots is not None
    assert curve.dots[3] == 0.4
    assert curve.xs == [1, 2, 3, 4, 5]


def test_the_time_axis_has_a_unit_that_fits() -> None:
    for seconds, label, last in ((90, "s", 90), (600, "min", 10), (7200, "h", 2)):
        (curves,) = drawn(measured("cpu", {"timestamps": [100, 100 + seconds], "measurements": [1, 2]}))
        assert isinstance(curves, Curves)
        assert curves.x_label == f"Time since the first sample in {label}"
        assert curves.curves[0].xs == [0, last]


def test_samples_without_times_are_counted() -> None:
    timed = measured("cpu", {"timestamps": [1, 5], "measurements": [1, 2]})
    (curves,) = drawn(timed, measured("cpu", {"timestamps": ["?", "?"], "measurements": [1, 2]}))
    assert isinstance(curves, Curves)
    assert curves.x_label == "Sample"
    assert [curve.xs for curve in curves.curves] == [[1, 2], [1, 2]]


def test_matrices_and_searches_have_a_figure_each() -> None:
    matrix = {"matrix": [[1, 2], [3, 4]], "labels": ["a", "b"]}
    first, second = drawn(
        measured("confusion-matrix", matrix), measured("confusion-matrix", matrix, measured_method_name="")
    )
    assert isinstance(first, Grid)
    assert (first.row_label, first.column_label) == ("predicted", "actual")
    assert first.title == 'Confusion matrix: of training, "train" from 2024-11-05 09:30:00'
    assert second.title == "Confusion matrix: of training, 2024-11-05 09:30:00"


def test_the_axes_of_a_search() -> None:
    columns: dict[str, list[Any]] = {
        "depth": [1, 2, 3, 4],
        "solver": ["a", "b", "a", None],
        "error": [0.5, 0.25, math.nan, 1],
    }
    found, left_out = axes_of(Parallel("hyperparameters", "", columns, "error", low_means_good=True))
    assert found == [
        Axis("depth", [1.0, 2.0], None),
        Axis("solver", [0.0, 1.0], ["a", "b"]),
        Axis("error", [0.5, 0.25], None),
    ]
    assert left_out == 2


def test_texts() -> None:
    (notes,) = drawn(measured("note", "all\nis well"))
    assert isinstance(notes, Notes)
    assert notes.notes[0].text == "all is well"


def test_long_curves_keep_their_peaks() -> None:
    ys = [0.0] * 100_000
    ys[4321], ys[54_321], ys[7] = 9.0, -9.0, math.nan
    xs, kept = thin(range(len(ys)), ys, 1000)
    assert len(xs) == len(kept) <= 1000
    assert (xs[0], xs[-1]) == (0, 99_999)
    assert {4321, 54_321} <= set(xs)
    assert xs == sorted(xs)
    assert thin([1, 2], [3, 4]) == ([1, 2], [3, 4])
