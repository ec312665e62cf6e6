"""Mode 'w' replaces what was there before, and never what other processes have recorded for the same work."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import environment, execute
from umlaut_async import Benchmark

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows, RunScript

WORKERS = """
import asyncio, logging, multiprocessing, sys
from umlaut_async import Benchmark

logging.basicConfig()
benchmark = Benchmark("runs.db", mode="w")

def work(number):
    benchmark.log("item", "mine", number)
    asyncio.run(benchmark.flush())

def in_turn(context):
    for number in range(2):
        worker = context.Process(target=work, args=(number,))
        worker.start()
        worker.join()
        assert worker.exitcode == 0

if __name__ == "__main__":
    in_turn(multiprocessing.get_context(sys.argv[1]))
    benchmark.log("item", "mine", 2)
    asyncio.run(benchmark.close())
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_what_workers_record_before_the_process_that_starts_them_stays(
    written: Path, run_script: RunScript, rows: Rows, method: str
) -> None:
    # When a process was started is known to the second.
    execute(written, "update run set started = started - 5000000000")
    ended = run_script(WORKERS, method)
    assert ended.returncode == 0, ended.stderr
    values = rows("select value from result where type = 'mine' order by value")
    assert [row["value"] for row in values] == [0, 1, 2]
    # They have recorded in its name.
    assert rows("select status from run") == [{"status": "ok"}]
    assert ended.stderr == ""


OTHER = """
import asyncio, sys
from umlaut_async import Benchmark

benchmark = Benchmark(sys.argv[1], mode="w")
benchmark.log("other", "mine", 1)
asyncio.run(benchmark.close())
"""


def record(database: Path) -> None:
    subprocess.run([sys.executable, "-c", OTHER, str(database)], env=environment(), check=True, timeout=30)


async def test_what_another_process_has_begun_meanwhile_stays(
    database: Path, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    benchmark = Benchmark(database, mode="w", collector="process")
    await asyncio.to_thread(record, database)
    async with benchmark:
        benchmark.log("own", "mine", 2)
    assert [row["description"] for row in rows("select description from result order by value")] == ["other", "own"]
    (said,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert f"{database} is not replaced" in said.getMessage()


async def test_what_was_recorded_before_goes_and_what_this_process_has_recorded_itself(
    database: Path, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(record, database)
    first, second = (Benchmark(database, mode="w") for _ in range(2))
    for number, benchmark in enumerate((first, second)):
        async with benchmark:
            benchmark.log("own", "mine", number)
        assert [row["value"] for row in rows("select value from result")] == [number]
    assert not caplog.records


async def test_a_link_stays_and_leads_to_what_replaces_the_file(database: Path, tmp_path: Path, rows: Rows) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    database.symlink_to("elsewhere/data.db")
    for number in range(2):
        async with Benchmark(database, mode="w") as benchmark:
            benchmark.log("number", "mine", number)
        assert benchmark.db_file == database
        assert [row["value"] for row in rows("select value from result")] == [number]
    assert database.is_symlink()
    # Neither log nor lock stays behind, beside the link or beside the file.
    assert os.listdir(folder) == ["data.db"]
    assert {*os.listdir(tmp_path)} == {database.name, folder.name}


async def test_one_file_by_two_names_has_one_lock(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database.name)
    async with Benchmark(database), Benchmark(link):
        assert not [name for name in os.listdir(tmp_path) if name.startswith("link.db-")]
