"""Stages and benchmarks under trio: they wait by its means, and what it cancels is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.support import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

CALLS = {
    ("items", "ok"): 1,
    ("items", "closed"): 1,
    ("stage", "ok"): 4,
    ("block", "ok"): 1,
    ("outer", "ok"): 1,
    ("in_thread", "ok"): 1,
    ("in_nursery", "cancelled"): 1,
    ("sleeping", "cancelled"): 3,
}


@pytest.mark.parametrize(("collector", "where"), [("thread", "alone"), ("process", "alone"), ("thread", "guest")])
def test_trio_is_waited_in_and_its_cancellations_are_known(
    run_program: RunProgram, database: Path, collector: str, where: str
) -> None:
    ended = run_program("trio_stages", database, collector, where)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n0 {}\n", "")
    calls = read(database, "select name, status, error, count(*) as n from span group by name, status, error")
    assert {(call["name"], call["status"]): call["n"] for call in calls} == CALLS
    assert {call["error"] for call in calls} == {None}
    parents = read(
        database,
        "select span.name, parent.name as parent from span join span as parent on parent.id = span.parent",
    )
    assert sorted((row["name"], row["parent"]) for row in parents) == [
        ("in_thread", "outer"), ("outer", "block"), ("sleeping", "in_nursery"), ("sleeping", "in_nursery"),
        *[("stage", "items")] * 4,
    ]  # fmt: skip
    assert [run["status"] for run in stored.ended_runs(database)] == ["ok"]
