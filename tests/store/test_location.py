"""Where a database is, what lies there, and who writes it."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.errors import (
    ArgumentError,
    ArgumentTypeError,
    CorruptStoreError,
    NewerSchemaError,
    NotAStoreError,
    OldDatabaseError,
    StoreBusyError,
    StoreDirectoryError,
    StoreError,
    StoreNotFoundError,
)
from umlaut_async.store.engine import open_store
from umlaut_async.store.location import APPLICATION_ID, SCHEMA_VERSION, is_alive, look, resolve
from umlaut_async.store.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES = ("r", "w", "a")


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Make an empty result database."""
    path = tmp_path / "runs.db"
    await (await open_store(resolve(path))).dispose()
    return path


@contextlib.contextmanager
def sqlite(path: Path | str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def add_run(path: Path, status: str, pid: int, pid_started: int | None, host: str | None = None) -> None:
    with sqlite(path) as connection:
        connection.execute("INSERT INTO run VALUES ('abcdef123456', '', 'x', '[]', 0, NULL, ?, '{}', '{}')", (status,))
        connection.execute(
            "INSERT INTO process VALUES (1, 'abcdef123456', ?, ?, ?, NULL, 0, 0, NULL, NULL)",
            (host or socket.gethostname(), pid, pid_started),
        )


def own_start() -> int:
    return int(psutil.Process().create_time() * 1e9)


def test_a_relative_path_is_absolute_from_the_moment_of_its_resolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = resolve("a/../runs.db")
    monkeypatch.chdir("/")
    assert location.given == "a/../runs.db"
    assert location.path == str(tmp_path / "runs.db")
    assert resolve(tmp_path / "x.db").path == str(tmp_path / "x.db")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite+aiosqlite:///runs.db", "runs.db"),
        ("sqlite:///runs.db", "runs.db"),
        ("SQLite+pysqlite:///a/runs.db", "a/runs.db"),
        ("sqlite+aiosqlite:////var/runs.db", "/var/runs.db"),
        ("sqlite+aiosqlite:////var/my%20runs%3F.db", "/var/my runs?.db"),
        ("sqlite+aiosqlite:////var/runs.db?", "/var/runs.db"),
    ],
)
def test_sqlite_urls(url: str, path: str) -> None:
    location = resolve(url)
    assert location.path == os.path.abspath(path)
    assert location.url.startswith("sqlite+aiosqlite:////")


@given(st.text(st.characters(exclude_characters="\0"), min_size=1).filter(lambda name: name != ":memory:"))
def test_the_url_of_a_path_leads_back_to_it(name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return
    path = "/folder/" + name
    assert resolve(resolve(path).url).path == resolve(path).path


@pytest.mark.parametrize("url", ["postgresql+asyncpg://me:secret@db:5432/runs?ssl=1", "postgresql+psycopg://db/runs"])
def test_other_databases_are_left_to_sqlalchemy(url: str) -> None:
    location = resolve(url)
    assert (location.given, location.url, location.path) == (url, url, None)
    look(location, "a")
    replace(location)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+asyncpg://me:secret@db:5432/runs", "postgresql+asyncpg://me:***@db:5432/runs"),
        ("postgresql+asyncpg://me:a@secret:/@?secret@db/runs", "postgresql+asyncpg://me:***@db/runs"),
        ("postgresql+asyncpg://:secret@db/runs", "postgresql+asyncpg://:***@db/runs"),
        ("postgresql+asyncpg://me@db/runs?password=secret", "postgresql+asyncpg://me@db/runs"),
        ("postgresql+asyncpg:///runs?host=/tmp", "postgresql+asyncpg:///runs"),
        ("postgresql+asyncpg://me@tenant:secret@db/runs", "postgresql+asyncpg://me@tenant:***@db/runs"),
        ("postgresql+asyncpg://me/you:secret@db/runs", "postgresql+asyncpg://me/you:***@db/runs"),
        ("postgresql+asyncpg://me:secret@[::1]:5432/runs", "postgresql+asyncpg://me:***@[::1]:5432/runs"),
        ("postgresql+asyncpg://me:secret/runs", "postgresql+asyncpg://me:***"),
        ("postgresql+asyncpg://db:5432/runs", "postgresql+asyncpg://db:5432/runs"),
    ],
)
def test_the_name_of_a_server_has_no_password(url: str, name: str) -> None:
    assert resolve(url).name == name
    with pytest.raises(ArgumentError, match="mode 'w'") as caught:
        look(resolve(url), "w")
    assert "secret" not in str(caught.value)


def test_what_others_see_of_a_server_does_not_tell_its_password() -> None:
    location = resolve("postgresql+asyncpg://me:secret@db/runs")
    assert "secret" not in location.key
    assert location.key == resolve(location.given).key != resolve("postgresql+asyncpg://me:secret@db/others").key
    assert location.shown(f"--db={location.given}") == "--db=postgresql+asyncpg://me:***@db/runs"
    assert resolve("runs.db").shown("runs.db") == "runs.db"


def test_a_link_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("runs.db")
    location = resolve(tmp_path / "link.db")
    assert (location.path, location.name) == (str((tmp_path / "runs.db").resolve()), str(tmp_path / "link.db"))
    (tmp_path / "loop.db").symlink_to("loop.db")
    with pytest.raises(StoreError, match="cannot be used"):
        look(resolve(tmp_path / "loop.db"), "a")


@pytest.mark.parametrize(
    "given",
    [
        "",
        ":memory:",
        "sqlite://",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite://host/runs.db",
        "sqlite+aiosqlite:///file:runs.db?mode=memory&uri=true",
        "sqlite+aiosqlite:///runs.db?mode=memory",
        "file::memory:",
        "sqlite+pysqlcipher:///runs.db",
        "a\0b",
    ],
)
def test_what_is_no_file_is_refused_with_a_hint(given: str) -> None:
    with pytest.raises(ArgumentError, match=r"file|'\?'|aiosqlite|path"):
        resolve(given)


@pytest.mark.parametrize("url", ["postgresql://me:secret@db/runs", "postgresql+psycopg2://me:secret@db/runs"])
def test_a_sync_driver_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ArgumentError, match=r"postgresql\+asyncpg") as caught:
        resolve(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", [None, 3, b"runs.db", ["runs.db"]])
def test_other_types_are_refused(given: object) -> None:
    with pytest.raises(ArgumentTypeError, match="db_file"):
        resolve(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["", "x", "rw", "R", None])
def test_an_unknown_mode_is_refused(mode: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="mode"):
        look(resolve(tmp_path / "runs.db"), mode)


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "runs.db"
    with pytest.raises(StoreNotFoundError, match=r"runs\.db"):
        look(resolve(path), "r")
    assert not path.parent.exists()
    for mode in ("w", "a"):
        look(resolve(path), mode)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_directory(tmp_path: Path, mode: str) -> None:
    with pytest.raises(StoreDirectoryError, match="directory"):
        look(resolve(tmp_path), mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_where_a_folder_should_be(tmp_path: Path, mode: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        look(resolve(tmp_path / "file" / "runs.db"), mode)


@pytest.mark.parametrize("mode", MODES)
def test_neither_a_pipe_nor_a_device_is_opened(tmp_path: Path, mode: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(NotAStoreError, match="regular"):
            look(resolve(path), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("content", [b"x", b"id,value\n1,2\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_of_another_kind_is_refused_and_untouched(tmp_path: Path, mode: str, content: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(NotAStoreError, match="another path"):
        look(resolve(path), mode)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["data.csv"]


def test_an_empty_file_counts_as_new(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.touch()
    look(resolve(path), "a")
    look(resolve(path), "w")
    with pytest.raises(NotAStoreError, match="empty"):
        look(resolve(path), "r")


@pytest.mark.parametrize("mode", MODES)
def test_a_database_of_another_application(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "bookmarks.db"
    with sqlite(path) as connection:
        connection.execute("CREATE TABLE bookmark (url)")
    with pytest.raises(NotAStoreError, match="another application"):
        look(resolve(path), mode)
    with pytest.raises(NotAStoreError):
        replace(resolve(path))
    assert path.exists()


@pytest.mark.parametrize("mode", MODES)
def test_a_database_of_umlaut_itself(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "old.db"
    with sqlite(path) as connection:
        connection.executescript(
            "CREATE TABLE benchmark_metadata (uuid VARCHAR PRIMARY KEY, meta_description VARCHAR, meta_start_time);"
            "CREATE TABLE measurement (id INTEGER PRIMARY KEY, uuid VARCHAR, measurement_datetime DATETIME,"
            " measurement_description VARCHAR, measurement_type VARCHAR, measurement_data BLOB, measurement_unit);"
        )
    with pytest.raises(OldDatabaseError, match=r"umlaut import .*old\.db NEW"):
        look(resolve(path), mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_database_of_a_newer_version(database: Path, mode: str) -> None:
    with sqlite(database) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(NewerSchemaError, match="upgrade"):
        look(resolve(database), mode)


@pytest.mark.parametrize("mode", MODES)
def test_one_of_ours(database: Path, mode: str) -> None:
    before = database.read_bytes()
    look(resolve(database), mode)
    assert database.read_bytes() == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
async def test_a_truncated_database(database: Path, mode: str, kept: float) -> None:
    with sqlite(database) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    content = database.read_bytes()
    database.write_bytes(content[: int(len(content) * kept)])
    left = database.read_bytes()
    with pytest.raises(CorruptStoreError, match="damaged"):
        look(resolve(database), mode)
    assert database.read_bytes() == left


@pytest.mark.parametrize("mode", MODES)
def test_a_database_whose_schema_is_overwritten(database: Path, mode: str) -> None:
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 3000)
    with pytest.raises(CorruptStoreError, match="restore"):
        look(resolve(database), mode)


def test_a_database_that_lacks_its_tables(database: Path) -> None:
    with sqlite(database) as connection:
        connection.execute("DROP TABLE run")
    with pytest.raises(CorruptStoreError, match="tables"):
        look(resolve(database), "a")


@pytest.mark.parametrize(
    "name", ["a b.db", "50%25.db", "what?.db", "x#y.db", "täst 🎉.db", "a&mode=memory.db", "file:x"]
)
async def test_names_that_mean_something_in_a_uri(tmp_path: Path, name: str) -> None:
    location = resolve(tmp_path / name)
    look(location, "a")
    await (await open_store(location)).dispose()
    assert (tmp_path / name).stat().st_size
    look(location, "r")


def test_a_database_that_another_connection_is_writing(database: Path) -> None:
    with sqlite(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for mode in MODES:
            look(resolve(database), mode)


UNPRIVILEGED = """
import os, sqlite3, sys, urllib.parse
from umlaut_async.errors import StoreError
from umlaut_async.store.location import look, resolve
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for mode in "rwa":
    try:
        look(resolve(sys.argv[1]), mode)
        print("ok")
    except StoreError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("ended", [True, False])
async def test_without_permission_there_is_one_clear_error(ended: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runs.db")
        await (await open_store(resolve(path))).dispose()
        if not ended:
            # As after a run that was killed.
            with sqlite(path) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        path.chmod(0o444)
        os.chmod(folder, 0o555)
        try:
            lines = _unprivileged(path)
            missing = _unprivileged(path.with_name("new.db"))
        finally:
            os.chmod(folder, 0o755)
    if ended:
        assert lines[0] == "ok"
    else:
        assert lines[0].startswith("StoreError")
        assert "folder" in lines[0]
    assert all("no permission to write" in line for line in lines[1:] + missing[1:])


def _unprivileged(path: Path) -> list[str]:
    command = [sys.executable, "-c", UNPRIVILEGED, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()


def test_a_process_is_told_from_another_with_its_number() -> None:
    assert is_alive(os.getpid(), own_start())
    assert is_alive(os.getpid(), None)
    assert not is_alive(os.getpid(), own_start() - 2_000_000_000)
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child.pid, None)
    child.wait()
    assert not is_alive(child.pid, None)


def test_replace_deletes_the_database_and_its_log(database: Path) -> None:
    with sqlite(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO run VALUES ('a', '', 'x', '[]', 0, 1, 'ok', '{}', '{}')")
        assert Path(f"{database}-wal").exists()
        # What a run without a log has left when it was killed would be rolled back into the new database.
        Path(f"{database}-journal").touch()
        replace(resolve(database))
        assert os.listdir(database.parent) == []
    replace(resolve(database))


def test_replace_spares_what_a_living_process_writes(database: Path) -> None:
    add_run(database, "running", os.getpid(), own_start())
    with pytest.raises(StoreBusyError, match="this process is still writing run abcdef12"):
        replace(resolve(database))
    with sqlite(database) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with sqlite(database) as connection:
            started = int(psutil.Process(child.pid).create_time() * 1e9)
            connection.execute("UPDATE process SET pid = ?, pid_started = ?", (child.pid, started))
        with pytest.raises(StoreBusyError, match=f"process {child.pid}"):
            replace(resolve(database))
        child.communicate(b"\n")
    replace(resolve(database))
    assert not database.exists()


@pytest.mark.parametrize(
    ("status", "started_before", "host"),
    [("ok", 0, None), ("running", 10_000_000_000, None), ("running", 0, "another-host")],
)
def test_replace_takes_what_nobody_here_writes(
    database: Path, status: str, started_before: int, host: str | None
) -> None:
    add_run(database, status, os.getpid(), own_start() - started_before, host)
    replace(resolve(database))
    assert not database.exists()


def test_neither_sqlalchemy_nor_sqlite3_is_imported_to_resolve(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from umlaut_async.store.location import look, resolve\n"
        f"look(resolve({str(tmp_path / 'runs.db')!r}), 'a')\n"
        "print({'sqlalchemy', 'sqlite3', 'psutil', 'aiosqlite'} & sys.modules.keys())"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    assert out.stdout.strip() == "set()"


def test_our_files_can_be_told_by_their_header(database: Path) -> None:
    assert database.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big") == b"umla"
