"""Prometheus: text that its own client reads, with what the runs come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.rows import BEGAN, SECOND, process, result, run, span
from tests.hostile import TEXTS, in_every_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

Sample = tuple[str, frozenset[tuple[str, str]]]


def exported(umlaut: Umlaut, database: Path, *arguments: object) -> dict[Sample, float]:
    """Return the values that Prometheus reads, by name and labels, and check that each is there once."""
    out = database.parent / "runs.prom"
    shown = umlaut("export", database, *arguments, "-f", "prometheus", "-o", out)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
    families = [*text_string_to_metric_families(out.read_bytes().decode())]
    assert len({family.name for family in families}) == len(families)
    assert {family.type for family in families} <= {"gauge", "counter"}
    found: dict[Sample, float] = {}
    for family in families:
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def test_totals_in_base_units(store: Store, database: Path, umlaut: Umlaut) -> None:
    first, second = span("train", duration=2 * SECOND), span("train", duration=SECOND, status="error")
    store(
        run("a", ended=BEGAN + 3 * SECOND), process("a"), first, second,
        result("energy", "µJ", 2_000_000, span=first.id), result("energy", "µJ", 1_000_000, span=second.id),
        result("memory", "MiB", 3, span=first.id), result("cpu", "%", 50, span=first.id),
        result("my own", "cats", 7, span=first.id), result("loss", "loss", None, [1.0]),
        result("accuracy", "", 0.5, description="x"), result("accuracy", "", 0.75, description="x"),
    )  # fmt: skip
    found = exported(umlaut, database)
    stage = {"run": "a", "stage": "train", "kind": "coroutine"}

    def value(name: str, /, **labels: str) -> float:
        return found[name, frozenset(({"run": "a"} | labels).items())]

    assert value("umlaut_run_info", name="train.py", status="ok", description="about it") == 1
    assert value("umlaut_run_start_time_seconds") == BEGAN / SECOND
    assert value("umlaut_run_duration_seconds") == 3
    assert value("umlaut_calls_total", **stage, status="ok") == 1
    assert value("umlaut_calls_total", **stage, status="error") == 1
    assert value("umlaut_call_seconds_total", **stage) == 3
    assert value("umlaut_energy_joules_total", **stage) == pytest.approx(3)
    assert value("umlaut_call_energy_joules", **stage, statistic="max") == pytest.approx(2)
    assert value("umlaut_call_memory_bytes", **stage, statistic="max") == 3 * 2**20
    assert value("umlaut_call_cpu_ratio", **stage, statistic="mean") == 0.5
    assert value("umlaut_result", **stage, type="my own", unit="cats", statistic="min") == 7
    assert value("umlaut_recorded", method="", type="accuracy", description="x", unit="") == 0.75


def test_several_runs_share_their_families(made: Path, umlaut: Umlaut) -> None:
    found = exported(umlaut, made)
    assert {dict(labels)["run"] for name, labels in found if name == "umlaut_run_info"} == {
        "aaaaaaaa-1111",
        "bbbbbbbb-0",
    }
    events = {dict(labels)["message"]: value for (name, labels), value in found.items() if "events" in name}
    assert events == {"3 records were dropped": 1}


def test_hostile_texts_are_labels(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(*in_every_text(TEXTS))
    found = exported(umlaut, database)
    assert {dict(labels)["stage"] for name, labels in found if name == "umlaut_call_seconds_total"} == set(TEXTS)


def test_an_empty_database(store: Store, database: Path, umlaut: Umlaut) -> None:
    store()
    assert exported(umlaut, database) == {}
