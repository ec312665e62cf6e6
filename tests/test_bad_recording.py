"""Recording what cannot be recorded, or where nothing can be: refused, and what was recorded stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import calls_of, check_message, read, run_elsewhere
from umlaut_async import (
    ArgumentError,
    ArgumentTypeError,
    Benchmark,
    BenchmarkSupervisor,
    ClosedError,
    ConfusionMatrixTracker,
    HyperparameterTracker,
    LossTracker,
    ReadOnlyError,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support import Rows


class TestReadOnly:
    @pytest.fixture
    def reader(self, written: Path) -> Iterator[Benchmark]:
        benchmark = Benchmark(written, mode="r")
        yield benchmark
        run_elsewhere(benchmark.close)

    def test_decorating(self, reader: Benchmark, written: Path) -> None:
        before = written.read_bytes()
        with pytest.raises(ReadOnlyError, match=r"'r'|read") as caught:
            BenchmarkSupervisor([TimeMetric("time")], reader, name="stage")(len)
        check_message(caught.value)
        with pytest.raises(ReadOnlyError), BenchmarkSupervisor([TimeMetric("time")], reader, name="stage"):
            pass
        with pytest.raises(ReadOnlyError):
            BenchmarkSupervisor([TimeMetric("time")], reader, name="stage").iterate([1])
        assert written.read_bytes() == before

    def test_logging(self, reader: Benchmark, written: Path) -> None:
        before = written.read_bytes()
        for record in recordings(reader):
            with pytest.raises(ReadOnlyError) as caught:
                record()
            check_message(caught.value)
        asyncio.run(reader.close())
        assert written.read_bytes() == before

    async def test_what_was_written_can_be_read(self, reader: Benchmark) -> None:
        from sqlalchemy import select

        from umlaut_async import models

        async with reader:
            assert list((await reader.session.scalars(select(models.Run.description))).all()) == ["first"]
            (result,) = (await reader.session.scalars(select(models.Result))).all()
            assert (result.description, result.value) == ("kept", 1)
            await reader.session.close()

    async def test_the_session_cannot_write(self, reader: Benchmark, written: Path) -> None:
        from sqlalchemy import delete
        from sqlalchemy.exc import SQLAlchemyError

        from umlaut_async import models

        async with reader:
            with pytest.raises(SQLAlchemyError):
                await reader.session.execute(delete(models.Result))
            await reader.session.rollback()
            await reader.session.close()
        assert len(read(written, "select * from result")) == 1


def recordings(benchmark: Benchmark) -> list[Callable[[], object]]:
    def sweep() -> None:
        with HyperparameterTracker(benchmark, "sweep", ["lr"], "loss") as tracker:
            tracker.track({"lr": 1, "loss": 1})

    return [
        lambda: benchmark.log("late", "mine", 1),
        lambda: LossTracker(benchmark).track([1], "late"),
        lambda: TTATracker(benchmark).track([1], "late"),
        lambda: TimedTTATracker(benchmark, 0.5).track(0.6, "late"),
        lambda: ConfusionMatrixTracker(benchmark).track([[1]], ["a"], "late"),
        sweep,
    ]


class TestClosed:
    def test_logging_after_close(self, benchmark: Benchmark, rows: Rows) -> None:
        benchmark.log("kept", "mine", 1)
        asyncio.run(benchmark.close())
        asyncio.run(benchmark.close())
        for record in recordings(benchmark):
            with pytest.raises(ClosedError, match="close") as caught:
                record()
            assert isinstance(caught.value, ValueError)
            check_message(caught.value)
        assert [row["description"] for row in rows("select * from result")] == ["kept"]

    def test_a_call_after_close_runs_unmeasured_with_one_warning(
        self, benchmark: Benchmark, rows: Rows, caplog: pytest.LogCaptureFixture
    ) -> None:
        throughput = ThroughputMetric("throughput")

        @BenchmarkSupervisor([TimeMetric("time"), throughput], benchmark)
        def stage() -> int:
            throughput.track(3)
            return 42

        assert stage() == 42
        asyncio.run(benchmark.close())
        assert [stage(), stage()] == [42, 42]
        warnings = [record.getMessage() for record in caplog.records if record.name.startswith("umlaut_async")]
        assert len(warnings) == 1
        assert "close" in warnings[0]
        assert len(rows("select * from span")) == 1

    def test_open_after_close_starts_a_new_run(self, benchmark: Benchmark, rows: Rows) -> None:
        benchmark.log("first", "mine", 1)
        asyncio.run(benchmark.close())
        first = benchmark.uuid
        asyncio.run(benchmark.open())
        benchmark.log("second", "mine", 2)
        asyncio.run(benchmark.close())
        assert benchmark.uuid != first
        assert [row["uuid"] for row in rows("select uuid from run order by started")] == [first, benchmark.uuid]
        assert [row["description"] for row in rows("select * from result order by recorded")] == ["first", "second"]


class TestTrackers:
    @pytest.fixture
    def kept(self, benchmark: Benchmark, database: Path) -> Iterator[None]:
        """Log a value before and after bad input; see in the end that these two, and nothing else, are stored."""
        benchmark.log("before", "mine", 1)
        yield
        benchmark.log("after", "mine", 2)
        asyncio.run(benchmark.close())
        assert [row["description"] for row in read(database, "select * from result order by id")] == ["before", "after"]
        assert calls_of(database) == []

    @pytest.mark.parametrize(
        ("matrix", "labels"),
        [
            ([[1, 2], [3, 4]], ["a"]),
            ([[1, 2], [3, 4]], ["a", "b", "c"]),
            ([[1, 2]], ["a", "b"]),
            ([[1], [2]], ["a", "b"]),
            ([[1, 2], [3]], ["a", "b"]),
            ([[1, 2, 3], [4, 5, 6]], ["a", "b"]),
            (np.zeros((2, 3)), ["a", "b"]),
            ([], ["a"]),
        ],
    )
    @pytest.mark.usefixtures("kept")
    def test_a_confusion_matrix_that_does_not_fit(self, benchmark: Benchmark, matrix: Any, labels: list[str]) -> None:
        with pytest.raises(ArgumentError, match=r"matrix|label") as caught:
            ConfusionMatrixTracker(benchmark).track(matrix, labels, "pets")
        check_message(caught.value)

    @pytest.mark.parametrize(
        ("matrix", "labels"),
        [(3, ["a"]), ([[1]], 3), ("ab", ["a", "b"]), ([1, 2], ["a", "b"]), (np.zeros((2, 2, 2)), ["a", "b"])],
    )
    @pytest.mark.usefixtures("kept")
    def test_what_is_no_confusion_matrix(self, benchmark: Benchmark, matrix: Any, labels: Any) -> None:
        with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
            ConfusionMatrixTracker(benchmark).track(matrix, labels, "pets")
        check_message(caught.value)

    @pytest.mark.parametrize(
        ("measurement", "missing"), [({"lr": 1, "loss": 1}, "depth"), ({"lr": 1, "depth": 1}, "loss"), ({}, "lr")]
    )
    def test_a_measurement_that_lacks_a_hyperparameter(
        self, benchmark: Benchmark, rows: Rows, measurement: dict[str, int], missing: str
    ) -> None:
        complete = {"lr": 1, "depth": 2, "loss": 3}
        with HyperparameterTracker(benchmark, "sweep", ["lr", "depth"], "loss") as tracker:
            tracker.track(complete)
            with pytest.raises(ArgumentError, match=missing) as caught:
                tracker.track(measurement)
            check_message(caught.value)
        asyncio.run(benchmark.flush())
        (row,) = rows("select * from result")
        assert row["data"]["measurements"] == [complete]

    def test_a_measurement_that_is_no_mapping(self, benchmark: Benchmark) -> None:
        wrong: Any = ["lr", "loss"]
        with HyperparameterTracker(benchmark, "sweep", ["lr"], "loss") as tracker:
            with pytest.raises(ArgumentTypeError, match=r"mapping|dict"):
                tracker.track(wrong)
            tracker.track({"lr": 1, "loss": 1})

    @pytest.mark.parametrize("values", [3, "text", {"a": 1}, object(), None, ["text"], [object()]])
    @pytest.mark.parametrize("tracker", [LossTracker, TTATracker])
    @pytest.mark.usefixtures("kept")
    def test_what_is_no_list_of_numbers(self, benchmark: Benchmark, tracker: Any, values: Any) -> None:
        with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
            tracker(benchmark).track(values, "description")
        check_message(caught.value)

    @pytest.mark.parametrize("accuracy", ["0.5", None, [0.5]])
    @pytest.mark.usefixtures("kept")
    def test_an_accuracy_that_is_no_number(self, benchmark: Benchmark, accuracy: Any) -> None:
        with pytest.raises(ArgumentTypeError):
            TimedTTATracker(benchmark, accuracy)
        with pytest.raises(ArgumentTypeError):
            TimedTTATracker(benchmark, 0.5).track(accuracy, "validation")

    @pytest.mark.parametrize(
        "tracker", [LossTracker, TTATracker, ConfusionMatrixTracker, lambda given: TimedTTATracker(given, 0.5)]
    )
    @pytest.mark.parametrize("given", [None, "runs.db"])
    def test_a_tracker_needs_a_benchmark(self, tracker: Any, given: Any) -> None:
        with pytest.raises(ArgumentTypeError, match=r"[Bb]enchmark") as caught:
            tracker(given)
        check_message(caught.value)

    @pytest.mark.parametrize("value", [object(), {"a": object()}, {1, object()}, lambda: 3])
    @pytest.mark.usefixtures("kept")
    def test_a_value_that_has_no_json_form(self, benchmark: Benchmark, value: Any) -> None:
        with pytest.raises(ArgumentTypeError) as caught:
            benchmark.log("bad", "mine", value)
        check_message(caught.value)

    @pytest.mark.parametrize("argument", ["description", "measure_type", "unit", "method_name"])
    @pytest.mark.usefixtures("kept")
    def test_texts_of_log_that_are_none(self, benchmark: Benchmark, argument: str) -> None:
        arguments: dict[str, Any] = {"description": "bad", "measure_type": "mine", argument: 3}
        with pytest.raises(ArgumentTypeError, match=argument):
            benchmark.log(**arguments, value=1)
