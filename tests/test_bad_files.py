"""Files that are missing, damaged, busy or not ours: refused by name, and left as they are."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support import check_message, environment, read
from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    NewerSchemaError,
    NotAStoreError,
    OldDatabaseError,
    StoreBusyError,
    StoreDirectoryError,
    StoreError,
    StoreNotFoundError,
    TimeMetric,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    path.write_text("not a database " * 1000)
    return path


@pytest.fixture
def foreign_database(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("create table run (id integer primary key); insert into run values (7);")
    return path


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    """Return a database with the tables of UMLAUT."""
    path = tmp_path / "umlaut.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table benchmark_metadata (uuid varchar primary key, meta_description varchar,"
            " meta_start_time datetime);"
            "create table measurement (id integer primary key, uuid varchar references benchmark_metadata (uuid),"
            " measurement_datetime datetime, measurement_description varchar not null, measurement_type varchar,"
            " measurement_data blob not null, measurement_unit varchar, measured_method_name varchar);"
            "insert into benchmark_metadata values ('u', 'old', '2022-01-01');"
        )
    return path


class TestFiles:
    def test_a_missing_file_cannot_be_read(self, tmp_path: Path) -> None:
        missing = tmp_path / "folder" / "missing.db"
        with pytest.raises(StoreNotFoundError, match="missing") as caught:
            Benchmark(missing, mode="r")
        assert isinstance(caught.value, FileNotFoundError)
        check_message(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("mode", ["r", "w", "a"])
    def test_a_directory(self, tmp_path: Path, mode: str) -> None:
        with pytest.raises(StoreDirectoryError, match="directory") as caught:
            Benchmark(tmp_path, mode=mode)
        assert isinstance(caught.value, IsADirectoryError)
        check_message(caught.value)

    @pytest.mark.parametrize("mode", ["w", "a"])
    @pytest.mark.parametrize("kind", ["text_file", "foreign_database"])
    def test_a_file_that_is_not_ours(self, request: pytest.FixtureRequest, mode: str, kind: str) -> None:
        path: Path = request.getfixturevalue(kind)
        before = path.read_bytes()
        with pytest.raises(NotAStoreError) as caught:
            Benchmark(path, mode=mode)
        assert isinstance(caught.value, ValueError)
        assert str(path) in str(caught.value)
        check_message(caught.value)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("mode", ["w", "a"])
    def test_an_old_database_is_told_how_to_be_imported(self, old_database: Path, mode: str) -> None:
        before = old_database.read_bytes()
        with pytest.raises(OldDatabaseError, match="umlaut import") as caught:
            Benchmark(old_database, mode=mode)
        check_message(caught.value)
        assert old_database.read_bytes() == before

    @pytest.mark.parametrize("mode", ["r", "w", "a"])
    def test_a_newer_schema(self, written: Path, mode: str) -> None:
        with closing(sqlite3.connect(written)) as connection:
            (version,) = connection.execute("pragma user_version").fetchone()
            connection.execute(f"pragma user_version = {version + 1}")
        before = written.read_bytes()
        with pytest.raises(NewerSchemaError, match=r"upgrade|newer") as caught:
            Benchmark(written, mode=mode)
        check_message(caught.value)
        assert written.read_bytes() == before

    @pytest.mark.parametrize("mode", ["r", "w", "a"])
    @pytest.mark.parametrize("damage", ["truncated", "first page", "header"])
    def test_a_damaged_database(self, written: Path, mode: str, damage: str) -> None:
        content = written.read_bytes()
        damaged = {
            "truncated": content[: len(content) // 2],
            "first page": content[:100] + b"\xff" * 3996 + content[4096:],
            "header": b"\x00" * 100 + content[100:],
        }[damage]
        written.write_bytes(damaged)

        async def use() -> None:
            benchmark = Benchmark(written, mode=mode)
            try:
                await benchmark.open()
                if mode == "r":
                    await read_everything(benchmark)
            finally:
                await benchmark.close()

        with pytest.raises(StoreError) as caught:
            asyncio.run(use())
        assert isinstance(caught.value, ValueError)
        check_message(caught.value)
        assert written.read_bytes() == damaged

    def test_missing_folders_are_made(self, tmp_path: Path) -> None:
        database = tmp_path / "a" / "b" / "runs.db"
        benchmark = Benchmark(database)
        benchmark.log("kept", "mine", 1)
        asyncio.run(benchmark.close())
        assert len(read(database, "select * from result")) == 1

    def test_a_relative_path_is_that_of_construction(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        benchmark = Benchmark("runs.db")
        monkeypatch.chdir(tmp_path / "elsewhere")
        benchmark.log("kept", "mine", 1)
        asyncio.run(benchmark.close())
        assert benchmark.db_file == "runs.db"
        assert len(read(tmp_path / "runs.db", "select * from result")) == 1
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_w_replaces_the_file_at_open_only(self, written: Path) -> None:
        benchmark = Benchmark(written, "second", mode="w")
        assert [row["description"] for row in read(written, "select * from run")] == ["first"]
        asyncio.run(benchmark.open())
        asyncio.run(benchmark.close())
        assert [row["description"] for row in read(written, "select * from run")] == ["second"]

    def test_a_adds_a_run(self, written: Path) -> None:
        benchmark = Benchmark(written, "second")
        benchmark.log("kept", "mine", 2)
        asyncio.run(benchmark.close())
        assert [row["description"] for row in read(written, "select * from run order by started")] == [
            "first",
            "second",
        ]
        assert [row["value"] for row in read(written, "select * from result order by id")] == [1, 2]

    def test_w_is_refused_while_another_process_writes(self, database: Path, tmp_path: Path) -> None:
        script = tmp_path / "writer.py"
        script.write_text(
            "import asyncio, sys\n"
            "from umlaut_async import Benchmark\n"
            "async def main():\n"
            "    async with Benchmark(sys.argv[1], 'theirs') as benchmark:\n"
            "        benchmark.log('kept', 'mine', 1)\n"
            "        await benchmark.flush()\n"
            "        print('ready', flush=True)\n"
            "        sys.stdin.readline()\n"
            "        benchmark.log('kept', 'mine', 2)\n"
            "asyncio.run(main())\n"
        )

        async def replace() -> None:
            benchmark = Benchmark(database, "ours", mode="w")
            try:
                await benchmark.open()
            finally:
                await benchmark.close()

        with subprocess.Popen(
            [sys.executable, str(script), str(database)],
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            with pytest.raises(StoreBusyError, match=str(writer.pid)) as caught:
                asyncio.run(replace())
            check_message(caught.value)
            writer.communicate("go on\n", timeout=20)
            assert writer.returncode == 0
        assert [row["value"] for row in read(database, "select * from result order by id")] == [1, 2]
        asyncio.run(replace())
        assert [row["description"] for row in read(database, "select * from run")] == ["ours"]

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # Root may write everywhere, nobody may not.
            with pytest.raises(StoreError, match=r"[Pp]ermission"):
                Benchmark(tmp_path / "runs.db")
        finally:
            os.seteuid(user)
            tmp_path.chmod(0o700)

    def test_a_path_through_a_file(self, text_file: Path) -> None:
        with pytest.raises(StoreError) as caught:
            Benchmark(text_file / "runs.db")
        check_message(caught.value)

    def test_the_file_becomes_a_directory_before_it_is_opened(
        self, database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        benchmark = Benchmark(database)
        database.mkdir()

        @BenchmarkSupervisor([TimeMetric("time")], benchmark)
        def stage() -> int:
            return 42

        assert stage() == 42
        with pytest.raises(StoreError):
            asyncio.run(benchmark.flush())
        with pytest.raises(StoreError):
            asyncio.run(benchmark.close())
        assert stage() == 42
        errors = [
            record for record in caplog.records if record.name.startswith("umlaut_async") and record.levelno >= 40
        ]
        assert len(errors) == 1


async def read_everything(benchmark: Benchmark) -> None:
    from sqlalchemy import select

    from umlaut_async import models

    try:
        for model in (models.Run, models.Span, models.Result, models.Sample, models.Chunk, models.Event):
            (await benchmark.session.execute(select(model))).all()
    finally:
        await benchmark.session.close()


async def test_after_close_the_file_alone_holds_everything(
    benchmark: Benchmark, database: Path, tmp_path: Path
) -> None:
    benchmark.log("kept", "mine", 1)
    await benchmark.close()
    assert [path.name for path in tmp_path.iterdir()] == [database.name]
