"""No stage pays for the start of the collector, and nothing of it is there before the first."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

TRIES = 3


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_the_first_call_is_not_charged_with_the_start(run_program: RunProgram, database: Path, collector: str) -> None:
    shares, growths, written = [], [], []
    for number in range(TRIES):
        path = database.with_name(f"{number}.db")
        ended = run_program("first_calls", path, collector)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 False\n", "")
        shares.append(stored.results(path, "epoch", "cpu")[0]["value"])
        memory = [row["value"] for row in stored.results(path, "epoch", "memory")]
        growths.append(abs(memory[1] - memory[0]))
        written += [row["value"] for row in stored.results(path, "epoch", "io")]
    assert median(shares) <= 2
    assert median(growths) <= 3
    assert set(written) == {0}
