"""The one number that a run comes to, of each stage and metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.cli.rows import BEGAN, SECOND, process, result, run, span
from umlaut_async.analysis.observations import Observed, Quantity, observe
from umlaut_async.analysis.selectors import select_one
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store


def observed(database: Path, selector: str = "aaaaaaaa") -> dict[Quantity, Observed]:
    with reading(database) as session:
        return observe(session, select_one(session, selector))


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        # Calls of one and three seconds.
        ("energy", (10.0, 20.0), 30.0),
        ("memory", (10.0, 20.0), 20.0),
        ("cpu", (10.0, 20.0), 17.5),
        ("throughput", (10.0, 20.0), 70 / 4),
        ("latency", (0.1, 0.5), 4 / 16),
        ("looplag", (0.1, 0.5), 0.5),
        ("await", (0.1, 0.5), 0.6),
        ("of one's own", (10.0, 20.0), 15.0),
        ("io", (0.0, 0.0), 0.0),
    ],
)
def test_calls_make_one_number(
    type_: str, values: tuple[float, float], expected: float, store: Store, database: Path
) -> None:
    short, long = span("train", duration=SECOND), span("train", duration=3 * SECOND)
    store(
        run(),
        process(),
        short,
        long,
        result(type_, "u", values[0], span=short.id),
        result(type_, "u", values[1], span=long.id),
        result(type_, "u", None, span=long.id, provenance="unavailable"),
    )
    found = observed(database)
    of_type = found[Quantity("train", type_, f"the {type_}")]
    assert of_type.value == pytest.approx(expected)
    assert of_type == Observed(of_type.value, "u")
    assert found[Quantity("train", "time")].value == 4
    assert found[Quantity("train", "calls")].value == 2
    assert found[Quantity("", "time")] == (90.0, "sec", True, False)


def test_all_processes_of_a_run_count_and_no_other_run(store: Store, database: Path) -> None:
    spans = [span("train", process_id=number, duration=number * SECOND) for number in (1, 2, 3)]
    store(
        run(),
        run("bbbbbbbb-2", started=BEGAN + 1),
        process(),
        process(number=2),
        process("bbbbbbbb-2", number=3),
        *spans,
        *(result("energy", "µJ", 10.0, span=one.id, process_id=one.process_id) for one in spans),
    )
    energy = Quantity("train", "energy", "the energy")
    assert observed(database)[energy].value == 20
    assert observed(database)[Quantity("train", "time")].value == 3
    assert observed(database, "bbbbbbbb")[energy].value == 10


def test_failing_and_running_calls(store: Store, database: Path) -> None:
    store(
        run(),
        process(),
        span("train", status="error"),
        span("train", status="running", duration=None),
        span("wait", status="running", duration=None),
    )
    found = observed(database)
    assert [found[Quantity("train", type_)].value for type_ in ("time", "calls", "errors")] == [2, 2, 1]
    assert Quantity("wait", "time") not in found


def test_one_estimate_makes_an_estimate(store: Store, database: Path) -> None:
    calls = [span("train"), span("train")]
    values = zip(calls, ("measured", "estimated"), strict=True)
    store(run(), process(), *calls, *(result("energy", "µJ", 1.0, span=one.id, provenance=how) for one, how in values))
    assert observed(database)[Quantity("train", "energy", "the energy")].estimated


def test_what_was_tracked(store: Store, database: Path) -> None:
    store(
        run(),
        process(),
        result("loss", "loss", data=[0.9, 0.2, 0.4]),
        result("loss", "loss", data=[0.9, math.nan], description="diverged"),
        result("tta", "accuracy", data=[0.5, 0.9, math.nan, 0.8]),
        result("timed tta", "time for target accuracy", 12.5, description="reached"),
        result(
            "timed tta", "time for target accuracy", data={"target": 0.9, "reached": False, "best": 0.8},
            description="not reached", recorded=BEGAN + 80 * SECOND,
        ),
        result("f1", "", 0.7, method="validate"),
        result("f1", "", 0.8, method="validate"),
        result("time", "sec", 2.0),
        result("time", "sec", 3.0),
        result("memory", "MiB", 5.0),
        result("memory", "MiB", 4.0),
        result("cpu", "%", 50.0),
        result("cpu", "%", 100.0),
        result("huge", "", data=10**400),
        result("text", "", data="hello"),
        result("yes", "", data=True),
        result("nothing", "", data=[]),
        result("loss", "loss", data=[], description="empty"),
        result("confusion-matrix", "", data={"matrix": [[1]], "labels": ["a"]}),
    )  # fmt: skip
    found = observed(database)
    assert math.isnan(found.pop(Quantity("", "loss", "diverged")).value)
    assert found == {
        Quantity("", "time"): (90.0, "sec", True, False),
        Quantity("", "loss", "the loss"): (0.4, "loss", True, False),
        Quantity("", "tta", "the tta"): (0.9, "accuracy", True, False),
        Quantity("", "timed tta", "reached"): (12.5, "sec", True, False),
        Quantity("", "timed tta", "not reached"): (80.0, "sec", False, False),
        Quantity("validate", "f1", "the f1"): (0.8, "", True, False),
        Quantity("", "time", "the time"): (5.0, "sec", True, False),
        Quantity("", "memory", "the memory"): (5.0, "MiB", True, False),
        Quantity("", "cpu", "the cpu"): (75.0, "%", True, False),
        Quantity("", "huge", "the huge"): (math.inf, "", True, False),
    }
