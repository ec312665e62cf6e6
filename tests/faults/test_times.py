"""A run has the times of the clock of the system when it began, and ends with what it was for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import PROGRAMS
from tests.support import read

if TYPE_CHECKING:
    from tests.faults.conftest import RunProgram

STEP = 1000
SECOND = 1_000_000_000


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_run_after_the_clock_was_set_has_its_time(
    run_program: RunProgram, database: Path, tmp_path: Path, collector: str
) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/proc/self").is_dir():
        pytest.skip("needs a C compiler and Linux, to preload a library that sets the clock")
    library, step = tmp_path / "clock.so", tmp_path / "step"
    source = str(PROGRAMS / "stepped_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source], check=True, capture_output=True)
    step.write_bytes(bytes(8))
    preloaded = {"LD_PRELOAD": str(library), "STEPFILE": str(step)}
    ended = run_program("clock_step", database, collector, STEP, environment=preloaded)
    assert (ended.returncode, ended.stderr) == (0, "")
    clock = list(map(float, ended.stdout.split()))
    assert clock[1] - clock[0] > STEP
    began = [row["started"] / SECOND for row in read(database, "select started from span order by started")]
    assert began == pytest.approx(clock, abs=0.05)
    runs = [row["started"] / SECOND for row in read(database, "select started from run order by started")]
    assert runs == pytest.approx(clock, abs=1)


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_run_that_nobody_closes_lasts_as_long_as_one_that_is_closed(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    for how in ("closed", "left"):
        path = database.with_name(f"{how}.db")
        ended = run_program("never_closed", path, collector, how)
        assert (ended.returncode, ended.stderr) == (0, "")
        [run] = read(path, "select run.status, run.ended, span.started + span.duration as done from run, span")
        assert run["status"] == "ok"
        assert 0 <= run["ended"] - run["done"] < 0.1 * SECOND, how
