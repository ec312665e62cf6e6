"""Two metrics of one type are two numbers wherever a run is shown, each by its name."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from html import unescape
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import umlaut
from tests.faults import stored
from tests.faults.programs import two_metrics
from tests.figures.sampled import figure_of
from tests.support import read
from umlaut_async.analysis import Results
from umlaut_async.analysis.comparison import compare_groups
from umlaut_async.analysis.observations import observe
from umlaut_async.analysis.selectors import select_one
from umlaut_async.store.reading import reading
from umlaut_async.text import quantity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Umlaut
    from tests.faults.conftest import RunProgram

__all__ = ["umlaut"]

NAMES = {
    "cpu": ("own cpu", "tree cpu"),
    "memory": ("statm", "process-tree"),
    "queue": ("in", "out"),
}
UNITS = {"cpu": "%", "memory": "MiB", "queue": "items"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a run of the program."""
    database = tmp_path_factory.mktemp("two") / "runs.db"
    asyncio.run(two_metrics.main(str(database), kill=False))
    return database


@pytest.fixture
def truth(recorded: Path) -> dict[tuple[str, str], float]:
    """Return what each metric has measured, by its type and what tells it from the other one of that."""
    found: dict[tuple[str, str], float] = {}
    for type_, names in NAMES.items():
        values = [row["value"] for row in stored.results(recorded, "work", type_)]
        assert len(values) == 2
        assert values[1] > values[0]
        found |= {(type_, name): value for name, value in zip(names, values, strict=True)}
    return found


def test_text_report_and_card(recorded: Path, truth: dict[tuple[str, str], float], umlaut: Umlaut) -> None:
    page = recorded.with_suffix(".html")
    assert umlaut("report", recorded, "-o", page).exit_code == 0
    text = umlaut("show", recorded).stdout
    card = Results(recorded).run()._repr_html_()
    for (type_, name), value in truth.items():
        shown = quantity(value, UNITS[type_])
        for where in (unescape(re.sub("<[^>]*>", " ", found)) for found in (page.read_text(), card)):
            assert f"{name}: {shown}" in where or re.search(rf"\({name}\) +1 +{shown} ", where)
        assert re.search(rf"\b{name}: (≥ )?{shown}|queue \({name}\) +1 +{shown} ", text)
        # Of each type there is what one metric has, never what two have together.
        if type_ != "queue":
            assert re.findall(rf"(?<!\()\b{name}: (?:≥ )?([^ ]+)", text) == [shown.split()[0]]


def test_json_tables_and_comparisons(recorded: Path, truth: dict[tuple[str, str], float], umlaut: Umlaut) -> None:
    (stage,) = json.loads(umlaut("show", recorded, "--json").stdout)["stages"]
    expected = {f"{type_} ({name})": value for (type_, name), value in truth.items()}
    assert {name: metric["max"] for name, metric in stage["metrics"].items()} == expected
    assert {metric["n"] for metric in stage["metrics"].values()} == {1}
    assert [metric["sources"] for metric in stage["metrics"].values()][:4] == [
        ["process_time"], ["process-tree"], ["statm"], ["process-tree"],
    ]  # fmt: skip
    (row,) = Results(recorded).run().stages
    assert {name: row[f"{name}_mean"] for name in expected} == expected
    with reading(recorded) as session:
        observed = observe(session, select_one(session))
    rows = {row.label: row.base.values for row in compare_groups([observed], [observed])}
    shown = {label: values[0] for label, values in rows.items() if label.startswith("work/") and "(" in label}
    assert list(shown.values()) == pytest.approx(list(expected.values()))
    assert list(shown) == [
        "work/cpu (own cpu)", "work/cpu (tree cpu)", "work/memory (memory, statm)",
        "work/memory (memory, process-tree)", "work/queue (in)", "work/queue (out)",
    ]  # fmt: skip


def test_exports(recorded: Path, truth: dict[tuple[str, str], float], umlaut: Umlaut) -> None:
    text = umlaut("export", recorded, "-f", "prometheus").stdout
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    known = {
        (label, sample.value)
        for sample in samples
        if sample.labels.get("statistic") == "mean"
        for label in (sample.labels["description"], sample.labels["source"])
    }
    scales = {"cpu": 0.01, "memory": 2**20, "queue": 1}
    assert {(name, value * scales[type_]) for (type_, name), value in truth.items()} <= known
    events = json.loads(umlaut("export", recorded, "-f", "chrome").stdout)["traceEvents"]
    (begin,) = [event for event in events if event["ph"] == "b"]
    numbers = {name: value for name, value in begin["args"].items() if isinstance(value, float)}
    assert list(numbers.values()) == list(truth.values())
    assert "memory: memory of process-tree (MiB)" in numbers
    assert "cpu: own cpu (%)" in numbers
    lines = map(json.loads, umlaut("export", recorded, "-f", "otlp").stdout.splitlines())
    spans = [span for line in lines for scope in line["resourceSpans"][0]["scopeSpans"] for span in scope["spans"]]
    attributes = {each["key"]: each["value"] for each in spans[1]["attributes"]}
    assert {(type_, name): attributes[f"umlaut.{type_}.{name}"]["doubleValue"] for type_, name in truth} == truth


def test_all_of_it_is_in_the_old_form_too(recorded: Path, truth: dict[tuple[str, str], float], umlaut: Umlaut) -> None:
    old = recorded.with_suffix(".old.db")
    assert umlaut("export", recorded, "-f", "umlaut", "-o", old).exit_code == 0
    rows = read(old, "select measurement_type as type, measurement_description as name from measurement")
    assert sorted(row["name"] for row in rows) == ["in", "memory", "memory", "out", "own cpu", "tree cpu"]


def test_curves_and_samples(recorded: Path, umlaut: Umlaut) -> None:
    labels = {chart.type: [curve.label for curve in chart.curves] for chart in figure_of(recorded).charts}
    assert labels == {
        "cpu": ["process_time", "process-tree"], "memory": ["statm", "process-tree"], "queue": ["in", "out"],
    }  # fmt: skip
    events = json.loads(umlaut("export", recorded, "-f", "chrome").stdout)["traceEvents"]
    counters = {event["name"]: event["args"] for event in events if event["ph"] == "C"}
    assert counters["queue (items) of in"] == {"items": 3}
    assert counters["queue (items) of out"] == {"items": 70}
    assert {"cpu (%) of process_time", "cpu (%) of process-tree", "memory (MiB) of statm"} <= set(counters)
    lines = map(json.loads, umlaut("export", recorded, "-f", "otlp", "-t", "metrics").stdout.splitlines())
    metrics = [line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0] for line in lines]
    points = [
        point for metric in metrics for point in metric["gauge"]["dataPoints"] if metric["name"] == "umlaut.queue"
    ]
    assert {
        (each["value"]["stringValue"], point["asDouble"])
        for point in points
        for each in point["attributes"]
        if each["key"] == "umlaut.description"
    } == {("in", 3), ("out", 70)}
    (out,) = {*Results(recorded).run().samples("out")["value"]}
    assert out == 70


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_run_that_was_killed_in_its_first_call(
    run_program: RunProgram, database: Path, umlaut: Umlaut, collector: str
) -> None:
    assert run_program("two_metrics", database, "kill", collector).returncode == -signal.SIGKILL
    charts = {chart.type: chart for chart in figure_of(database).charts}
    assert [curve.label for curve in charts["queue"].curves] == ["in", "out"]
    run = Results(database).run()
    assert {*run.samples("in")["value"]} == {3}
    assert {*run.samples("out")["value"]} == {70}
    rows = map(json.loads, umlaut("export", database, "-f", "jsonl", "-t", "series").stdout.splitlines())
    assert sorted(row["description"] for row in rows) == ["in", "memory", "memory", "out", "own cpu", "tree cpu"]
