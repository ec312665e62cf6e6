"""UMLAUT's databases in one of ours."""

from __future__ import annotations

import datetime
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.legacy import old_databases as old
from tests.support import check_message
from umlaut_async.errors import (
    ArgumentError,
    CorruptStoreError,
    NotAStoreError,
    OldDatabaseError,
    StoreError,
    StoreNotFoundError,
)
from umlaut_async.legacy.forms import find
from umlaut_async.legacy.importer import import_database
from umlaut_async.legacy.reading import read, runs
from umlaut_async.legacy.views import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests import support

UTC = datetime.UTC


@pytest.mark.parametrize("form", old.FORMS)
def test_every_type_is_imported(tmp_path: Path, database: Path, form: str) -> None:
    path = old.make(tmp_path / "old.db", form, old.rows(form))
    done = import_database(path, database)
    assert (done.runs, done.measurements, done.unreadable) == (1, len(old.TYPES), 0)
    for before, after in zip(read(path), read(database), strict=True):
        described = before.measurement_description.removesuffix("\n (#Entries = 75)")
        assert after._replace(id=0) == before._replace(id=0, measurement_description=described)
    assert runs(database) == runs(path)


def test_what_is_stored(tmp_path: Path, database: Path, rows: support.Rows) -> None:
    import_database(old.make(tmp_path / "old.db", "meta name", old.rows("meta name")), database)
    (run,) = rows("select * from run")
    started = round(old.START.replace(tzinfo=UTC).timestamp() * 1e6) * 1000
    last = started + (len(old.TYPES) - 1) * 60 * 10**9
    assert (run["uuid"], run["name"], run["description"]) == (old.RUN, "pipeline.py", "about 1111")
    assert (run["started"], run["ended"], run["status"]) == (started, last, "ok")
    environment = json.loads(run["environment"])
    assert environment["timezone"] == "unknown"
    assert environment["imported"] == {"file": "old.db", "form": find(tmp_path / "old.db").form.value}
    assert json.loads(run["collector"])["stored"] == len(old.TYPES)
    results = {row["type"]: row for row in rows("select * from result")}
    for number, type_ in enumerate(old.TYPES):
        assert results[type_]["recorded"] == started + number * 60 * 10**9
        assert (results[type_]["method"], results[type_]["span"]) == ("train", None)
    assert {type_: results[type_]["value"] for type_ in old.NUMBERS} == old.NUMBERS
    assert results["latency"]["data"] == {"entries": 75}
    assert results["latency"]["description"] == "the latency"
    summary = {"n": 3, "min": 9.0, "mean": 10.25, "max": 11.25, "first": 10.5, "last": 9.0}
    for type_ in old.SAMPLED:
        peak = type_ in ("memory", "gpumemory")
        assert (results[type_]["value"], results[type_]["data"]) == (11.25 if peak else 10.25, summary)
        samples = rows("select t, value from sample where series_id = ? order by t", results[type_]["series_id"])
        assert [each["value"] for each in samples] == old.SAMPLES
        assert [each["t"] - started for each in samples] == [second * 1_000_001_000 for second in range(3)]
    assert results["hyperparameters"]["data"]["measurements"] == [
        {"alpha": 0.1, "depth": 3, "accuracy": 0.8},
        {"alpha": 0.2, "depth": 4, "accuracy": 0.9},
    ]
    assert results["confusion-matrix"]["data"] == {"matrix": old.MATRIX, "labels": ["cat", "dog"]}
    assert rows("select * from event") == []


def test_long_series_are_packed(tmp_path: Path, database: Path, rows: support.Rows) -> None:
    count = 2 * 4096 + 5
    times = [old.START + datetime.timedelta(milliseconds=10 * number) for number in range(count)]
    content = {"timestamps": times, "measurements": [float(number % 7) for number in range(count)]}
    path = old.make(tmp_path / "old.db", "json", [old.Row("memory", old.stored("json", "memory", content), "m")])
    import_database(path, database)
    assert rows("select count(*) as n from chunk") == [{"n": 2}]
    assert rows("select count(*) as n from sample") == [{"n": 5}]
    (before,), (after,) = read(path), read(database)
    assert json.loads(after.measurement_data)["measurements"] == json.loads(before.measurement_data)["measurements"]
    shown = [datetime.datetime.fromisoformat(each) for each in json.loads(after.measurement_data)["timestamps"]]
    assert shown == times


SWAPPED = [
    old.Row("latency", old.stored("pickled", "latency", 200.0), "a", "entries/second"),
    old.Row("throughput", old.stored("pickled", "throughput", 0.5), "b", "seconds/entry"),
    old.Row("latency", old.stored("pickled", "latency", 7.0), "c", "", time=datetime.datetime(2023, 5, 3, 23, 59, 59)),
    old.Row("latency", old.stored("pickled", "latency", 3.0), "d", "Seconds/entry", time=datetime.datetime(2023, 5, 4)),
    old.Row("time", old.stored("pickled", "time", 2.0), "e", "sec"),
]


@pytest.mark.parametrize("fix", [False, True])
def test_swapped_latencies_and_throughputs(tmp_path: Path, database: Path, rows: support.Rows, fix: bool) -> None:
    done = import_database(old.make(tmp_path / "old.db", "pickled", SWAPPED), database, fix_swapped=fix)
    assert done.swapped == 3
    found = [
        (row["type"], row["value"], row["unit"]) for row in rows("select type, value, unit from result order by id")
    ]
    kept = [
        ("latency", 200.0, "entries/second"),
        ("throughput", 0.5, "seconds/entry"),
        ("latency", 7.0, ""),
    ]
    exchanged = [
        ("throughput", 200.0, "Entries/second"),
        ("latency", 0.5, "Seconds/entry"),
        ("throughput", 7.0, "Entries/second"),
    ]
    assert found == [*(exchanged if fix else kept), ("latency", 3.0, "Seconds/entry"), ("time", 2.0, "sec")]
    (event,) = rows("select kind, message, data from event")
    assert (event["kind"], event["data"]) == ("swapped", {"count": 3, "fixed": fix})
    assert ("--fix-swapped" in event["message"]) is not fix


def test_json_forms_have_nothing_swapped(tmp_path: Path, database: Path, rows: support.Rows) -> None:
    path = old.make(tmp_path / "old.db", "json", [old.Row("latency", "200.0", "a", "Seconds/entry")])
    assert import_database(path, database, fix_swapped=True).swapped == 0
    assert rows("select type, value from result") == [{"type": "latency", "value": 200.0}]
    assert rows("select * from event") == []


def test_what_cannot_be_read_is_named(tmp_path: Path, database: Path, rows: support.Rows) -> None:
    large = {"matrix": np.arange(1600).reshape(40, 40), "labels": ["a"]}
    path = old.make(
        tmp_path / "old.db",
        "json",
        [
            old.Row("loss", b"cos\nsystem\n.", "pickled"),
            old.Row("loss", "[1.5", "half"),
            old.Row("loss", "null", "nothing"),
            old.Row("loss", None, "nothing at all"),
            old.Row("confusion-matrix", old.stored("json", "confusion-matrix", large), "large"),
            old.Row("loss", "[1]", "late", time="yesterday"),
            old.Row("loss", "[2]", "never", time=None),
            old.Row("loss", "[3]", "unknown", uuid="unknown to the metadata"),
            old.Row("loss", "[4]", "of no run", uuid=None),
        ],
    )
    done = import_database(path, database)
    assert (done.runs, done.measurements, done.unreadable) == (3, 9, 2)
    events = rows("select kind, message, data from event order by id")
    assert [event["kind"] for event in events] == ["unreadable", "unreadable", "cut", "no-time"]
    assert [event["data"]["id"] for event in events[:3]] == [1, 2, 5]
    found = {row["description"]: row for row in rows("select * from result")}
    assert found["large"]["data"] == {"matrix": str(large["matrix"]), "labels": ["a"], "cut": True}
    assert (found["pickled"]["value"], found["pickled"]["data"]) == (None, None)
    assert found["never"]["recorded"] == rows("select started from run where uuid = ?", old.RUN)[0]["started"]
    names = {row["uuid"] for row in rows("select uuid from run")}
    assert names == {old.RUN, "unknown to the metadata", "unknown"}
    assert {each.uuid: each.measurement_data for each in read(database, descriptions=["unknown", "of no run"])} == {
        "unknown to the metadata": [3],
        "unknown": [4],
    }


@pytest.mark.parametrize(
    "content",
    [
        {"timestamps": old.TIMES[::-1], "measurements": old.SAMPLES},
        {"timestamps": old.TIMES, "measurements": [1.0, float("nan"), 2.0]},
        {"timestamps": old.TIMES, "measurements": [1.0]},
        {"timestamps": ["noon"], "measurements": [1.0]},
        {"timestamps": [], "measurements": []},
        {"timestamps": old.TIMES, "measurements": old.SAMPLES, "more": 1},
        {"timestamps": old.TIMES, "measurements": [1, True, "x"]},
        {"timestamps": old.TIMES, "measurements": old.SAMPLES, "interval": "often"},
        {"timestamps": old.TIMES, "measurements": [1e308, 1e308, 1e308]},
    ],
)
def test_samples_that_make_no_series_are_kept_as_text(tmp_path: Path, database: Path, content: Any) -> None:
    path = old.make(tmp_path / "old.db", "json", [old.Row("power", old.stored("json", "power", content), "p")])
    import_database(path, database)
    (before,), (after,) = read(path), read(database)
    assert after.measurement_data == before.measurement_data


def test_several_runs_and_progress(tmp_path: Path, database: Path) -> None:
    many = [
        old.Row("loss", json.dumps([number]), f"l{number}", uuid=("one", "two")[number % 2]) for number in range(1200)
    ]
    path = old.make(tmp_path / "old.db", "method name", many, ["one", "two", "empty"])
    seen: list[tuple[int, int]] = []
    done = import_database(path, database, progress=lambda *numbers: seen.append(numbers))
    assert (done.runs, done.measurements) == (3, 1200)
    assert seen[0] == (0, 1200)
    assert seen[-1] == (1200, 1200)
    assert seen == sorted(seen)
    assert [each.measurement_data for each in read(database, ["two"])] == [[number] for number in range(1, 1200, 2)]
    assert {run.uuid for run in runs(database)} == {"one", "two", "empty"}


def test_what_is_written_meanwhile_is_not_imported_in_part(tmp_path: Path, database: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", old.rows("json"))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")

        def go_on(done: int, total: int) -> None:
            writer.execute("DELETE FROM measurement")

        done = import_database(path, database, progress=go_on)
    assert done.measurements == len(old.TYPES)


def test_into_a_database_that_has_runs(tmp_path: Path, written: Path) -> None:
    import_database(old.make(tmp_path / "old.db", "json", old.rows("json")), written)
    assert len(runs(written)) == 2


def test_twice_is_refused_and_changes_nothing(tmp_path: Path, database: Path) -> None:
    first = old.make(tmp_path / "first.db", "json", [], ["a"])
    second = old.make(tmp_path / "second.db", "json", [old.Row("loss", "[1]", uuid="b")], ["b", "a"])
    import_database(first, database)
    with pytest.raises(StoreError, match=r"run a is in .* already") as raised:
        import_database(second, database)
    check_message(raised.value)
    assert [run.uuid for run in runs(database)] == ["a"]
    assert list(read(database)) == []


def other(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def is_refused(make: Callable[[], object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match) as raised:
        make()
    check_message(raised.value)


def test_files_that_are_neither(tmp_path: Path, database: Path) -> None:
    foreign = other(tmp_path / "foreign.db", "CREATE TABLE notes (text)")
    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    alike = other(tmp_path / "alike.db", "CREATE TABLE other (measurement_data, measurement_type)")
    view = other(
        tmp_path / "view.db",
        "CREATE TABLE other (id, uuid, measurement_data, measurement_type);"
        "CREATE TABLE benchmark_metadata (uuid); CREATE VIEW measurement AS SELECT * FROM other",
    )
    for function in (find, connect, runs, lambda path: list(read(path)), lambda path: import_database(path, database)):
        is_refused(lambda f=function: f(foreign), NotAStoreError, "another application")  # type: ignore[misc]
        is_refused(lambda f=function: f(text), NotAStoreError, "not an SQLite database")  # type: ignore[misc]
        is_refused(lambda f=function: f(tmp_path / "none.db"), StoreNotFoundError, "no database")  # type: ignore[misc]
        is_refused(lambda f=function: f("postgresql+asyncpg://u:secret@h/d"), StoreError, "path")  # type: ignore[misc]
        for path in (alike, view):
            is_refused(lambda f=function, p=path: f(p), CorruptStoreError, "table measurement lacks")  # type: ignore[misc]
    assert not database.exists()


def test_targets_that_cannot_be(tmp_path: Path, written: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", old.rows("json"))
    is_refused(lambda: import_database(path, path), ArgumentError, "into itself")
    is_refused(lambda: import_database(written, tmp_path / "new.db"), ArgumentError, "already")
    is_refused(lambda: import_database(path, "postgresql+asyncpg://u:secret@h/d"), StoreError, "files only")
    another = old.make(tmp_path / "another.db", "json", [])
    is_refused(lambda: import_database(path, another), OldDatabaseError, "umlaut import")


def test_nothing_in_the_schema_runs(tmp_path: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", old.rows("json"))
    other(
        path,
        "CREATE VIEW spy AS SELECT umlaut_old(1, 'loss', '[1]') AS told;"
        "ALTER TABLE measurement ADD COLUMN more AS (hex(measurement_unit))",
    )
    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="unsafe use of umlaut_old"):
            connection.execute("SELECT * FROM spy").fetchall()
        assert connection.execute("SELECT count(measurement_data) FROM measurement").fetchone() == (len(old.TYPES),)
