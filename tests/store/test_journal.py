"""How SQLite may keep a database whole: by its version, and by the file system."""

from __future__ import annotations

import ctypes
import logging
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric
from umlaut_async.store import engine, journal
from umlaut_async.store.journal import Journal, choose, loses_commits, magic_number, network_file_system
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Rows

# As linux/magic.h and the sources of the file systems have them.
NETWORK = {
    "NFS": 0x6969, "SMB": 0x517B, "SMB2": 0xFE534D42, "CIFS": 0xFF534D42, "AFS": 0x5346414F, "kAFS": 0x6B414653,
    "Coda": 0x73757245, "Ceph": 0x00C36400, "Lustre": 0x0BD00BD0, "GPFS": 0x47504653, "BeeGFS": 0x19830326,
    "9p": 0x01021997, "FUSE": 0x65735546, "OCFS2": 0x7461636F, "GFS2": 0x01161970,
}  # fmt: skip
LOCAL = {
    "ext4": 0xEF53, "xfs": 0x58465342, "btrfs": 0x9123683E, "tmpfs": 0x01021994, "overlay": 0x794C7630,
    "zfs": 0x2FC12FC1, "f2fs": 0xF2F52010,
}  # fmt: skip
each_network_file_system = pytest.mark.parametrize("number", journal._NETWORK_FILE_SYSTEMS, ids=hex)


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 43, 2), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 7), False),
        ((3, 45, 0), True),
        ((3, 49, 2), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 50, 8), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_that_may_lose_commits(version: tuple[int, int, int], affected: bool) -> None:
    assert loses_commits(version) == affected
    assert choose("/tmp/runs.db", version, lambda folder: LOCAL["ext4"]) == Journal(True, affected, None)


def test_the_table_has_those_that_are_known_best() -> None:
    assert {*NETWORK.values()} <= journal._NETWORK_FILE_SYSTEMS.keys()
    assert not {*LOCAL.values()} & journal._NETWORK_FILE_SYSTEMS.keys()


@each_network_file_system
def test_network_file_systems_allow_no_log(number: int) -> None:
    asked = []

    def statfs(folder: str) -> int:
        asked.append(folder)
        return number

    chosen = choose("/data/runs.db", (3, 40, 1), statfs)
    assert (chosen.log, chosen.lock) == (False, False)
    assert chosen.file_system == journal._NETWORK_FILE_SYSTEMS[number]
    assert asked == ["/data"]


@pytest.mark.parametrize("name", LOCAL)
def test_local_file_systems_allow_a_log(name: str) -> None:
    assert network_file_system("/data", lambda folder: LOCAL[name]) is None


def test_a_number_that_is_stored_with_a_sign_is_known() -> None:
    assert network_file_system("/data", lambda folder: ctypes.c_int32(0xFF534D42).value) == "CIFS"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_kernel_is_asked(tmp_path: Path) -> None:
    for folder in (str(tmp_path), "/proc", "/sys"):
        told = subprocess.run(["stat", "-f", "-c", "%t", folder], capture_output=True, text=True, check=True).stdout
        assert magic_number(folder) == int(told, 16)
    assert magic_number(str(tmp_path / "missing")) is None
    assert network_file_system(str(tmp_path / "missing")) is None


@each_network_file_system
async def test_runs_on_network_file_systems_are_stored_with_a_rollback_journal(
    database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(journal, "magic_number", lambda folder: number)
    caplog.set_level(logging.WARNING, "umlaut_async")
    # A run that was killed elsewhere may have left a log.
    if number == NETWORK["NFS"]:
        await (await engine.open_store(resolve(database), Journal(True, False, None))).dispose()
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    for _ in range(2):
        async with Benchmark(database) as benchmark:
            supervised = BenchmarkSupervisor([CPUMetric("cpu", interval=0.01)], benchmark)(sum)
            for item in range(50):
                supervised(range(item))
                benchmark.log("item", "counted", item)
            await benchmark.flush()
            assert not [path for path in database.parent.iterdir() if path.name.endswith(("-wal", "-shm", "-lock"))]
    assert rows("select json_extract(collector, '$.journal') as journal from run") == [{"journal": "delete"}] * 2
    assert rows("select count(*) as n, sum(value) as s from result where type = 'counted'") == [{"n": 100, "s": 2450}]
    assert rows("select count(*) as n from span where status = 'ok'") == [{"n": 100}]
    assert rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    said = [record.getMessage() for record in caplog.records if "write-ahead log" in record.getMessage()]
    assert len(said) == 1
    assert "network file system" in said[0]
