"""Runs as tables: CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import compute, parquet

from tests import support
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from tests.exports.conftest import SAMPLES
from tests.figures.sampled import series, time_of
from tests.hostile import TEXTS, in_every_text
from umlaut_async.analysis import Results
from umlaut_async.analysis.exports.comma_separated import guarded, writer
from umlaut_async.analysis.exports.source import TABLES, Source
from umlaut_async.compat.plotting import comma_separated as plotted
from umlaut_async.store import queries
from umlaut_async.store.models import Sample, key
from umlaut_async.store.reading import reading
from umlaut_async.store.sample_queries import sample_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess

SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001
COUNTS = {"runs": 2, "processes": 1, "calls": 3, "results": 4, "series": 2, "samples": SAMPLES + 2, "events": 1}


def rows_of(text: str) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    return [*csv.DictReader(io.StringIO(text, newline=""), strict=True)]


def test_a_folder_gets_a_file_for_each_table(made: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    for form in ("csv", "jsonl", "parquet"):
        out = tmp_path / form
        shown = umlaut("export", made, "-f", form, "-o", f"{out}/")
        assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
        assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}.{form}" for name in TABLES)
    for name, count in COUNTS.items():
        assert len(rows_of((tmp_path / "csv" / f"{name}.csv").read_text())) == count
        assert len((tmp_path / "jsonl" / f"{name}.jsonl").read_text().splitlines()) == count
        assert parquet.read_metadata(tmp_path / "parquet" / f"{name}.parquet").num_rows == count


def test_csv_keeps_every_digit(made: Path, umlaut: Umlaut) -> None:
    text = umlaut("export", made, "-f", "csv", "-t", "samples").stdout
    memory = [row for row in rows_of(text) if row["type"] == "memory"]
    assert [(int(row["time"]), float(row["value"])) for row in memory] == [
        (time_of(at), at / 7) for at in range(SAMPLES)
    ]
    assert [row["value"] for row in rows_of(text) if row["type"] == "cpu"] == ["50.0", "-1.5"]
    assert {(row["run"], row["unit"]) for row in memory} == {("aaaaaaaa-1111", "MiB")}


def test_one_file_of_csv_holds_all_tables(made: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    assert umlaut("export", made, "-f", "csv", "-o", tmp_path / "all.csv").exit_code == 0
    rows = rows_of((tmp_path / "all.csv").read_text())
    assert {name: sum(row["table"] == name for row in rows) for name in TABLES} == COUNTS
    (failed,) = [row for row in rows if row["error"]]
    assert {name: value for name, value in failed.items() if value} == {
        "table": "calls", "run": "aaaaaaaa-1111", "id": failed["id"], "process": "1", "parent": failed["parent"],
        "stage": "load", "kind": "coroutine", "task": "Task-1", "started": str(BEGAN + 1), "duration": str(SECOND),
        "producing": "5", "status": "error", "error": "no",
    }  # fmt: skip
    (loss,) = [row for row in rows if row["type"] == "loss"]
    assert json.loads(loss["data"]) == [0.5, "Infinity", -0.25]
    assert loss["value"] == ""


def test_numbers_in_data_stay_numbers(store: Store, database: Path, umlaut: Umlaut) -> None:
    given = [-1.5, -(10**20), True, "-1", ["-1", -1], float("-inf"), {"=1": 2}]
    store(run(), process(), *(result("x", "", None, data) for data in given))
    found = [row["data"] for row in rows_of(umlaut("export", database, "-f", "csv", "-t", "results").stdout)]
    assert found == ["-1.5", f"-1{'0' * 20}", "true", '"-1"', '["-1",-1]', "-inf", '{"=1":2}']


def test_json_lines(made: Path, umlaut: Umlaut) -> None:
    shown = umlaut("export", made, "last", "-f", "jsonl")
    assert shown.exit_code == 0
    rows = [json.loads(line, parse_constant=pytest.fail) for line in shown.stdout.splitlines()]
    counts = {name: sum(row["table"] == name for row in rows) for name in TABLES}
    assert counts == COUNTS | {"runs": 1}
    assert rows[0]["environment"] == {"nan": "NaN", "list": [1, "a"]}
    assert [row["value"] for row in rows if row["table"] == "samples" and row["type"] == "memory"] == [
        at / 7 for at in range(SAMPLES)
    ]
    (accuracy,) = [row for row in rows if row.get("type") == "accuracy"]
    assert accuracy["value"] == 0.1 + 0.2
    only = umlaut("export", made, "last", "-f", "jsonl", "-t", "events").stdout
    assert [json.loads(line)["kind"] for line in only.splitlines()] == ["drop"]


def test_parquet_is_what_arrow_tables_are(made: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    assert umlaut("export", made, "last", "-f", "parquet", "-o", f"{tmp_path}/out/").exit_code == 0
    one = Results(made).run()
    tables = {"calls": one.calls, "results": one.results, "events": one.events}
    for name, table in tables.items():
        found = parquet.read_table(tmp_path / "out" / f"{name}.parquet")
        assert found.drop_columns(["run"]).equals(table.to_arrow())
        assert found.column("run").unique().to_pylist() == ["aaaaaaaa-1111"]
    samples = parquet.read_table(tmp_path / "out" / "samples.parquet")
    for metric in ("memory", "cpu"):
        some = samples.filter(compute.equal(samples.column("type"), metric)).select(["series", "time", "value"])
        assert some.combine_chunks().equals(one.samples(metric).to_arrow().combine_chunks())


def test_one_file_of_parquet_holds_all_tables(made: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    assert umlaut("export", made, "-f", "parquet", "-o", tmp_path / "all.parquet").exit_code == 0
    found = parquet.read_table(tmp_path / "all.parquet")
    assert {name: found.column("table").to_pylist().count(name) for name in TABLES} == COUNTS
    calls = found.filter(compute.equal(found.column("table"), "calls")).select(list(TABLES["calls"]))
    expected = Results(made).run().calls.to_arrow()
    assert calls.drop_columns(["run"]).combine_chunks().equals(expected.combine_chunks())


def test_an_empty_database_has_tables_without_rows(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    store()
    assert umlaut("export", database, "-f", "csv").stdout.count("\n") == 1
    assert umlaut("export", database, "-f", "jsonl").stdout == ""
    assert umlaut("export", database, "-f", "parquet", "-o", tmp_path / "none.parquet").exit_code == 0
    assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0


def test_samples_are_in_the_order_of_time_where_blocks_overlap(store: Store, database: Path) -> None:
    rows = series([float(at) for at in range(3 * 4096 + 10)])
    series_id = key(1, 1)
    late = [Sample(id=9_000_000 + at, series_id=series_id, t=time_of(at), value=-1.0) for at in (5, 4096, 8191, 12_290)]
    store(run(), process(), *rows, *late)
    with reading(database) as session:
        whole = queries.samples(session, series_id)
        pieces = [*sample_blocks(session, series_id)]
    times = [time for piece in pieces for time in piece.times]
    assert times == sorted(times) == [*whole.times]
    assert sorted(value for piece in pieces for value in piece.values) == sorted(whole.values)
    assert max(len(piece.times) for piece in pieces) <= 2 * 4096 + len(late)


def test_progress_counts_every_row(made: Path) -> None:
    told: list[tuple[int, int]] = []
    with reading(made) as session:
        source = Source(session, queries.runs(session), lambda done, total: told.append((done, total)))
        for _ in source.tables():
            pass
    total = sum(COUNTS[name] for name in ("calls", "results", "samples", "events"))
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 5


# Texts that do harm


def is_formula(cell: str) -> bool:
    return cell.lstrip().startswith(SIGNS) or cell.startswith(("\t", "\r", "\n"))


def test_no_text_is_a_formula_in_csv(store: Store, database: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    texts = [
        *TEXTS,
        *(f"{before}{sign}1+1" for sign in SIGNS for before in ("", " ", "\n", "a\r", "a\n", "\x0b")),
    ]
    store(*in_every_text(texts))
    assert umlaut("export", database, "-f", "csv", "-o", tmp_path / "all.csv").exit_code == 0
    text = (tmp_path / "all.csv").read_bytes().decode()
    rows = rows_of(text)
    numbers = {name for kinds in TABLES.values() for name, kind in kinds.items() if kind not in ("text", "data")}
    assert {cell for row in rows for name, cell in row.items() if name not in numbers and is_formula(cell)} == set()
    # Nothing that is inside a cell begins a row for those who end rows at a carriage return.
    columns = text.split("\n", 1)[0].count(",")
    assert all(row.keys() == rows[0].keys() and None not in row.values() for row in rows)
    assert columns + 1 == len(rows[0])
    calls = [row for row in rows if row["table"] == "calls"]
    assert {row["stage"] for row in calls} == {str(guarded(each)) for each in texts}
    assert {guarded(text) for text in TEXTS if not is_formula(text)} == {text for text in TEXTS if not is_formula(text)}


def test_a_text_of_ten_megabytes_is_no_formula(store: Store, database: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    long = "=" + "x" * 10_000_000
    store(run(), process(), span(long))
    assert umlaut("export", database, "-f", "csv", "-t", "calls", "-o", tmp_path / "calls.csv").exit_code == 0
    (row,) = rows_of((tmp_path / "calls.csv").read_text("utf-8"))
    assert row["stage"] == f"'{long}"


def test_texts_come_back_from_json_lines_and_parquet(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    store(*in_every_text(TEXTS))
    shown = umlaut("export", database, "-f", "jsonl", "-t", "calls").stdout
    assert {json.loads(line)["stage"] for line in shown.splitlines()} == set(TEXTS)
    assert shown.isascii()
    assert umlaut("export", database, "-f", "parquet", "-t", "calls", "-o", tmp_path / "calls").exit_code == 0
    assert set(parquet.read_table(tmp_path / "calls").column("stage").to_pylist()) == set(TEXTS)


def test_a_carriage_return_ends_no_row() -> None:
    target = io.StringIO()
    writer(target).writerow(["a\r=1+1", "b"])
    assert target.getvalue() == '"a\r=1+1",b\n'


@pytest.mark.parametrize("cell", [-1, -1.5, math.inf, 0, None, "", "a", "1", "a-b", "{}", "'=1"])
def test_what_is_no_formula_stays(cell: Any) -> None:
    assert guarded(cell) is cell


def test_both_kinds_of_csv_have_one_guard() -> None:
    assert vars(plotted)["guarded"] is guarded
    assert vars(plotted)["writer"] is writer


# The command


def test_failures_are_one_line(made: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    for code, words, *arguments in (
        (2, "is the database itself", "-f", "csv", "-o", made),
        (2, "is a folder; name a file in it", "-f", "chrome", "-o", tmp_path),
        (2, "there is no folder", "-f", "csv", "-o", tmp_path / "none" / "out.csv"),
        (2, "parquet is no text; name a file with -o OUT", "-f", "parquet"),
        (2, "parquet is no text", "-f", "parquet", "-o", "-"),
        (2, "csv has the tables runs, processes, calls", "-f", "csv", "-t", "none"),
        (2, "chrome has no tables", "-f", "chrome", "-t", "calls"),
        (2, "'xml' is not one of", "-f", "xml"),
        (1, "no run has the name 'none'", "none", "-f", "csv", "-o", tmp_path / "out.csv"),
        (1, "cannot be made", "-f", "csv", "-o", f"{made}/folder/"),
    ):
        shown = umlaut("export", made, *arguments)
        assert (shown.exit_code, shown.stdout) == (code, "")
        (line,) = shown.stderr.splitlines()
        assert line.startswith("umlaut: ")
        assert str(words) in line
    assert [*tmp_path.iterdir()] == [made]


def test_the_extra_is_named_that_is_missing(
    made: Path, umlaut: Umlaut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    shown = umlaut("export", made, "-f", "parquet", "-o", tmp_path / "out")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "umlaut: pyarrow is not installed; install it with: pip install 'umlaut_async[arrow]'\n"
    assert [*tmp_path.iterdir()] == [made]


def test_a_full_disk_leaves_nothing_behind(made: Path, umlaut_process: UmlautProcess, tmp_path: Path) -> None:
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")
    shown = umlaut_process("export", made, "-f", "csv", "-o", full)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"umlaut: {full} cannot be written: No space left on device\n"
    assert full.is_symlink()
    assert os.path.exists("/dev/full")


def test_an_output_that_fails_half_way_keeps_what_was_there(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")
    store(run(), process(), *series([1.0] * 10))
    support.execute(
        database, "insert into chunk select 1, series_id, 0, 1, 1, 1, 1, 1, 1, 1, x'00', x'00' from sample limit 1"
    )
    shown = umlaut("export", database, "-f", "csv", "-o", out)
    assert shown.exit_code == 1
    assert "damaged" in shown.stderr
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "runs.db"]


def test_a_reader_that_has_had_enough(made: Path) -> None:
    command = [sys.executable, "-m", "umlaut_async", "export", str(made), "-f", "csv"]
    with subprocess.Popen(
        command, env=support.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()
        assert reader.stderr.read() == ""
        assert reader.wait(30) == 1


def test_a_terminal_gets_no_escape_sequence_and_a_bar(store: Store, database: Path, tmp_path: Path) -> None:
    store(run(), process(), span("\x1b[2Jred\x1b]0;title\x07"), result("a", "b", 1.0), event("c", "\x9b31m"))
    theirs, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "umlaut_async", "export", str(database), "-f", "csv"]
        ended = subprocess.run(
            command, env=support.environment() | {"TERM": "dumb"}, stdin=subprocess.DEVNULL, stdout=terminal,
            stderr=subprocess.PIPE, timeout=30, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr) == (0, b"")
        shown = os.read(theirs, 100_000).decode()
        assert "red" in shown
        assert "\x1b" not in shown
        assert "\x9b" not in shown
        ended = subprocess.run(
            [*command, "-o", str(tmp_path / "out.csv")], env=support.environment() | {"TERM": "xterm"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, timeout=30, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (0, b"")
        assert b"exporting" in os.read(theirs, 100_000)
    finally:
        os.close(theirs)
        os.close(terminal)
