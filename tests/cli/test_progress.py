"""Long work shows on a terminal that it goes on, and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.on_a_terminal import on_a_terminal
from tests.cli.rows import BEGAN, process, run, span

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, UmlautProcess

SHOWN = {
    "plot DB": "reading the run …",
    "plot DB --png OUT": "drawing the picture …",
    "report DB -o OUT": "making the report …",
    "compare DB bbbbbbbb last": "comparing …",
    "rm DB last -y": "removing one run …",
    "vacuum DB": "writing the database anew …",
}


@pytest.fixture
def two(store: Store, database: Path) -> Path:
    store(run("bbbbbbbb", started=BEGAN - 1), process("bbbbbbbb", 2), span("train", process_id=2))
    store(run("aaaaaaaa"), process("aaaaaaaa"), span("train"))
    return database


@pytest.mark.parametrize("command", SHOWN)
def test_long_work_says_on_a_terminal_what_it_is(two: Path, command: str) -> None:
    places = {"DB": str(two), "OUT": str(two.with_name("out"))}
    shown, _ = on_a_terminal([places.get(word, word) for word in command.split()])
    assert SHOWN[command] in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


@pytest.mark.parametrize("command", SHOWN)
def test_it_says_nothing_elsewhere(two: Path, umlaut_process: UmlautProcess, command: str) -> None:
    places = {"DB": str(two), "OUT": "out"}
    ended = umlaut_process(*(places.get(word, word) for word in command.split()))
    assert "…" not in ended.stderr
