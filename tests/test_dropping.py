"""The run of a benchmark that nothing refers to any more ends, and not before."""

from __future__ import annotations

import gc
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support import read
from umlaut_async import Benchmark

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Row


class Holder:
    """What holds a benchmark, in a cycle, and logs a value with it at its end."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark, self.itself = benchmark, self

    def __del__(self) -> None:
        self.benchmark.log("last", "value", 2)


def ended(database: Path) -> list[Row]:
    deadline, runs = time.monotonic() + 10, []
    while time.monotonic() < deadline:
        with suppress(sqlite3.OperationalError):  # It is not there yet.
            runs = read(database, "select status, ending from run join process on run_uuid = uuid")
        if runs and runs[0]["status"] != "running":
            return runs
        time.sleep(0.02)
    pytest.fail("the run goes on")


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_what_a_finalizer_logs_is_of_the_run(database: Path, collector: str) -> None:
    holder = Holder(Benchmark(database, collector=collector))
    holder.benchmark.log("first", "value", 1)
    del holder
    gc.collect()
    assert ended(database) == [{"status": "ok", "ending": "dropped"}]
    assert [row["value"] for row in read(database, "select value from result order by value")] == [1, 2]


def test_what_a_finalizer_keeps_alive_goes_on(database: Path) -> None:
    kept = []

    class Keeper(Holder):
        def __del__(self) -> None:
            kept.append(self.benchmark)

    Keeper(Benchmark(database)).benchmark.log("first", "value", 1)
    gc.collect()
    kept[0].log("last", "value", 2)
    with suppress(sqlite3.OperationalError):
        assert read(database, "select status from run") in ([], [{"status": "running"}])
    kept.clear()
    assert ended(database) == [{"status": "ok", "ending": "dropped"}]
    assert [row["value"] for row in read(database, "select value from result order by value")] == [1, 2]
