"""Every command on every state of a database: the right output, or one line that says what to do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests import support
from tests.cli.rows import BEGAN, SECOND, process, result, run, span
from tests.legacy import old_databases as old
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric
from umlaut_async.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from tests.cli.conftest import Store, Umlaut

KILLED = """
import asyncio
from umlaut_async import Benchmark, BenchmarkSupervisor, MemoryMetric, TimeMetric

bm = Benchmark("lost.db", name="killed.py")

@BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], bm)
async def train(seconds):
    await asyncio.sleep(seconds)

async def main():
    await bm.open()
    await train(0.05)
    running = asyncio.create_task(train(60))
    await asyncio.sleep(0.05)
    await bm.flush()
    print("flushed", flush=True)
    await running

asyncio.run(main())
"""


class Command(NamedTuple):
    """How a command is called on one run; what of the outcome is not what it is for most commands."""

    arguments: str
    """With DB, RUN and OUT for what these are."""
    writes: bool = False
    """Whether it changes the database."""
    failure: int = 1
    """The exit code where there is nothing to work on."""
    empty: tuple[int, str] = (1, "this database has no runs yet")
    running: tuple[int, str] = (0, "")
    lost: tuple[int, str] = (0, "")
    old: tuple[int, str] = (0, "")
    group: tuple[int, str] = (
        1,
        "'train.py' means 2 runs: aaaa-2, aaaa-1; pass one of them, or train.py~0 for the newest",
    )
    """With two runs in the place of one."""


FINE = (0, "")
OLD = (1, "umlaut import")
COMMANDS = {
    "runs": Command("DB RUN", group=FINE),
    "runs, all": Command("DB", group=FINE, empty=(0, "There are no runs yet.")),
    "runs, JSON": Command("DB --json", group=FINE, empty=(0, '"runs": []')),
    "baseline": Command("DB RUN", writes=True, old=OLD, group=FINE),
    "compare": Command(
        "DB RUN RUN",
        failure=3,
        empty=(3, "this database has no runs yet"),
        running=(3, "'last' means no run that ended well"),
        lost=(3, "'last' means no run that ended well"),
        old=(3, "a run cannot be compared with itself"),
        group=(3, "a run cannot be compared with itself"),
    ),
    "show": Command("DB RUN"),
    "show, JSON": Command("DB RUN --json"),
    "plot": Command("DB RUN --text"),
    "plot, page": Command("DB RUN --html OUT"),
    "report": Command("DB RUN -o OUT", group=FINE),
    **{
        f"export, {form}": Command(f"DB RUN -f {form} -o OUT", group=FINE)
        for form in ("csv", "jsonl", "parquet", "chrome", "otlp", "prometheus")
    },
    "export, umlaut": Command("DB RUN -f umlaut -o OUT", old=OLD),
    "tag": Command("DB RUN x", group=FINE, writes=True, old=OLD),
    "rm": Command("DB RUN --yes", group=FINE, writes=True, running=(1, "is still writing run"), old=OLD),
    "vacuum": Command("DB", group=FINE, writes=True, empty=(0, "bytes after"), old=OLD),
}
WITHOUT_DATABASE = {"completion", "doctor", "import", "repeat", "run"}
EVERY = pytest.mark.parametrize("name", COMMANDS)


class Called(NamedTuple):
    """A command that was run."""

    result: Result
    out: Path

    def succeeded(self, words: str = "") -> None:
        """Check that all went well and something was said or written."""
        assert self.result.exit_code == 0
        for line in self.result.stderr.splitlines():
            assert line.startswith("umlaut: ")
        written = self.out.stat().st_size if self.out.exists() else 0
        assert self.result.stdout.strip() or written
        assert words in self.result.stdout

    def failed(self, code: int, words: str) -> None:
        """Check that one line says what went wrong, and nothing was written."""
        assert (self.result.exit_code, self.result.stdout) == (code, "")
        (line,) = self.result.stderr.splitlines()
        assert line.startswith("umlaut: ")
        assert re.search(words, line)
        assert not self.out.exists()

    def ended(self, code: int, words: str) -> None:
        """Check either."""
        if code:
            self.failed(code, words)
        else:
            self.succeeded(words)


@pytest.fixture
def call(umlaut: Umlaut, tmp_path: Path) -> Callable[..., Called]:
    """Return a function that runs a command on a database, and on runs of it."""

    def run(name: str, database: Path, runs: str = "last") -> Called:
        out = tmp_path / "out"
        given = {"DB": str(database), "RUN": runs, "OUT": str(out)}
        arguments = [given.get(argument, argument) for argument in COMMANDS[name].arguments.split()]
        return Called(umlaut(name.split(",")[0], *arguments), out)

    return run


def test_every_command_is_here() -> None:
    # A command that is new goes into one of these: all others' promises then hold for it too.
    assert {name.split(",")[0] for name in COMMANDS} | WITHOUT_DATABASE == set(main.commands)
    for name in WITHOUT_DATABASE:
        assert "db" not in [parameter.name for parameter in main.commands[name].params]


@EVERY
def test_an_empty_database(store: Store, call: Callable[..., Called], database: Path, name: str) -> None:
    store()
    call(name, database).ended(*COMMANDS[name].empty)


@EVERY
async def test_a_run_that_goes_on(call: Callable[..., Called], database: Path, name: str) -> None:
    async with Benchmark(database) as benchmark:

        @BenchmarkSupervisor([TimeMetric("t"), MemoryMetric("m", interval=0.01)], benchmark)
        async def train(seconds: float) -> None:
            await asyncio.sleep(seconds)

        await train(0.02)
        running = asyncio.create_task(train(60))
        await asyncio.sleep(0.02)
        await benchmark.flush()
        called = await asyncio.to_thread(call, name, database)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    called.ended(*COMMANDS[name].running)
    assert support.read(database, "select status from run") == [{"status": "ok"}]
    assert len(support.calls_of(database)) == 2


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the database of a run whose process was killed."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "script.py").write_text(KILLED)
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=folder, env=support.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "flushed\n"
        process.send_signal(signal.SIGKILL)
    return folder


@EVERY
def test_a_run_that_was_lost(call: Callable[..., Called], killed: Path, tmp_path: Path, name: str) -> None:
    database = shutil.copytree(killed, tmp_path / "copy") / "lost.db"
    called = call(name, database)
    called.ended(*COMMANDS[name].lost)
    if name.startswith(("runs", "show", "rm")):
        assert "killed.py" in called.result.stdout
        assert name == "rm" or "lost" in called.result.stdout


@EVERY
def test_an_old_database(call: Callable[..., Called], tmp_path: Path, name: str) -> None:
    path = old.make(tmp_path / "old.db", "meta name", old.rows("meta name"))
    before = path.read_bytes()
    call(name, path).ended(*COMMANDS[name].old)
    assert path.read_bytes() == before


def damaged_pages(whole: bytes) -> bytes:
    damaged = bytearray(whole)
    for page in range(4096, len(whole), 4096):
        damaged[page : page + 16] = b"\xff" * 16
    return bytes(damaged)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "pages": damaged_pages,
    "cut": lambda whole: whole[: len(whole) // 2],
    "text": lambda whole: b"this is no database" * 1000,
    "empty": lambda whole: b"",
}


@EVERY
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_file(store: Store, call: Callable[..., Called], database: Path, name: str, damage: str) -> None:
    store(*(run(f"{number:08}", description="x" * 500, started=BEGAN + number) for number in range(200)), process())
    broken = DAMAGES[damage](database.read_bytes())
    database.write_bytes(broken)
    called = call(name, database)
    called.failed(COMMANDS[name].failure, "damaged|malformed|not an SQLite database|is empty|no database")
    # Of its header, a file that was opened for writing has another counter.
    kept = 100 if COMMANDS[name].writes else 0
    assert database.read_bytes()[kept:] == broken[kept:]


@EVERY
def test_a_missing_file(call: Callable[..., Called], tmp_path: Path, name: str) -> None:
    code = COMMANDS[name].failure
    call(name, tmp_path / "none.db").failed(code, "there is no database .*none.db; check the path")
    call(name, tmp_path / "folder" / "none.db").failed(code, "there is no database")
    call(name, tmp_path).failed(code, "is a directory")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def two(store: Store, database: Path) -> Iterator[Path]:
    """Yield a database with two runs of one name."""
    first, second = span("train"), span("train", process_id=2, started=BEGAN + 200 * SECOND)
    store(
        run("aaaa-1"), process("aaaa-1"), first, result("time", "sec", 2.0, span=first.id),
        run("aaaa-2", started=BEGAN + 200 * SECOND, ended=BEGAN + 290 * SECOND), process("aaaa-2", 2), second,
        result("time", "sec", 2.0, span=second.id, process_id=2),
    )  # fmt: skip
    yield database
    assert not list(database.parent.glob("*-journal"))


@EVERY
def test_a_selector_of_several_runs(call: Callable[..., Called], two: Path, name: str) -> None:
    call(name, two, "train.py").ended(*COMMANDS[name].group)


@pytest.mark.parametrize("name", [name for name in COMMANDS if "RUN" in COMMANDS[name].arguments.split()])
def test_a_selector_that_is_ambiguous_or_means_no_run(call: Callable[..., Called], two: Path, name: str) -> None:
    code = COMMANDS[name].failure
    call(name, two, "aaaa").failed(code, r"2 runs have a uuid that begins with 'aaaa': aaaa-2, aaaa-1; pass more of it")
    call(name, two, "bbbb").failed(code, r"no run has the name 'bbbb' or a uuid that begins so; the newest are aaaa-2")
    call(name, two, "@baseline").failed(code, r"no run is the baseline '@baseline'; `umlaut baseline DB RUN` makes one")
    call(name, two, "tag:none").failed(code, r"no run has the tag 'none'; there are the tags gpu, night")
    call(name, two, "last~2").failed(code, r"the database has only 2 runs")
    assert len(support.read(two, "select uuid from run")) == 2


def test_two_runs_are_compared(two: Path, umlaut: Umlaut) -> None:
    shown = umlaut("compare", two, "aaaa-1", "aaaa-2")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "single run, no verdict" in shown.stdout
