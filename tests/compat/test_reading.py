"""The ORM classes, the sessions and the DataFrames, on databases of ours and of UMLAUT; and what is refused."""

from __future__ import annotations

import datetime
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.legacy import old_databases
from tests.support import check_message
from umlaut_async import ArgumentError, OldDatabaseError, ReadOnlyError, StoreError, compat
from umlaut_async.compat.datamodel import BenchmarkMetadata, Measurement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def measured(database: Path) -> Path:
    """Return a database with a run of two calls and a value."""
    with compat.Benchmark(str(database), "a pipeline", name="mine") as bm:
        metrics = [compat.TimeMetric("time"), compat.MemoryMetric("memory", interval=0.01)]

        @compat.BenchmarkSupervisor(metrics, bm)
        def stage() -> None:
            time.sleep(0.05)

        stage()
        stage()
        compat.LossTracker(bm).track([2, 1], "loss")
        bm.log("noted", "note", {"a": "text"})
    return database


def test_measurements_have_the_types_that_umlaut_gave(measured: Path) -> None:
    before = datetime.datetime.now() - datetime.timedelta(seconds=60)
    with compat.Benchmark(str(measured), mode="r") as bm:
        (run,) = bm.query(BenchmarkMetadata).all()
        found = bm.query(Measurement).order_by(Measurement.id).all()
    assert (run.meta_description, run.meta_name) == ("a pipeline", "mine")
    assert before < run.meta_start_time < datetime.datetime.now()
    by_type: dict[str, list[Any]] = {}
    for measurement in found:
        assert measurement.uuid == run.uuid
        assert before < measurement.measurement_datetime < datetime.datetime.now()
        by_type.setdefault(measurement.measurement_type, []).append(measurement.measurement_data)
    assert {kind: {type(data) for data in values} for kind, values in by_type.items()} == {
        "time": {float}, "memory": {str}, "loss": {list}, "note": {dict}
    }  # fmt: skip
    assert len(by_type["time"]) == len(by_type["memory"]) == 2
    for text in by_type["memory"]:
        samples = json.loads(text)
        assert samples.keys() == {"timestamps", "measurements"}
        assert len(samples["timestamps"]) == len(samples["measurements"]) > 1
    assert {row.measured_method_name for row in found} == {"stage", ""}


def test_queries_join_filter_and_count(measured: Path) -> None:
    bm = compat.Benchmark(str(measured), mode="r")
    named = bm.query(Measurement).join(BenchmarkMetadata).filter(BenchmarkMetadata.meta_name == "mine")
    assert named.filter(Measurement.measurement_type.in_(["time", "memory"])).count() == 4
    assert bm.query(Measurement.measurement_unit).filter_by(measurement_type="time").first() == ("sec",)
    bm.close()
    bm.close()


@pytest.mark.parametrize("mode", ["a", "w"])
def test_the_session_of_a_recording_benchmark_sees_what_was_committed_last(measured: Path, mode: str) -> None:
    bm = compat.Benchmark(str(measured), mode=mode)
    logged = bm.session.query(Measurement).filter_by(measurement_type="late")
    assert bm.session.query(BenchmarkMetadata).count() == (2 if mode == "a" else 1)
    for number in range(1, 4):
        bm.log("late", "late", number)
        bm.flush()
        assert logged.count() == number
        assert [row.measurement_data for row in logged.all()] == [*range(1, number + 1)]
    bm.close()
    assert logged.count() == 3
    bm.session.close()


def test_a_session_writes_nothing(measured: Path) -> None:
    bm = compat.Benchmark(str(measured), mode="r")
    bm.session.add(BenchmarkMetadata(uuid="mine"))
    with pytest.raises(OperationalError):
        bm.session.commit()
    bm.session.rollback()
    assert bm.query(BenchmarkMetadata).count() == 1
    bm.close()


@pytest.mark.parametrize("form", old_databases.FORMS)
def test_the_old_forms_are_read_through_the_same_classes(tmp_path: Path, form: str) -> None:
    path = old_databases.make(tmp_path / "old.db", form, old_databases.rows(form))
    with compat.Benchmark(str(path), mode="r") as bm:
        found = {row.measurement_type: row.measurement_data for row in bm.query(Measurement).all()}
        (run,) = bm.query(BenchmarkMetadata).all()
    assert run.uuid == old_databases.RUN
    assert found.keys() == set(old_databases.TYPES)
    for kind in old_databases.SAMPLED:
        assert json.loads(found[kind])["measurements"] == old_databases.SAMPLES
    assert found["time"] == old_databases.NUMBERS["time"]
    with compat.VisualizationBenchmark(str(path)) as drawing:
        frame = drawing.join_visualization_queries(drawing.query_all_uuid_type_desc())
    assert len(frame) == len(found)


def test_the_frames_are_those_of_umlaut(measured: Path) -> None:
    with compat.VisualizationBenchmark(str(measured)) as bm:
        runs = bm.query_all_meta()
        described = bm.query_all_uuid_type_desc()
        chosen = described[described["measurement_type"] == "time"]
        joined = bm.join_visualization_queries(chosen)
        none = bm.join_visualization_queries(described.iloc[:0])
    assert (runs.index.name, [*runs.columns]) == ("uuid", ["meta_description", "meta_name", "meta_start_time"])
    assert described.index.name == joined.index.name == none.index.name == "id"
    assert [*described.columns] == ["uuid", "measurement_type", "measurement_description"]
    assert [*joined.columns] == [*none.columns] == [
        "uuid", "measurement_type", "measurement_description", "meta_start_time", "meta_description", "meta_name",
        "measurement_datetime", "measurement_data", "measurement_unit", "measured_method_name",
    ]  # fmt: skip
    assert (len(runs), len(described), len(joined), len(none)) == (1, 6, 2, 0)
    assert [*joined.index] == [*chosen.index]
    assert {*joined["uuid"]} == {*runs.index}
    assert all(value >= 0.05 for value in joined["measurement_data"])
    assert {*joined["meta_name"]} == {"mine"}


def test_what_has_no_effect_any_more_is_accepted_with_a_warning(measured: Path, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="checkpoint_frequency"):
        compat.Benchmark(str(measured), checkpoint_frequency=2)
    with pytest.warns(DeprecationWarning, match="tmp_dir"):
        compat.Benchmark(str(measured), tmp_dir=str(tmp_path / "umlaut_tmp"))
    with pytest.warns(DeprecationWarning, match="tmp_dir") as caught:
        compat.VisualizationBenchmark(str(measured), tmp_dir="umlaut_tmp")
    assert {warning.filename for warning in caught} == {__file__}
    assert compat.CPUMetric("cpu", 0.5, checkpoint_interval=250).interval == 0.5
    assert not (tmp_path / "umlaut_tmp").exists()


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_query_needs_mode_r(measured: Path, mode: str) -> None:
    bm = compat.Benchmark(str(measured), mode=mode)
    with pytest.raises(ArgumentError, match="mode='r'") as caught:
        bm.query(Measurement)
    check_message(caught.value)


def test_mode_r_records_nothing(measured: Path) -> None:
    with compat.Benchmark(str(measured), mode="r") as bm:
        bm.flush()
        for record in (
            lambda: bm.log("noted", "note", 1),
            lambda: compat.LossTracker(bm).track([1], "loss"),
            lambda: compat.BenchmarkSupervisor([compat.TimeMetric("time")], bm),
        ):
            with pytest.raises(ReadOnlyError) as caught:
                record()
            check_message(caught.value)


@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("form", old_databases.FORMS)
def test_an_old_file_is_not_written(tmp_path: Path, form: str, mode: str) -> None:
    path = old_databases.make(tmp_path / "old.db", form, old_databases.rows(form))
    before = path.read_bytes()
    with pytest.raises(OldDatabaseError, match="umlaut import") as caught:
        compat.Benchmark(str(path), mode=mode)
    check_message(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", ["r", "a", "w"])
def test_the_file_of_another_application_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table measurement (id integer)")
    with pytest.raises(StoreError) as caught:
        compat.Benchmark(str(path), mode=mode)
    check_message(caught.value)


@pytest.mark.parametrize("mode", ["r", "a", "w"])
def test_a_server_is_refused_without_its_password(mode: str) -> None:
    with pytest.raises(ArgumentError, match="files") as caught:
        compat.Benchmark("postgresql+asyncpg://me:secret@localhost/runs", mode=mode)
    check_message(caught.value)
    assert "secret" not in str(caught.value)


def test_no_file_and_no_mode_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        compat.Benchmark(str(tmp_path / "none.db"), mode="r")
    with pytest.raises(ArgumentError, match="mode"):
        compat.Benchmark(str(tmp_path / "none.db"), mode="x")
    assert not (tmp_path / "none.db").exists()


def test_importing_it_loads_neither_sqlalchemy_nor_pandas() -> None:
    script = "import umlaut_async.compat, sys; print(*{'sqlalchemy', 'pandas', 'numpy', 'matplotlib'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "\n"
