"""No finalizer of the user's objects runs in a thread of the collector."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.faults import stored
from tests.support import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

pytestmark = pytest.mark.parametrize("collector", ["thread", "process"])


def test_finalizers_run_in_the_threads_of_the_program(run_program: RunProgram, database: Path, collector: str) -> None:
    ended = run_program("finalizers", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    called_in = ast.literal_eval(ended.stdout)
    assert set(called_in) == {"MainThread"}
    # The cyclic garbage collector still does its work meanwhile.
    assert called_in["MainThread"] > 100


def test_interpreters_of_tcl_end_in_their_thread(run_program: RunProgram, database: Path, collector: str) -> None:
    pytest.importorskip("tkinter", reason="needs Tk, whose objects abort the program in another thread")
    ended = run_program("tcl_in_cycles", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_worker_that_is_joined_by_a_finalizer_ends_at_once(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    ended = run_program("joining_finalizer", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    joined = [line.split() for line in ended.stdout.splitlines()]
    assert len(joined) == 4
    assert {thread for thread, _ in joined} == {"MainThread"}
    # Each waited for its parent, which waited for it, until it gave up after 1.5 s. One may be held up by the machine.
    assert sorted(float(seconds) for _, seconds in joined)[-2] < 1
    [run] = read(database, "select status, collector ->> 'dropped' as dropped from run")
    assert run == {"status": "ok", "dropped": "{}"}


def test_a_slow_finalizer_stops_no_sampling(run_program: RunProgram, database: Path, collector: str) -> None:
    ended = run_program("slow_finalizer", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert set(ended.stdout.split()) <= {"MainThread"}
    times = stored.samples(database)
    assert max(after - before for before, after in pairwise(times)) < 0.5e9
