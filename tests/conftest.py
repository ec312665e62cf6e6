"""Fixtures of all tests, and the check that no test leaves anything behind."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import gc
import logging
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from pytest_asyncio import is_async_test

import umlaut_async
from tests import support, turns
from tests.probes import fake_nvml
from umlaut_async.collector import address

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from tests.postgres import Server
    from umlaut_async import Benchmark

PATIENCE = 2.0
DATABASE_FILE = re.compile(r"\.db(-wal|-shm)?( \(deleted\))?$")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--soak`: heavy tests run their full counts."""
    parser.addoption("--soak", action="store_true", help="run heavy tests with their full counts")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what the programs of the tests begin with."""
    if not hasattr(config, "workerinput"):
        # Where Python is told to write no bytecode, each of hundreds of processes would compile the package anew.
        compileall.compile_dir(str(Path(umlaut_async.__file__).parent), quiet=2)
    # They are to heed Ctrl-C and hang-ups also where the tests run in the background.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            # A program that is started inherits what is ignored, but no handler.
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let a test that measures time run alone, where several processes share the tests."""
    with turns.turn(alone=_runs_alone(item), next_alone=nextitem is not None and _runs_alone(nextitem)):
        return (yield)


def _runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have only text in a report that can be sent to another process."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that run alone come last, so that the others wait for them only once."""
    items.sort(key=_runs_alone)


def pytest_collection_finish() -> None:
    """Set aside what exists before the first test, so that collecting the garbage of a test takes no time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def soak(pytestconfig: pytest.Config) -> bool:
    """Whether heavy tests run their full counts."""
    return bool(pytestconfig.getoption("--soak"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a database that does not exist yet."""
    return tmp_path / "runs.db"


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    """Start a PostgreSQL server for all tests that want one."""
    from tests.postgres import Server

    server = Server()
    yield server
    server.remove()


@pytest.fixture
def server(running_server: Server) -> Server:
    """Return a PostgreSQL server with an empty database."""
    running_server.clear()
    return running_server


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest) -> support.Anywhere:
    """Return an empty database of each kind in turn."""
    if request.param == "sqlite":
        path = request.getfixturevalue("database")
        return support.Anywhere(
            str(path),
            lambda sql, *parameters: support.read(path, sql, *parameters),
            lambda sql: support.execute(path, sql),
        )
    server = request.getfixturevalue("server")
    return support.Anywhere(server.url(), server.read, server.execute)


@pytest.fixture
def benchmark(database: Path) -> Iterator[Benchmark]:
    """Yield a benchmark that nothing has opened yet; close it after the test."""
    from umlaut_async import Benchmark

    opened_when_used = Benchmark(database, "a test")
    yield opened_when_used
    support.run_elsewhere(opened_when_used.close)


@pytest.fixture
def written(database: Path) -> Path:
    """Return a database with one run of one value."""

    from umlaut_async import Benchmark

    async def write() -> None:
        async with Benchmark(database, "first") as benchmark:
            benchmark.log("kept", "mine", 1)

    support.run_elsewhere(write)
    # Damage to the file alone is not to be healed from its log.
    assert not wait_until_empty(lambda: [*database.parent.glob("*-wal")])
    return database


@pytest.fixture
def rows(database: Path) -> support.Rows:
    """Return a function that queries the database."""

    def query(sql: str, *parameters: object) -> list[support.Row]:
        return support.read(database, sql, *parameters)

    return query


@pytest.fixture
def ended_calls(database: Path) -> support.EndedCalls:
    """Return a function that gives the calls in the database that have ended, with their results by type."""

    def query(name: str | None = None) -> list[support.Row]:
        return support.calls_of(database, name)

    return query


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that answers as NVML."""
    return fake_nvml.compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def fake(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fake_nvml.FakeNvml:
    """Return what that library says in this process and in those that the test starts."""
    fake = fake_nvml.FakeNvml(library.parent, tmp_path / "nvml.txt")
    monkeypatch.setenv("FAKE_NVML", str(fake.script))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake.folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake.says()
    return fake


@pytest.fixture
def run_script(tmp_path: Path) -> support.RunScript:
    """Return a function that runs a script in a process of its own."""

    def run(text: str, *arguments: object, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return support.run_script_in(tmp_path, text, *arguments, timeout=timeout)

    return run


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves threads, child processes, open database files or complaints of asyncio behind."""
    threads, children, files = set(threading.enumerate()), child_processes(), open_database_files()
    complaints: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    try:
        yield
        gc.collect()
        # What lives on is set aside, or every test would look through all that the tests before it have left.
        gc.freeze()
        left = wait_until_empty(
            lambda: [
                *(set(threading.enumerate()) - threads),
                *(child_processes() - children),
                *(open_database_files() - files),
            ]
        )
        assert not left
        assert not complaints
        # A run that has ended withdraws where its collector was reached.
        assert address.VARIABLE not in os.environ
    finally:
        # What one test has left is not the fault of the next.
        address._own.clear()
        os.environ.pop(address.VARIABLE, None)
        logging.getLogger("asyncio").removeHandler(handler)


@pytest.fixture(autouse=True)
def _loop_is_left_empty(request: pytest.FixtureRequest, _nothing_is_left: None) -> None:
    """Watch the loop of an async test. The loop is closed before `_nothing_is_left` looks."""
    if is_async_test(request.node):
        request.getfixturevalue("_no_pending_tasks")


@pytest.fixture
async def _no_pending_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while (left := asyncio.all_tasks() - before - {asyncio.current_task()}) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert not left


def wait_until_empty(find: Callable[[], list[object]]) -> list[object]:
    """Return what is still found when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
        gc.collect()
    return found


def child_processes() -> set[int]:
    """Return the pids of our child processes, less the helper that multiprocessing keeps until the end."""
    children: set[int] = set()
    with contextlib.suppress(OSError):  # A thread may end while it is asked.
        listings = [*Path("/proc/self/task").glob("*/children")]
        if listings and not any(listing.read_text() for listing in listings):
            return children  # The usual case, at a hundredth of the cost.
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if not any("multiprocessing." in word for word in child.cmdline()):
                children.add(child.pid)
    return children


def open_database_files() -> set[tuple[str, str]]:
    """Return the descriptors that are open on database files, with their targets."""
    found: set[tuple[str, str]] = set()
    if os.path.isdir("/proc/self/fd"):
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{descriptor}")
                if DATABASE_FILE.search(target):
                    found.add((descriptor, target))
    return found
