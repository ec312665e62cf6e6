"""A call in a thread lies in the call that has sent the work there, or else its parent is unknown and said to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support import read
from umlaut_async.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

PARENTS = {
    "default": "stage", "pool": "stage", "to_thread": "stage", "submit": "stage", "map": "stage",
    "later": None, "late": None, "outside": None, "thread": None, "stage": None,
}  # fmt: skip


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_call_in_a_thread_lies_in_the_call_that_sent_it_there(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    ended = run_program("in_executor", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    parents = read(
        database,
        "select distinct span.name, outer.name as parent from span left join span as outer on outer.id = span.parent",
    )
    assert {row["name"]: row["parent"] for row in parents} == PARENTS
    said, listed = [line for line in show(database).splitlines() if "unknown parent" in line]
    assert said.startswith("unknown parent: 1 call of `thread`")
    assert "as work of `stage`" in said
    assert listed.startswith("thread")
    found = json.loads(show(database, "--json"))
    assert {call["stage"] for call in found["slowest"] if call["unknown_parent"]} == {"thread"}
    assert {stage["name"] for stage in found["stages"] if stage["unknown_parents"]} == {"thread"}


def show(database: Path, *options: str) -> str:
    return CliRunner().invoke(main, ["show", str(database), *options]).output
