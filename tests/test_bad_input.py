"""Bad arguments: one clear error at the place where they are passed; nothing is written, nothing is lost."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import umlaut_async
from tests.support import check_message, entries
from umlaut_async import (
    ArgumentError,
    ArgumentTypeError,
    Benchmark,
    BenchmarkSupervisor,
    ConfusionMatrixTracker,
    CPUMetric,
    HyperparameterTracker,
    IOMetric,
    LatencyMetric,
    LossTracker,
    MemoryMetric,
    Metric,
    NoRunningCallError,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
    UmlautError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import EndedCalls, Rows

SAMPLED: list[Any] = [CPUMetric, MemoryMetric, IOMetric]
METRICS: list[Any] = [*SAMPLED, TimeMetric, LatencyMetric, ThroughputMetric]
WRONG_NUMBERS = [0, -1, -0.5, 0.0009, math.nan, math.inf, -math.inf]
TWICE = ThroughputMetric("throughput")
NOT_NUMBERS: list[object] = ["1", None, True, [1], 1j]


class TestMetrics:
    @pytest.mark.parametrize("metric", SAMPLED)
    @pytest.mark.parametrize("interval", WRONG_NUMBERS)
    def test_interval_out_of_range(self, metric: Any, interval: float) -> None:
        with pytest.raises(ArgumentError, match="interval") as caught:
            metric("description", interval)
        check_message(caught.value)

    @pytest.mark.parametrize("metric", SAMPLED)
    @pytest.mark.parametrize("interval", NOT_NUMBERS)
    def test_interval_that_is_no_number(self, metric: Any, interval: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="interval") as caught:
            metric("description", interval)
        check_message(caught.value)

    @pytest.mark.parametrize("metric", SAMPLED)
    @pytest.mark.parametrize("interval", [0.001, 1, 0.5, 3600])
    def test_intervals_that_are_fine(self, metric: Any, interval: float) -> None:
        assert metric("description", interval).interval == interval

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("description", ["", " ", "\n\t"])
    def test_empty_description(self, metric: Any, description: str) -> None:
        with pytest.raises(ArgumentError, match="description") as caught:
            metric(description)
        check_message(caught.value)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("description", [None, 3, b"text", ["text"]])
    def test_description_that_is_no_text(self, metric: Any, description: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="description"):
            metric(description)

    def test_own_metric_without_a_type_or_a_reading(self) -> None:
        class NoType(Metric):
            unit = "things"

            def read(self) -> float:
                return 1

        class NoReading(Metric):
            measure_type = "things"
            unit = "things"

        for metric, missing in ((NoType, "measure_type"), (NoReading, "read")):
            with pytest.raises((ArgumentError, ArgumentTypeError), match=missing):
                metric("description")

    @pytest.mark.parametrize("metric", [LatencyMetric, ThroughputMetric])
    def test_track_outside_a_call(self, metric: Any, benchmark: Benchmark) -> None:
        idle = metric("description")
        stage = BenchmarkSupervisor([idle], benchmark)(len)
        with pytest.raises(NoRunningCallError, match="track") as caught:
            idle.track(3)
        check_message(caught.value)
        assert stage("abc") == 3

    @pytest.mark.parametrize("metric", [LatencyMetric, ThroughputMetric])
    def test_track_of_a_metric_that_no_stage_has(self, metric: Any) -> None:
        with pytest.raises(NoRunningCallError, match="track") as caught:
            metric("description").track(3)
        check_message(caught.value)

    @pytest.mark.parametrize("num_entries", [-1, -0.5, math.nan, math.inf, np.float64("nan"), np.int64(-1)])
    @pytest.mark.parametrize("by", ["metric", "call"])
    def test_track_of_an_impossible_number(
        self, benchmark: Benchmark, ended_calls: EndedCalls, num_entries: float, by: str
    ) -> None:
        self.track_badly(benchmark, ended_calls, num_entries, by, ArgumentError)

    @pytest.mark.parametrize("num_entries", ["3", None, [3], True])
    @pytest.mark.parametrize("by", ["metric", "call"])
    def test_track_of_what_is_no_number(
        self, benchmark: Benchmark, ended_calls: EndedCalls, num_entries: Any, by: str
    ) -> None:
        self.track_badly(benchmark, ended_calls, num_entries, by, ArgumentTypeError)

    def track_badly(
        self, benchmark: Benchmark, ended_calls: EndedCalls, num_entries: Any, by: str, expected: type[Exception]
    ) -> None:
        throughput = ThroughputMetric("throughput")
        with BenchmarkSupervisor([throughput], benchmark, name="stage") as call:
            call.track(3)
            with pytest.raises(expected) as caught:
                (throughput if by == "metric" else call).track(num_entries)
            check_message(caught.value)
        asyncio.run(benchmark.flush())
        (recorded,) = ended_calls()
        assert entries(recorded) == 3

    def test_track_wrongly_is_an_error_even_outside_a_call(self) -> None:
        with pytest.raises(UmlautError):
            ThroughputMetric("throughput").track(-1)


class TestSupervisor:
    @pytest.mark.parametrize(
        ("metrics", "expected"),
        [
            ([], ArgumentError),
            ((), ArgumentError),
            (iter([]), ArgumentError),
            (None, ArgumentTypeError),
            (5, ArgumentTypeError),
            (TimeMetric("time"), ArgumentTypeError),
            ("time", ArgumentTypeError),
            ([TimeMetric], ArgumentTypeError),
            ([TimeMetric("time"), "cpu"], ArgumentTypeError),
            ([None], ArgumentTypeError),
            ([TWICE, TimeMetric("time"), TWICE], ArgumentError),
        ],
    )
    def test_metrics(self, benchmark: Benchmark, metrics: Any, expected: type[Exception]) -> None:
        with pytest.raises(expected, match="metric") as caught:
            BenchmarkSupervisor(metrics, benchmark)
        check_message(caught.value)

    @pytest.mark.parametrize("given", [None, "runs.db", Benchmark, 3])
    def test_benchmark(self, given: Any) -> None:
        with pytest.raises(ArgumentTypeError, match=r"[Bb]enchmark") as caught:
            BenchmarkSupervisor([TimeMetric("time")], given)
        check_message(caught.value)

    def test_name(self, benchmark: Benchmark) -> None:
        wrong: Any = 3
        with pytest.raises(ArgumentTypeError, match="name"):
            BenchmarkSupervisor([TimeMetric("time")], benchmark, name=wrong)
        with pytest.raises(ArgumentError, match="name"):
            BenchmarkSupervisor([TimeMetric("time")], benchmark, name="")

    @pytest.mark.parametrize("target", [int, type("Mine", (), {}), property(len), 3, None, "stage", [len]])
    def test_what_cannot_be_decorated(self, benchmark: Benchmark, target: Any) -> None:
        with pytest.raises(ArgumentTypeError) as caught:
            BenchmarkSupervisor([TimeMetric("time")], benchmark)(target)
        check_message(caught.value)

    @pytest.mark.parametrize("kind", ["with", "async with"])
    async def test_a_block_without_a_name(self, benchmark: Benchmark, kind: str) -> None:
        nameless = BenchmarkSupervisor([TimeMetric("time")], benchmark)
        entered = False
        with pytest.raises((ArgumentError, ArgumentTypeError), match="name") as caught:
            if kind == "with":
                with nameless:
                    entered = True
            else:
                async with nameless:
                    entered = True
        assert not entered
        check_message(caught.value)

    @pytest.mark.parametrize("loader", [3, None, len])
    def test_what_cannot_be_iterated(self, benchmark: Benchmark, loader: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="itera") as caught:
            BenchmarkSupervisor([TimeMetric("time")], benchmark, name="stage").iterate(loader)
        check_message(caught.value)


class TestTrackers:
    @pytest.mark.parametrize("description", [None, 5, b"text", ["text"]])
    def test_description(self, benchmark: Benchmark, rows: Rows, description: Any) -> None:
        timed = TimedTTATracker(benchmark, 0.5)
        for track in (
            lambda: LossTracker(benchmark).track([1], description),
            lambda: TTATracker(benchmark).track([1], description),
            lambda: timed.track(0.1, description),
            lambda: timed.track(0.9, description),
            lambda: ConfusionMatrixTracker(benchmark).track([[1]], ["a"], description),
            lambda: HyperparameterTracker(benchmark, description, ["lr"], "loss"),
        ):
            with pytest.raises(ArgumentTypeError, match="description") as caught:
                track()
            check_message(caught.value)
        benchmark.log("kept", "mine", 1)
        asyncio.run(benchmark.close())
        assert [row["description"] for row in rows("select * from result")] == ["kept"]

    @pytest.mark.parametrize("target", [None, 5, ["loss"]])
    def test_target(self, benchmark: Benchmark, target: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="target") as caught:
            HyperparameterTracker(benchmark, "sweep", ["lr"], target)
        check_message(caught.value)

    @pytest.mark.parametrize("names", [None, 5, "lr", ["lr", 5]])
    def test_hyperparameters(self, benchmark: Benchmark, names: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="hyperparameters") as caught:
            HyperparameterTracker(benchmark, "sweep", names, "loss")
        check_message(caught.value)

    @pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf, np.float64("nan"), 10**400])
    def test_accuracy_that_cannot_be_reached(self, benchmark: Benchmark, target: Any) -> None:
        with pytest.raises(ArgumentError, match="target_acc") as caught:
            TimedTTATracker(benchmark, target)
        check_message(caught.value)

    @pytest.mark.parametrize("target", [None, "0.9", True, [0.9]])
    def test_accuracy_that_is_no_number(self, benchmark: Benchmark, target: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="target_acc") as caught:
            TimedTTATracker(benchmark, target)
        check_message(caught.value)

    def test_what_cannot_be_stored_costs_nothing_else(self, benchmark: Benchmark, rows: Rows) -> None:
        sweep = HyperparameterTracker(benchmark, "sweep", ["lr"], "loss")
        timed = TimedTTATracker(benchmark, 0.5)
        sweep.track({"lr": 1, "loss": 2})
        timed.track(0.25, "accuracy")
        with pytest.raises(ArgumentError) as caught:
            sweep.track({"lr": 1, "loss": 10**5000})
        check_message(caught.value)
        with pytest.raises(ArgumentTypeError):
            sweep.track({"lr": object(), "loss": 1})
        with pytest.raises(ArgumentError) as caught:
            timed.track(-(10**5000), "accuracy")
        check_message(caught.value)
        asyncio.run(benchmark.close())
        stored = {row["description"]: row["data"] for row in rows("select * from result")}
        assert stored["sweep"]["measurements"] == [{"lr": 1, "loss": 2}]
        assert stored["accuracy"]["best"] == 0.25


class TestBenchmarkArguments:
    @pytest.mark.parametrize("mode", ["x", "", "rw", "A", "w+"])
    def test_unknown_mode(self, database: Path, mode: str) -> None:
        with pytest.raises(ArgumentError, match="mode") as caught:
            Benchmark(database, mode=mode)
        check_message(caught.value)
        assert not database.exists()

    @pytest.mark.parametrize("mode", [None, 3, ["a"]])
    def test_mode_that_is_no_text(self, database: Path, mode: Any) -> None:
        with pytest.raises((ArgumentTypeError, ArgumentError), match="mode"):
            Benchmark(database, mode=mode)

    @pytest.mark.parametrize("db_file", ["", ":memory:", "sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite://"])
    def test_databases_that_do_not_last(self, db_file: str) -> None:
        with pytest.raises(ArgumentError) as caught:
            Benchmark(db_file)
        check_message(caught.value)

    @pytest.mark.parametrize("db_file", [None, 3, b"runs.db", ["runs.db"]])
    def test_db_file_that_is_no_path(self, db_file: Any) -> None:
        with pytest.raises(ArgumentTypeError, match="db_file") as caught:
            Benchmark(db_file)
        check_message(caught.value)

    @pytest.mark.parametrize("db_file", ["postgresql://host/runs", "sqlite+nothing:///runs.db", "a\0b.db"])
    def test_databases_without_an_async_driver(self, db_file: str) -> None:
        with pytest.raises(ArgumentError) as caught:
            Benchmark(db_file)
        check_message(caught.value)

    def test_a_password_is_never_repeated(self) -> None:
        with pytest.raises(ArgumentError) as caught:
            Benchmark("postgresql://me:secret@host/runs")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("argument", "value", "expected"),
        [
            ("description", 3, ArgumentTypeError),
            ("description", None, ArgumentTypeError),
            ("name", 3, ArgumentTypeError),
            ("run_uuid", 3, ArgumentTypeError),
            ("tags", "abc", ArgumentTypeError),
            ("tags", 3, ArgumentTypeError),
            ("tags", [3], ArgumentTypeError),
            ("collector", "fork", ArgumentError),
            ("flush_interval", 0, ArgumentError),
            ("flush_interval", -1, ArgumentError),
            ("flush_interval", math.nan, ArgumentError),
            ("flush_interval", "1", ArgumentTypeError),
            ("flush_interval", True, ArgumentTypeError),
        ],
    )
    def test_other_arguments(self, database: Path, argument: str, value: Any, expected: type[Exception]) -> None:
        wrong: dict[str, Any] = {argument: value}
        with pytest.raises(expected, match=argument) as caught:
            Benchmark(database, **wrong)
        check_message(caught.value)
        assert not database.exists()


def test_the_errors_are_one_tree() -> None:
    for name in umlaut_async.__all__:
        value: Any = getattr(umlaut_async, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, UmlautError)
