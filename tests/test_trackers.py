"""The trackers and `log`: what the user gives is what the database holds."""

from __future__ import annotations

import asyncio
import math
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import best_of_three_awaited, check_message
from umlaut_async import (
    BenchmarkSupervisor,
    ClosedError,
    ConfusionMatrixTracker,
    HyperparameterTracker,
    LossTracker,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import Row, Rows
    from umlaut_async import Benchmark

pytestmark = pytest.mark.alone

MATRIX = [[5, 1], [0, 7]]
LABELS = ["cat", "dog"]
SWEEP: dict[str, Any] = {"hyperparameters": ["lr", "depth"], "target": "loss"}


@pytest.fixture
def results(benchmark: Benchmark, rows: Rows) -> Callable[[], list[Row]]:
    """Return a function that flushes and gives all results."""

    def query() -> list[Row]:
        asyncio.run(benchmark.flush())
        return rows("select * from result order by id")

    return query


def test_losses_are_stored_as_given(benchmark: Benchmark, results: Callable[[], list[Row]]) -> None:
    assert LossTracker(benchmark).track([0.9, 0.5, 0.25], "training loss") is None  # type: ignore[func-returns-value]
    (row,) = results()
    assert (row["type"], row["unit"], row["description"]) == ("loss", "loss", "training loss")
    assert (row["value"], row["data"]) == (None, [0.9, 0.5, 0.25])
    assert (row["span"], row["series_id"], row["provenance"]) == (None, None, "measured")


def test_accuracies_are_stored_as_given(benchmark: Benchmark, results: Callable[[], list[Row]]) -> None:
    TTATracker(benchmark).track([0.5, 0.75, 0.625], "validation accuracy")
    (row,) = results()
    assert (row["type"], row["unit"], row["description"]) == ("tta", "accuracy", "validation accuracy")
    assert (row["value"], row["data"]) == (None, [0.5, 0.75, 0.625])


class Tensor:
    """What has `tolist`, as a tensor of torch does."""

    def tolist(self) -> list[float]:
        return [0.5, 0.25]


class Scalar:
    def item(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.array([0.5, 0.25]), [0.5, 0.25]),
        (np.array([0.5, 0.25], dtype=np.float32), [0.5, 0.25]),
        ([np.float32(0.5), np.int64(2)], [0.5, 2]),
        ((0.5, 0.25), [0.5, 0.25]),
        (Tensor(), [0.5, 0.25]),
        ([Scalar(), 1], [0.5, 1]),
        ([], []),
        ([math.nan, math.inf, -math.inf, 1.0], ["NaN", "Infinity", "-Infinity", 1.0]),
    ],
)
def test_trackers_take_lists_and_arrays(
    benchmark: Benchmark, results: Callable[[], list[Row]], given: Any, stored: list[object]
) -> None:
    LossTracker(benchmark).track(given, "loss")
    TTATracker(benchmark).track(given, "accuracy")
    assert [row["data"] for row in results()] == [stored, stored]


def test_what_is_tracked_is_what_was_given_at_that_moment(
    benchmark: Benchmark, results: Callable[[], list[Row]]
) -> None:
    losses = [1.0, 0.5]
    LossTracker(benchmark).track(losses, "loss")
    losses.append(0.25)
    assert [row["data"] for row in results()] == [[1.0, 0.5]]


@pytest.mark.parametrize("array", [False, True])
def test_a_confusion_matrix_is_stored_with_its_labels(
    benchmark: Benchmark, results: Callable[[], list[Row]], array: bool
) -> None:
    if array:
        ConfusionMatrixTracker(benchmark).track(np.array(MATRIX), np.array(LABELS), "pets")
    else:
        ConfusionMatrixTracker(benchmark).track(MATRIX, LABELS, "pets")
    (row,) = results()
    assert (row["type"], row["unit"], row["description"]) == ("confusion-matrix", "", "pets")
    assert row["data"] == {"matrix": MATRIX, "labels": LABELS}


@pytest.mark.parametrize("ending", ["close", "with", "benchmark"])
def test_hyperparameters_become_one_result_at_the_end(benchmark: Benchmark, rows: Rows, ending: str) -> None:
    measurements = [{"lr": 0.1, "depth": 3, "loss": 0.5}, {"lr": 0.01, "depth": 5, "loss": 0.25}]
    tracker = HyperparameterTracker(benchmark, "sweep", **SWEEP)
    if ending == "with":
        with tracker as entered:
            assert entered is tracker
            for measurement in measurements:
                entered.track(measurement)
    else:
        for measurement in measurements:
            tracker.track(measurement)
        asyncio.run(benchmark.flush())
        assert rows("select * from result") == []
        if ending == "close":
            tracker.close()
    asyncio.run(benchmark.close())
    (row,) = rows("select * from result")
    assert (row["type"], row["unit"], row["description"]) == ("hyperparameters", "", "sweep")
    assert row["data"] == SWEEP | {"low_means_good": True, "measurements": measurements}


def test_a_hyperparameter_tracker_writes_once(benchmark: Benchmark, rows: Rows) -> None:
    with HyperparameterTracker(benchmark, "sweep", **SWEEP, low_means_good=False) as tracker:
        tracker.track({"lr": np.float64(0.5), "depth": np.int64(3), "loss": Scalar()})
        tracker.close()
    tracker.close()
    asyncio.run(benchmark.close())
    (row,) = rows("select * from result")
    assert row["data"]["low_means_good"] is False
    assert row["data"]["measurements"] == [{"lr": 0.5, "depth": 3, "loss": 0.5}]


def test_hyperparameters_survive_an_error_in_their_block(
    benchmark: Benchmark, results: Callable[[], list[Row]]
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        HyperparameterTracker(benchmark, "sweep", **SWEEP) as tracker,
    ):
        tracker.track({"lr": 1, "depth": 1, "loss": 1})
        raise ZeroDivisionError
    (row,) = results()
    assert row["data"]["measurements"] == [{"lr": 1, "depth": 1, "loss": 1}]


async def test_the_time_to_an_accuracy_is_that_of_the_first_that_reaches_it(benchmark: Benchmark, rows: Rows) -> None:
    async def measure() -> float:
        start = time.perf_counter()
        tracker = TimedTTATracker(benchmark, 0.75)
        tracker.track(0.5, "validation")
        await asyncio.sleep(0.1)
        took = time.perf_counter() - start
        tracker.track(np.float32(0.75), "validation")  # type: ignore[arg-type, unused-ignore]
        await asyncio.sleep(0.05)
        tracker.track(0.9, "validation")
        await benchmark.flush()
        row = rows("select * from result order by id")[-1]
        assert (row["type"], row["unit"]) == ("timed tta", "time for target accuracy")
        assert row["description"] == "validation"
        written.append(row["id"])
        assert len(rows("select * from result")) == len(written)
        return abs(float(row["value"]) - took)

    written: list[int] = []
    await best_of_three_awaited(0.010, measure)


def test_an_accuracy_that_is_never_reached_is_stored_at_close(benchmark: Benchmark, rows: Rows) -> None:
    tracker = TimedTTATracker(benchmark, 0.75)
    for accuracy in (0.25, 0.5, 0.375):
        tracker.track(accuracy, "validation")
    asyncio.run(benchmark.flush())
    assert rows("select * from result") == []
    asyncio.run(benchmark.close())
    (row,) = rows("select * from result")
    assert (row["type"], row["description"], row["value"]) == ("timed tta", "validation", None)
    assert row["data"] == {"target": 0.75, "reached": False, "best": 0.5}


def test_an_accuracy_that_was_reached_is_stored_once(benchmark: Benchmark, rows: Rows) -> None:
    tracker = TimedTTATracker(benchmark, 0.5)
    tracker.track(0.5, "validation")
    tracker.track(0.25, "validation")
    asyncio.run(benchmark.close())
    (row,) = rows("select * from result")
    assert row["value"] >= 0


def test_an_accuracy_that_is_no_number_is_never_the_best(benchmark: Benchmark, rows: Rows) -> None:
    tracker = TimedTTATracker(benchmark, 0.75)
    for description, accuracies in {
        "first": (math.nan, 0.25, 0.5, 0.125),
        "last": (0.25, 0.5, math.nan),
        "only": (math.nan,),
    }.items():
        for accuracy in accuracies:
            tracker.track(accuracy, description)
    asyncio.run(benchmark.close())
    best = {row["description"]: row["data"]["best"] for row in rows("select * from result")}
    assert best == {"first": 0.5, "last": 0.5, "only": "NaN"}


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("ending", ["close", "with"])
def test_a_closed_hyperparameter_tracker_takes_nothing(
    benchmark: Benchmark, results: Callable[[], list[Row]], ending: str, measured: bool
) -> None:
    measurement = {"lr": 0.1, "depth": 3, "loss": 0.5}
    tracker = HyperparameterTracker(benchmark, "sweep", **SWEEP)
    if measured:
        tracker.track(measurement)
    if ending == "close":
        tracker.close()
    else:
        with tracker:
            pass
    with pytest.raises(ClosedError, match="tracker") as caught:
        tracker.track(measurement)
    check_message(caught.value)
    assert [row["data"]["measurements"] for row in results()] == [[measurement]] * measured


async def test_a_hyperparameter_tracker_without_measurements_outlives_a_run(benchmark: Benchmark, rows: Rows) -> None:
    tracker = HyperparameterTracker(benchmark, "sweep", **SWEEP)
    await benchmark.open()
    await benchmark.close()
    await benchmark.open()
    tracker.track({"lr": 0.1, "depth": 3, "loss": 0.5})
    await benchmark.close()
    assert len(rows("select * from result")) == 1


def test_serialize_gives_pickled_bytes(benchmark: Benchmark) -> None:
    losses = LossTracker(benchmark).serialize([0.5, 1])
    assert isinstance(losses, bytes)
    assert pickle.loads(losses) == [0.5, 1]
    assert pickle.loads(TTATracker(benchmark).serialize([0.5])) == [0.5]
    assert pickle.loads(ConfusionMatrixTracker(benchmark).serialize(MATRIX, LABELS)) == {
        "matrix": MATRIX,
        "labels": LABELS,
    }
    tracker = HyperparameterTracker(benchmark, "sweep", **SWEEP)
    tracker.track({"lr": 0.5, "depth": 3, "loss": 0.1})
    sweep = pickle.loads(tracker.serialize())
    assert sweep.items() >= (SWEEP | {"low_means_good": True}).items()
    tracker.close()


@pytest.mark.parametrize(
    ("given", "value", "data"),
    [
        (3, 3.0, None),
        (0.5, 0.5, None),
        (np.float32(0.5), 0.5, None),
        (np.int64(7), 7.0, None),
        (Scalar(), 0.5, None),
        ("text", None, "text"),
        ([1, "a", None], None, [1, "a", None]),
        ({"a": [1, 2], "b": {"c": 0.5}}, None, {"a": [1, 2], "b": {"c": 0.5}}),
        (np.array([[1, 2], [3, 4]]), None, [[1, 2], [3, 4]]),
        (math.nan, None, "NaN"),
        (-math.inf, None, "-Infinity"),
        ("\ud800\x00'; drop table result; --", None, "\ud800\x00'; drop table result; --"),
    ],
)
def test_log_takes_numbers_text_and_data(
    benchmark: Benchmark, results: Callable[[], list[Row]], given: Any, value: float | None, data: object
) -> None:
    benchmark.log("a thing", "mine", given, unit="things", method_name="load")
    (row,) = results()
    assert (row["description"], row["type"], row["unit"], row["method"]) == ("a thing", "mine", "things", "load")
    assert (row["value"], row["data"]) == (value, data)
    assert row["recorded"] > 1_600_000_000 * 10**9


def test_log_needs_neither_unit_nor_method(benchmark: Benchmark, results: Callable[[], list[Row]]) -> None:
    benchmark.log("a thing", "mine", 1)
    (row,) = results()
    assert (row["unit"], row["method"]) == ("", "")


def test_values_come_from_many_threads(benchmark: Benchmark, results: Callable[[], list[Row]]) -> None:
    def work(thread: int) -> None:
        tracker = LossTracker(benchmark)
        for number in range(100):
            tracker.track([thread, number], "loss")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [tuple(row["data"]) for row in results()]
    assert sorted(stored) == [(thread, number) for thread in range(8) for number in range(100)]


async def test_a_value_that_is_tracked_inside_a_call_does_not_disturb_it(
    benchmark: Benchmark, ended_calls: Any
) -> None:
    @BenchmarkSupervisor([TimeMetric("time")], benchmark)
    async def train() -> int:
        LossTracker(benchmark).track([0.5], "loss")
        return 3

    assert await train() == 3
    await benchmark.flush()
    (call,) = ended_calls()
    assert call["results"]["time"]["value"] > 0
