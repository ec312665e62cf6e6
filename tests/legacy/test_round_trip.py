"""What survives export and import, and what does not."""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import sqlite3
import tempfile
import time
from array import array
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tests.legacy import old_databases as old
from tests.legacy.our_rows import store
from tests.legacy.test_our_databases import record
from tests.support import check_message
from umlaut_async.errors import ArgumentError, OldDatabaseError, StoreError
from umlaut_async.legacy.exporter import export_database
from umlaut_async.legacy.forms import Form, find
from umlaut_async.legacy.importer import import_database
from umlaut_async.legacy.reading import Measured, read, runs
from umlaut_async.store import values
from umlaut_async.store.chunks import pack
from umlaut_async.store.models import Base, Chunk, Event, Process, Result, Run, Sample, Series, Span, key

if TYPE_CHECKING:
    from collections.abc import Iterable


BEGAN = 1_700_000_000_123_456_000
SECOND = 10**9
SUMMARY = {"n": 4, "min": 1.0, "mean": 2.5, "max": 8.0, "first": 1.0, "last": 2.0}
OF_RATE = {"n": 8, "min": 3.0, "mean": 6.5, "max": 10.0, "first": 3.0, "last": 10.0}
DATA: dict[str, tuple[float | None, Any]] = {
    "time": (1.5, None),
    "latency": (0.25, None),
    "throughput": (4.0, None),
    "energy": (123456.789, {"packages": [123456.789]}),
    "gputime": (0.1, None),
    "gpuenergy": (77.0, SUMMARY),
    "timed tta": (None, {"target": 0.9, "reached": False, "best": 0.1}),
    "cpu": (99.9, OF_RATE),
    "memory": (8.0, SUMMARY),
    "power": (33.25, {**OF_RATE, "packages": [33.25]}),
    "gpu": (2.5, SUMMARY),
    "gpumemory": (8.0, SUMMARY),
    "gpupower": (2.5, SUMMARY),
    "io": (0.5, {**SUMMARY, "read": 10}),
    "looplag": (0.125, SUMMARY),
    "loss": (None, [0.5, "NaN"]),
    "tta": (None, [0.5, 0.75]),
    "confusion-matrix": (None, {"matrix": [[1, 2], [3, 4]], "labels": ["a", "b"]}),
    "hyperparameters": (
        None,
        {
            "hyperparameters": ["a"], "target": "loss", "low_means_good": True,
            "measurements": [{"a": 1, "loss": 0.5}, {"a": None, "loss": "Infinity", "note": "x"}],
        },
    ),
    "await": (1.5, {"running": 0.5, "awaiting": 1.0, "longest_step": 0.25}),
    "wait": (12.5, {"consumer_waited": 0.5, "producer_waited": 0.25, "first_item": 0.125, "items": 3}),
    "my own": (5.0, None),
    "my text": (None, "hello\nworld"),
    "my list": (None, [1, [2, {"a": None}]]),
    "my truth": (None, True),
    "my infinity": (None, "-Infinity"),
}  # fmt: skip
SERIES = ("cpu", "memory", "power", "gpu", "gpumemory", "gpupower", "io", "looplag")
# What is kept beside a number has no place, except with samples; the number of entries comes from the call.
NOT_KEPT = {"energy", "gpuenergy", "latency", "await", "wait"}


def every_type() -> dict[type[Base], list[tuple[Any, ...]]]:
    """Return a run with a call that has a result of every type, at times of its own, and the same once more by hand."""
    rows: dict[type[Base], list[tuple[Any, ...]]] = {
        Run: [("run", "all types", "all.py", '["tag"]', BEGAN, BEGAN + 90 * SECOND, "ok", '{"python":"3"}', "{}")],
        Process: [(1, "run", "host", 7, None, None, BEGAN, BEGAN, None, None)],
        Span: [
            (
                key(1, 1), 1, 1, None, "train", "function", "Task-1", BEGAN + SECOND, 4 * SECOND, None, "ok", None,
            )
        ],
        Event: [(key(1, 1), 1, BEGAN, "drop", "something was lost", None)],
        Series: [], Sample: [], Chunk: [], Result: [],
    }  # fmt: skip
    for number, (type_, (value, data)) in enumerate(DATA.items(), 1):
        text = None if data is None else json.dumps(data)
        series = key(1, number) if type_ in SERIES else None
        if series is not None:
            rows[Series].append((series, 1, type_, "u", "test", "measured", SECOND, "m"))
            moments = [(BEGAN + tenth * SECOND // 2, float(tenth)) for tenth in range(14)]
            times, numbers = zip(*moments[:9], strict=True)
            rows[Chunk].append((series, *pack(array("q", times), array("d", numbers))))
            rows[Sample] += [(series, t, each) for t, each in moments[9:]]
        for call in (key(1, 1), None):
            head = key(1, 2 * number + (call is None)), 1, call, "train", type_, f"the {type_}", f"u{number}"
            in_series = series if call else None
            recorded = BEGAN + number * SECOND + number * 1000
            rows[Result].append((*head, value, text, in_series, "measured", recorded))
    return rows


def content(path: Path) -> list[tuple[Any, ...]]:
    """Return the measurements of a database, without what may change: ids, and how a number is written."""
    return [(*each[1:5], comparable(each), *each[6:]) for each in read(path)]


def decoded(text: str) -> object:
    """Return what a text says in JSON, and the text itself where it is none, as a user's that begins with a brace."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def comparable(each: Measured) -> object:
    shown = each.measurement_data
    if isinstance(shown, float) and math.isnan(shown):
        return "not a number"
    if isinstance(shown, str) and isinstance(told := decoded(shown), dict):
        return {name: item for name, item in told.items() if name in ("timestamps", "measurements")}
    if isinstance(shown, float) and shown.is_integer():
        return json.dumps(int(shown))  # SQLite keeps no difference.
    return json.dumps(shown, sort_keys=True)


def stored(path: Path) -> list[tuple[object, ...]]:
    query = "SELECT uuid, type, result.description, unit, method, value, data FROM result, process, run"
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(f"{query} WHERE process.id = process_id AND uuid = run_uuid ORDER BY result.id")
        return [(*row[:6], None if row[6] is None else json.loads(row[6])) for row in found]


def there_and_back(folder: Path, path: Path) -> Path:
    export_database(path, folder / "exported.db")
    assert find(folder / "exported.db").form is Form.META_NAME
    import_database(folder / "exported.db", folder / "back.db")
    return folder / "back.db"


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_every_type(tmp_path: Path, database: Path, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(store(database, every_type()))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        back = there_and_back(tmp_path, database)
        for other in (tmp_path / "exported.db", back):
            assert runs(other) == runs(database)
        assert content(back) == content(database)
        if zone == "UTC":
            assert runs(back)[0].meta_start_time == datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)
    finally:
        monkeypatch.undo()
        time.tzset()
    for number, (before, after) in enumerate(zip(stored(database), stored(back), strict=True)):
        assert after[:6] == before[:6]
        by_hand = number % 2 == 1
        assert after[6] == before[6] or before[1] in NOT_KEPT or (by_hand and before[1] in SERIES), before
    ((entries,), _) = [row[6:] for row in stored(back) if row[1] == "latency"]
    assert entries == {"entries": 16}


def test_a_recorded_run(tmp_path: Path, database: Path) -> None:
    asyncio.run(record(database))
    back = there_and_back(tmp_path, database)
    assert content(back) == content(database)
    assert [row[:6] for row in stored(back)] == [row[:6] for row in stored(database)]
    assert runs(back) == runs(database)


@pytest.mark.parametrize("form", old.FORMS)
def test_old_databases_are_exported_unchanged(tmp_path: Path, database: Path, form: str) -> None:
    path = old.make(tmp_path / "old.db", form, old.rows(form))
    import_database(path, database)
    export_database(database, tmp_path / "exported.db")
    assert runs(tmp_path / "exported.db") == runs(path)
    if form != "pickled":
        assert content(tmp_path / "exported.db") == content(path)
    assert content(there_and_back(tmp_path / "once more", database)) == content(database)


NUMBERS = st.floats() | st.integers(-(2**53), 2**53).map(float)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TIMES = st.integers(-(2**62) // 1000, 2**62 // 1000).map(lambda microseconds: microseconds * 1000)
TYPES = st.sampled_from([*old.NUMBERS, "loss", "tta", "cpu", "mine", "note"])
VALUES = NUMBERS | TEXTS | st.lists(NUMBERS, max_size=5) | st.none() | st.booleans() | st.sampled_from([2**62 + 1])
LATENCIES = TEXTS | TEXTS.map(lambda text: f"{text}\n (#Entries = 5)") | TEXTS.map(lambda text: f"{text}\n (#Entries")


ENDINGS = [
    ("latency", f"mine{ending}", "", "", value, 0)
    for ending in ("", "\n (#Entries = 5)", "\n (#Entries = None)", "\n (#Entries = 5)\n (#Entries = 7)")
    for value in (1.5, "text", math.nan)
]


@example(ENDINGS, "", 0)
@given(st.lists(st.tuples(TYPES, TEXTS | LATENCIES, TEXTS, TEXTS, VALUES, TIMES), max_size=15), TEXTS, TIMES)
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_any_values_and_times(measurements: list[tuple[Any, ...]], description: str, started: int) -> None:
    results = [
        (
            key(1, number), 1, None, method, type_, described, unit, *values.split(value), None, "measured", recorded
        )
        for number, (type_, described, unit, method, value, recorded) in enumerate(measurements)
        if not (type_ == "energy" and isinstance(value, str))
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        run = ("run", description, description[::-1], "[]", started, None, "ok", "{}", "{}")
        process = (1, "run", "host", 7, None, None, started, started, None, None)
        asyncio.run(store(path, {Run: [run], Process: [process], Result: results}))
        back = there_and_back(Path(folder), path)
        assert content(back) == content(path)
        assert stored(back) == stored(path)
        assert runs(back) == runs(path)


SAMPLED = st.lists(st.tuples(TIMES, st.floats(-1e300, 1e300)), min_size=1, max_size=40)


@given(SAMPLED, st.sampled_from(old.SAMPLED), st.integers(1, 10**12))
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_any_samples(samples: list[tuple[int, float]], type_: str, interval: int) -> None:
    samples.sort(key=lambda sample: sample[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        tables: dict[type[Base], list[tuple[Any, ...]]] = {
            Run: [("run", "", "", "[]", 0, None, "ok", "{}", "{}")],
            Process: [(1, "run", "host", 7, None, None, 0, 0, None, None)],
            Series: [(5, 1, type_, "u", "test", "measured", interval, "m")],
            Sample: [(5, t, value) for t, value in samples],
            Result: [(key(1, 1), 1, None, "m", type_, "d", "u", 1.0, '{"n":1}', 5, "measured", 0)],
        }
        asyncio.run(store(path, tables))
        back = there_and_back(Path(folder), path)
        assert content(back) == content(path)
        assert stored(back) == stored(path)
        with closing(sqlite3.connect(back)) as connection:
            kept = connection.execute("SELECT t, value FROM sample ORDER BY t, id").fetchall()
            assert kept == samples
            assert connection.execute("SELECT interval FROM series").fetchall() == [(interval,)]


def test_one_run_and_what_is_left_out(tmp_path: Path, database: Path) -> None:
    rows = every_type()
    rows[Run].append(("two", "", "", "[]", BEGAN, None, "ok", "{}", "{}"))
    rows[Process].append((2, "two", "host", 7, None, None, BEGAN, BEGAN, None, None))
    asyncio.run(store(database, rows))
    done = export_database(database, tmp_path / "run.db", run_uuid="run")
    assert (done.runs, done.measurements, done.left_out) == (1, 2 * len(DATA), {"calls": 1, "events": 1})
    done = export_database(database, tmp_path / "two.db", run_uuid="two")
    assert (done.runs, done.measurements, done.left_out) == (1, 0, {})
    assert [run.uuid for run in runs(tmp_path / "two.db")] == ["two"]
    assert export_database(database, tmp_path / "all.db").runs == 2


def test_what_a_stage_lacks_is_left_out(tmp_path: Path, database: Path) -> None:
    rows = every_type()
    count = len(rows[Result])
    for number, (type_, value, provenance) in enumerate(
        [("energy", None, "unavailable"), ("note", None, "measured"), ("cpu", 5.0, "unavailable")], count + 2
    ):
        rows[Result].append((key(1, number), 1, None, "m", type_, "d", "u", value, None, None, provenance, BEGAN))
    asyncio.run(store(database, rows))
    shown = [(each.measurement_type, each.measurement_data) for each in read(database)]
    assert shown[count:] == [("note", None), ("cpu", 5.0)]
    seen: list[tuple[int, int]] = []
    done = export_database(database, tmp_path / "out.db", progress=lambda *numbers: seen.append(numbers))
    assert done.measurements == count + 2
    assert seen[-1] == (count + 2, count + 2)
    assert done.left_out == {"calls": 1, "events": 1, "unavailable metrics": 1}


def test_a_run_that_goes_on_is_exported_as_it_was_at_the_beginning(tmp_path: Path, database: Path) -> None:
    asyncio.run(store(database, every_type()))
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")

        def go_on(done: int, total: int) -> None:
            writer.execute("DELETE FROM result")

        done = export_database(database, tmp_path / "out.db", progress=go_on)
    assert done.measurements == 2 * len(DATA)


def test_targets_that_cannot_be(tmp_path: Path, written: Path) -> None:
    def refused(error: type[Exception], match: str, *paths: Any) -> None:
        with pytest.raises(error, match=match) as raised:
            export_database(*paths)
        check_message(raised.value)

    path = old.make(tmp_path / "old.db", "json", [])
    refused(StoreError, "exists already", written, written)
    refused(StoreError, "exists already", written, tmp_path)
    refused(StoreError, "cannot be written", written, path / "below.db")
    refused(StoreError, "files only", written, "postgresql+asyncpg://u:secret@h/d")
    refused(OldDatabaseError, "was written by UMLAUT", path, tmp_path / "out.db")
    refused(ArgumentError, "not the path of a file", written, ":memory:")
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.startswith("runs.db")) == ["old.db"]


def test_a_failure_leaves_no_file(tmp_path: Path, written: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_database(written, tmp_path / "out.db", progress=fail)
    assert not [*tmp_path.glob("out.db*")]


def read_by_umlaut(path: Path, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    """Read as UMLAUT's own model does: a column of JSON, by SQLAlchemy."""
    import sqlalchemy as sa

    table = sa.table("measurement", *(sa.column(name) for name in columns), sa.column("measurement_data", sa.JSON))
    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(table))]
    finally:
        engine.dispose()


def test_umlaut_reads_what_is_exported(tmp_path: Path, database: Path) -> None:
    asyncio.run(store(database, every_type()))
    export_database(database, tmp_path / "out.db")
    found = dict(read_by_umlaut(tmp_path / "out.db", ["measurement_type"])[::2])
    described = [each.measurement_description for each in read(tmp_path / "out.db", types=["latency"])]
    assert described == ["the latency\n (#Entries = 16)", "the latency"]
    assert (found["time"], found["throughput"]) == (1.5, 4.0)
    assert json.loads(found["energy"]) == 123456.789
    assert json.loads(found["confusion-matrix"]) == {"matrix": [[1, 2], [3, 4]], "labels": ["a", "b"]}
    assert found["hyperparameters"]["df"]["a"] == [1, None]
    for type_ in old.SAMPLED:
        content = json.loads(found[type_])
        assert len(content["timestamps"]) == len(content["measurements"]) > 1
    assert json.loads(found["power"])["interval"] == 1
