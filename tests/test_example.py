"""The example, and what README.md and the pages of docs show, do what they promise."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests import support

if TYPE_CHECKING:
    from pathlib import Path

README = support.ROOT / "README.md"
DOCS = support.ROOT / "docs" / "index.md"
READING = support.ROOT / "docs" / "reading-results.md"
METRICS = support.ROOT / "docs" / "metrics.md"


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of one language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the example once; return how it ended, and its database."""
    pytest.importorskip("sklearn", reason="the example needs the extra 'examples'")
    folder = tmp_path_factory.mktemp("example")
    ended = subprocess.run(
        [sys.executable, support.ROOT / "examples" / "digits_pipeline.py", "--db", folder / "digits.db"],
        cwd=folder,
        env=support.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended, folder / "digits.db"


def test_the_example_ends_well_and_says_nothing_on_stderr(
    example: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ended, database = example
    assert (ended.returncode, ended.stderr) == (0, "")
    # No shards are left, and nothing else but the database.
    assert {path.name for path in database.parent.iterdir()} <= {"digits.db", "digits.db-wal", "digits.db-shm"}


def test_the_example_prints_what_umlaut_show_prints(example: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ended, database = example
    shown = subprocess.run(
        [sys.executable, "-m", "umlaut_async", "show", database],
        env=support.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert shown.stdout == ended.stdout
    assert "train_epoch" in ended.stdout


def test_every_stage_of_the_example_is_measured(example: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, database = example
    calls = support.calls_of(database)
    assert {call["status"] for call in calls} == {"ok"}
    kinds = {(call["name"], call["kind"]) for call in calls}
    assert kinds == {
        ("write_shards", "function"),
        ("read_shard", "function"),
        ("batches", "async generator"),
        ("train_epoch", "coroutine"),
        ("validate", "function"),
        ("sweep", "async with"),
    }
    by_name = {name: [call for call in calls if call["name"] == name] for name, _ in kinds}
    assert {name: len(found) for name, found in by_name.items()} == {
        "write_shards": 1,
        "read_shard": 14 * 43,
        "batches": 14,
        "train_epoch": 14,
        "validate": 14,
        "sweep": 1,
    }
    for name, types in {
        "write_shards": {"time", "io"},
        "read_shard": {"time"},
        "batches": {"time", "throughput", "cpu"},
        "train_epoch": {"time", "throughput", "cpu", "memory"},
        "validate": {"time", "latency", "memory"},
        "sweep": {"time"},
    }.items():
        for call in by_name[name]:
            assert set(call["results"]) == types
            assert all(result["value"] is not None for result in call["results"].values())
    (sweep,) = by_name["sweep"]
    assert [call["parent"] for call in by_name["train_epoch"]] == [sweep["id"]] * 4 + [None] * 10
    epochs = {call["id"]: call for call in by_name["train_epoch"]}
    for call in by_name["batches"]:
        assert call["duration"] <= epochs[call["parent"]]["duration"]
        assert 0 < call["producing"] <= call["duration"]
        assert call["results"]["throughput"]["value"] == pytest.approx(43 / (call["duration"] / 1e9))
    loaders = {call["id"] for call in by_name["batches"]}
    assert all(call["parent"] in loaders for call in by_name["read_shard"])
    for call in epochs.values():
        assert call["results"]["throughput"]["value"] == pytest.approx(1347 / (call["duration"] / 1e9))


def test_the_example_tracks_the_model(example: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, database = example
    tracked = {row["type"]: row for row in support.read(database, "select * from result where span is null")}
    assert set(tracked) == {"loss", "tta", "timed tta", "confusion-matrix", "hyperparameters"}
    assert len(tracked["loss"]["data"]) == 10
    assert tracked["loss"]["data"][-1] < tracked["loss"]["data"][0]
    assert len(tracked["tta"]["data"]) == 10
    assert max(tracked["tta"]["data"]) > 0.9
    assert tracked["timed tta"]["value"] > 0
    matrix = tracked["confusion-matrix"]["data"]["matrix"]
    assert sum(map(sum, matrix)) == 450
    assert sum(row[digit] for digit, row in enumerate(matrix)) / 450 == pytest.approx(tracked["tta"]["data"][-1])
    sweep = tracked["hyperparameters"]["data"]
    assert (sweep["hyperparameters"], sweep["target"], sweep["low_means_good"]) == (["alpha"], "loss", True)
    assert [measurement["alpha"] for measurement in sweep["measurements"]] == [1e-4, 1e-3, 1e-2, 1e-1]


def test_the_account_of_the_example_is_whole(example: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, database = example
    (run,) = support.read(database, "select *, collector as data from run")
    assert (run["status"], json.loads(run["tags"])) == ("ok", ["example"])
    calls = 14 * (43 + 3) + 2
    assert run["data"]["recorded"] == run["data"]["stored"] == calls + 5
    assert run["data"]["dropped"] == {}


@pytest.mark.parametrize("query", [*blocks(DOCS, "sql"), *blocks(METRICS, "sql")])
def test_the_queries_of_the_documentation(example: tuple[subprocess.CompletedProcess[str], Path], query: str) -> None:
    _, database = example
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute(query).fetchall()
    assert found or "FROM event" in query


def test_the_example_of_the_readme_and_the_one_that_reads_it(run_script: support.RunScript, tmp_path: Path) -> None:
    (writing,) = blocks(README, "python")
    ended = run_script(writing)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    (call,) = support.calls_of(tmp_path / "runs.db")
    assert (call["name"], call["kind"], set(call["results"])) == (
        "batches",
        "async generator",
        {"time", "cpu", "throughput"},
    )
    reading, tabulating = blocks(DOCS, "python")
    ended = run_script(reading)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"batches {call['duration']}\n", "")
    ended = run_script(tabulating.replace('"memory", stage="train"', '"cpu", stage="batches"'))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"batches {call['duration']} ok\n", "")


def test_the_example_of_the_metrics(run_script: support.RunScript, tmp_path: Path) -> None:
    (writing,) = blocks(METRICS, "python")
    ended = run_script(writing)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    calls = {call["name"]: call["results"] for call in support.calls_of(tmp_path / "metrics.db")}
    assert set(calls["batches"]) == {"wait", "cpu"}
    assert set(calls["train"]) == {"await", "looplag", "memory"}
    assert calls["batches"]["wait"]["value"] > 50


@pytest.mark.parametrize("page", [DOCS, METRICS], ids=lambda page: page.name)
def test_the_types_and_units_of_the_documentation(page: Path) -> None:
    from umlaut_async.diagnosis import checks

    text = page.read_text().replace("% (100 = one core)", "%")
    for metric in {type(check.metric) for check in checks()}:
        assert f"| `{metric.__name__}` | {metric.measure_type} | {metric.unit} |" in text


def test_what_doctor_prints_in_the_documentation() -> None:
    from umlaut_async.diagnosis import checks

    (shown,) = blocks(METRICS, "text")
    rows = [re.split(r"\s{2,}", line) for line in shown.splitlines()]
    documented = [(row[0], row[1], row[3]) for row in rows if len(row) == 7][1:]
    probes = [(check, check.metric.probe()) for check in checks()]
    assert documented == [
        (check.label, check.metric.measure_type, probe.source if probe else "perf_counter") for check, probe in probes
    ]


def test_what_show_prints_in_the_documentation(example: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ended, _ = example
    documented = [block.splitlines() for block in blocks(READING, "text")]
    assert len(documented) == 5
    shown = ended.stdout.splitlines()
    for table in documented[1:]:
        heading, _, *rows = table
        (at,) = [index for index, line in enumerate(shown) if line.split() == heading.split()]
        stages = [line.split()[0] for line in rows]
        if not heading.startswith("slowest"):
            assert stages == [line.split()[0] for line in shown[at + 2 : at + 2 + len(stages)]]
    assert documented[0][3].startswith("▶ `train_epoch` keeps one core")


def test_the_rules_of_the_documentation() -> None:
    from umlaut_async.analysis import verdict

    listed = re.findall(r"^\| ([a-z, -]+) \|.*\|$", READING.read_text(), re.MULTILINE)
    assert [rule.kind for rule in verdict.RULES] == ", ".join(listed[1:]).split(", ")


def test_the_tables_of_the_documentation() -> None:
    from umlaut_async.store import models

    page = DOCS.read_text()
    for table in models.Base.metadata.sorted_tables:
        (row,) = re.findall(rf"^\| `{table.name}` \|.*$", page, re.MULTILINE)
        columns = re.sub(r"\([^)]*\)", "", row.split("|")[3])
        assert re.findall(r"`(\w+)`", columns) == [column.name for column in table.columns]


def test_the_commands_of_the_readme_are_one_line_each() -> None:
    commands = blocks(README, "sh")
    assert len(commands) == 2
    assert all(command.count("\n") == 1 and command.startswith("python3 -m venv .venv && ") for command in commands)
    assert commands[0].rstrip().endswith(".venv/bin/python examples/digits_pipeline.py")
    assert commands[1].rstrip().endswith(".venv/bin/python -m pytest")
