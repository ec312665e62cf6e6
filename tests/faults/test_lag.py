"""The lag of a loop counts from when it was due to go on, whatever kept it, and in every process of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.support import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


@pytest.mark.parametrize("how", ["gil", "stop"])
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_block_that_stops_all_threads_is_seen(
    run_program: RunProgram, database: Path, collector: str, how: str
) -> None:
    ended = run_program("lag_by_gil", database, collector, how)
    assert (ended.returncode, ended.stderr) == (0, "")
    blocks = list(map(float, ended.stdout.split()))
    lags = [row["value"] for row in stored.results(database, "stage", "looplag")]
    steps = [row["data"]["longest_step"] for row in stored.results(database, "stage", "await")]
    assert lags == pytest.approx(blocks, rel=0.1, abs=0.01)
    assert steps == pytest.approx(lags, rel=0.1, abs=0.01)


@pytest.mark.parametrize("other", ["fork", "spawn", "program"])
@pytest.mark.parametrize("collector", ["thread", "process"])
def test_every_process_of_a_run_has_the_lag_of_its_loop(
    run_program: RunProgram, database: Path, collector: str, other: str
) -> None:
    ended = run_program("lag_of_others", database, collector, other)
    assert (ended.returncode, ended.stderr) == (0, "")
    counts = read(
        database, "select count(*) as n, count(value) as known from result where type = 'looplag' group by process_id"
    )
    assert counts == [{"n": 1, "known": 1}, {"n": 40, "known": 40}]
    assert stored.events(database) == []
