"""Programs that take part in the run of `umlaut run`: what the run is called, and what their calls lie in."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands.conftest import UMLAUT
from tests.support import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Runner
    from tests.support import Anywhere, Rows

PROGRAM = """
import asyncio, json, os, subprocess, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(os.environ.get("PLACE", "runs.db"), **json.loads(sys.argv[1]))
supervise = BenchmarkSupervisor([TimeMetric("time")], bm)

@supervise
def inner():
    pass

@supervise
def outer():
    inner()

outer()
for more in sys.argv[2:]:
    subprocess.run(more, shell=True, check=True)
asyncio.run(bm.close())
"""
PYTHON = shlex.quote(sys.executable)


@pytest.fixture
def programs(database: Path) -> list[str]:
    """Return two scripts that take what a benchmark is given as JSON, and then commands of the shell."""
    found = []
    for name in ("first.py", "second.py"):
        (database.parent / name).write_text(PROGRAM)
        found.append(name)
    return found


def calling(program: str, *more: str, **given: Any) -> str:
    """Return the command of a shell that runs a program with a benchmark which is given this."""
    return f"{PYTHON} {program} {shlex.quote(json.dumps(given))} {shlex.join(more)}"


def described(rows: Rows) -> list[tuple[str, str, list[str]]]:
    """Return what the runs are called."""
    found = rows("select name, description, tags from run order by started")
    return [(run["name"], run["description"], json.loads(run["tags"])) for run in found]


FULL: dict[str, Any] = {"name": "mine", "description": "by the program", "tags": ["of the program", "of both"]}
OPTIONS = ["--name", "given", "--description", "by the option", "--tag", "of both", "--tag", "of the option"]


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ([], FULL, ("mine", "by the program", ["of the program", "of both"])),
        (OPTIONS, FULL, ("given", "by the option", ["of both", "of the option", "of the program"])),
        (["--tag", "a"], {}, ("first.py", "", ["a"])),
        (["--name", "given"], {"description": "by the program"}, ("given", "by the program", [])),
        (["--description", "by the option"], {"name": "mine"}, ("mine", "by the option", [])),
        (["--name", ""], {"name": "mine"}, ("", "", [])),
    ],
    ids=["nothing", "all", "default name", "name", "description", "empty name"],
)
def test_what_was_left_out_is_as_the_program_says(
    umlaut: Runner,
    database: Path,
    rows: Rows,
    programs: list[str],
    options: list[str],
    given: dict[str, Any],
    expected: tuple[str, str, list[str]],
) -> None:
    ended = umlaut("run", "--db", database, *options, "--", "sh", "-c", calling(programs[0], **given))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert described(rows) == [expected]
    # What the run is not called is in an event.
    other = [given[word] for word, held in zip(("name", "description"), expected, strict=False)
             if given.get(word, held) != held]  # fmt: skip
    events = rows("select kind, message, data from event")
    assert [event["kind"] for event in events] == ["program"] * bool(other)
    for event in events:
        assert all(repr(word) in event["message"] for word in other)
        assert (event["data"]["name"], event["data"]["description"]) == (given["name"], given.get("description", ""))


def test_of_several_programs_the_first_that_was_given_a_name(
    umlaut: Runner, database: Path, rows: Rows, programs: list[str]
) -> None:
    unnamed = calling(programs[0], description="first", tags=["one"])
    named = calling(programs[1], name="second", description="another", tags=["two", "one"])
    again = calling(programs[1], name="third", tags=["three"])
    command = f"{unnamed} && {named} && {again} && {again}"
    assert umlaut("run", "--db", database, "--", "sh", "-c", command).returncode == 0
    assert described(rows) == [("second", "first", ["one", "two", "three"])]
    told = [
        (event["data"]["name"], event["data"]["description"]) for event in rows("select data from event order by t")
    ]
    assert told == [("second", "another"), ("third", "")]


def parents(rows: Rows) -> dict[str, set[str | None]]:
    """Return of each stage in which others its calls lie, commands by their first word."""
    query = "select child.name, parent.name above, child.kind, parent.kind kind_above"
    query += " from span child left join span parent on parent.id = child.parent"
    found: dict[str, set[str | None]] = {}
    for span in rows(query):
        name = "command" if span["kind"] == "command" else span["name"]
        found.setdefault(name, set()).add("command" if span["kind_above"] == "command" else span["above"])
    return found


FORKS = """
import asyncio, concurrent.futures, multiprocessing, os, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark("runs.db", name="mine")
supervise = BenchmarkSupervisor([TimeMetric("time")], bm)

@supervise
def within(_):
    pass

@supervise
def alone(_=None):
    pass

def child(work):
    if (pid := os.fork()) == 0:
        work(None)
        asyncio.run(bm.close())
        os._exit(0)
    os.waitpid(pid, 0)

def detached(_):
    # A daemon: its parent is over before it begins.
    if os.fork() == 0:
        while os.getppid() != 1 and time.time() < began + 5:
            time.sleep(0.01)
        alone()
        asyncio.run(bm.close())
        os._exit(0)
    os._exit(0)

@supervise
def outer():
    child(within)

if __name__ == "__main__":
    began = time.time()
    outer()
    child(alone)
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(alone, [1]))
    child(detached)
    time.sleep(0.5)
    asyncio.run(bm.close())
"""


def test_calls_of_all_processes_of_a_program_lie_in_the_command(umlaut: Runner, database: Path, rows: Rows) -> None:
    (database.parent / "forks.py").write_text(FORKS)
    ended = umlaut("run", "--db", database, "--", sys.executable, "forks.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert parents(rows) == {"command": {None}, "outer": {"command"}, "within": {"outer"}, "alone": {"command"}}
    [count] = rows("select count(*) from span where name = 'alone'")
    assert list(count.values()) == [3]
    assert described(rows) == [("mine", "", [])]
    assert rows("select * from event") == []


def test_a_command_in_a_command(umlaut: Runner, database: Path, rows: Rows, programs: list[str]) -> None:
    inner = shlex.join([*UMLAUT, "run", "--db", str(database), "--tag", "inside", "--"])
    program = calling(programs[0], name="mine")
    command = f"{inner} sh -c {shlex.quote(program)}; {calling(programs[1])}"
    ended = umlaut("run", "--db", database, "--", "sh", "-c", command)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert described(rows) == [("mine", "", ["inside"])]
    spans = rows(
        "select child.id, child.parent, child.name, child.kind, process.pid from span child"
        " join process on process.id = process_id order by child.started"
    )
    outermost, innermost = (span for span in spans if span["kind"] == "command")
    assert (outermost["parent"], innermost["parent"]) == (None, outermost["id"])
    assert [span["parent"] for span in spans if span["name"] == "outer"] == [innermost["id"], outermost["id"]]


def test_each_run_of_a_repetition(umlaut: Runner, database: Path, rows: Rows, programs: list[str]) -> None:
    ended = umlaut("repeat", "-n", "2", "--db", database, "--", "sh", "-c", calling(programs[0], **FULL))
    assert ended.returncode == 0
    tag = ended.stderr.split()[-1]
    assert described(rows) == [("mine", "by the program", [tag, "of the program", "of both"])] * 2
    assert parents(rows)["outer"] == {"command"}


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_the_run_of_a_program_stays_its_own(plain: Runner, rows: Rows, programs: list[str], collector: str) -> None:
    named = calling(programs[1], name="other", description="other", tags=["b"])
    unnamed = calling(programs[1], tags=["c"])
    ended = plain("sh", "-c", calling(programs[0], named, unnamed, tags=["a"], collector=collector))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert described(rows) == [("first.py", "", ["a", "b", "c"])]
    assert [event["data"]["name"] for event in rows("select data from event")] == ["other"]
    assert parents(rows) == {"outer": {None}, "inner": {"outer"}}


def test_tags_that_the_user_gives_and_takes_meanwhile_are_kept(
    umlaut: Runner, database: Path, rows: Rows, programs: list[str]
) -> None:
    change = shlex.join([*UMLAUT, "tag", str(database), "last", "late", "--remove", "early"])
    program = calling(programs[0], tags=["mine"])
    ended = umlaut("run", "--db", database, "--tag", "early", "--", "sh", "-c", f"{change} >/dev/null && {program}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert described(rows) == [("first.py", "", ["late", "mine"])]


def test_in_a_database_of_any_kind(umlaut: Runner, anywhere: Anywhere, programs: list[str]) -> None:
    command = calling(programs[0], **FULL)
    place = environment() | {"PLACE": anywhere.db_file}
    ended = umlaut("run", "--db", anywhere.db_file, "--tag", "first", "--", "sh", "-c", command, env=place)
    assert (ended.returncode, ended.stderr) == (0, "")
    [run] = anywhere.read("select name, description, tags from run")
    tags = run["tags"] if isinstance(run["tags"], list) else json.loads(run["tags"])
    assert (run["name"], run["description"], tags) == ("mine", "by the program", ["first", *FULL["tags"]])
