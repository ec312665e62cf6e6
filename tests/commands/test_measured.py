"""What `umlaut run` stores of a command: its numbers, against what the kernel and the command itself say of it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import support
from tests.commands.conftest import UMLAUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands.conftest import Runner
    from tests.support import EndedCalls, Row, Rows

pytestmark = pytest.mark.alone

WITHIN_CPU = 0.02
WITHIN_MEMORY = 0.05

BURNER = """
import os, resource, sys, time
def burn(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        sum(range(1000))
for _ in range(2):
    if os.fork() == 0:
        burn(0.3)
        os._exit(0)
burn(0.4)
for _ in range(2):
    os.wait()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(each.ru_utime + each.ru_stime for each in used))
"""
"""Two children and itself; says how much CPU time they have used."""

HOLDER = """
import time
time.sleep({before})
held = bytearray({size})
for place in range(0, len(held), 4096):
    held[place] = 1
time.sleep({seconds})
print(*(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""Says what its highest memory is. (The resource usage that it is told contains that of who started it.)"""

FAMILY = """
import os, sys, time
children = []
for _ in range(3):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        held = bytearray(50 << 20)
        held[::4096] = b"x" * len(held[::4096])
        os.write(told, b"x")
        time.sleep(100)
    os.read(ready, 1)
    children.append(child)
time.sleep(0.6)
print(sum(
    int(line.split()[1])
    for pid in [os.getpid(), *children]
    for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:")
) / 1024)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""

JOINING = """
import sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
bm = Benchmark(sys.argv[1])
@BenchmarkSupervisor([TimeMetric("time")], bm)
def inside():
    pass
inside()
"""


def the_command(ended_calls: EndedCalls) -> Row:
    """Return the newest call of a command."""
    return [call for call in ended_calls() if call["kind"] == "command"][-1]


def test_cpu_time_of_all_its_processes(run: Runner, ended_calls: EndedCalls) -> None:
    def error() -> float:
        done = run(sys.executable, "-c", BURNER)
        assert done.returncode == 0, done.stderr
        used = float(done.stdout)
        call = the_command(ended_calls)
        result = call["results"]["cpu"]
        assert result["value"] == pytest.approx(100 * result["data"]["seconds"] / support.seconds(call))
        assert result["data"]["user"] + result["data"]["system"] == pytest.approx(result["data"]["seconds"])
        assert result["provenance"] == "measured"
        return abs(float(result["data"]["seconds"]) / used - 1)

    support.best_of_three(WITHIN_CPU, error)


@pytest.mark.parametrize(("before", "megabytes", "seconds"), [(0, 150, 0), (1.2, 30, 0.1), (0, 0, 0.3)])
def test_peak_memory(run: Runner, ended_calls: EndedCalls, before: float, megabytes: int, seconds: float) -> None:
    """A large program may be over between two samples; one that is smaller than this package must be seen meanwhile."""

    def error() -> float:
        done = run(sys.executable, "-c", HOLDER.format(before=before, size=megabytes << 20, seconds=seconds))
        assert done.returncode == 0, done.stderr
        return abs(float(the_command(ended_calls)["results"]["memory"]["value"]) / float(done.stdout) - 1)

    support.best_of_three(WITHIN_MEMORY, error)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="this kernel has no PSS")
def test_peak_memory_of_several_processes(umlaut: Runner, database: Path, ended_calls: EndedCalls) -> None:
    def error() -> float:
        done = umlaut("run", "--db", database, "--interval", 0.05, "--", sys.executable, "-c", FAMILY)
        assert done.returncode == 0, done.stderr
        result = the_command(ended_calls)["results"]["memory"]
        assert result["data"]["max"] == result["value"] >= result["data"]["mean"]
        return abs(float(result["value"]) / float(done.stdout) - 1)

    support.best_of_three(WITHIN_MEMORY, error)


def test_a_command_that_is_over_at_once(run: Runner, ended_calls: EndedCalls, rows: Rows) -> None:
    assert run("true").returncode == 0
    results = the_command(ended_calls)["results"]
    assert results["time"]["value"] > 0
    assert 0 < results["cpu"]["data"]["seconds"] < 1
    assert {results[name]["provenance"] for name in ("time", "cpu", "io")} == {"measured"}
    # Nobody saw its memory, so there is no number, and an event that says why.
    if "memory" not in results:
        (event,) = rows("select message from event where kind = 'unreadable'")
        assert "the command was over before it could be read" in event["message"]


def test_input_and_output(run: Runner, tmp_path: Path, ended_calls: EndedCalls) -> None:
    size = 3_000_000
    write = f"import os; os.write(os.open('file', os.O_CREAT | os.O_WRONLY), bytes({size}))"
    assert run("sh", "-c", '"$0" -c "$1"; cat file > /dev/null', sys.executable, write).returncode == 0
    data = the_command(ended_calls)["results"]["io"]["data"]
    # The second program writes as much to nowhere.
    assert 2 * size <= data["wchar"] < 2.5 * size
    assert size <= data["rchar"]


def test_samples_and_what_a_run_says_of_itself(umlaut: Runner, database: Path, rows: Rows) -> None:
    done = umlaut(
        "run", "--db", database, "--interval", "0.05", "--name", "sleeper", "--description", "at rest",
        "--tag", "one", "--tag", "two", "--", "sleep", "0.6",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (stored,) = rows("select name, description, tags from run")
    assert (stored["name"], stored["description"], json.loads(stored["tags"])) == ("sleeper", "at rest", ["one", "two"])
    series = {each["type"]: each for each in rows("select id, type, interval from series")}
    assert {"cpu", "memory", "io"} <= series.keys()
    for each in ("cpu", "memory", "io"):
        assert series[each]["interval"] == 50_000_000
        assert len(rows("select t from sample where series_id = ?", series[each]["id"])) >= 6


def test_the_name_is_that_of_the_program(run: Runner, rows: Rows) -> None:
    run("/bin/echo", "a b", "c")
    assert rows("select run.name as run, span.name as span from run, span") == [
        {"run": "echo", "span": "/bin/echo 'a b' c"}
    ]


@pytest.mark.parametrize(
    ("options", "types"),
    [
        (["-t"], {"time"}),
        (["-c", "-m"], {"cpu", "memory"}),
        (["--io", "-t"], {"io", "time"}),
        (["-tc"], {"time", "cpu"}),
    ],
)
def test_only_what_was_asked_for(
    umlaut: Runner, database: Path, rows: Rows, options: list[str], types: set[str]
) -> None:
    done = umlaut("run", "--db", database, *options, "--", "sleep", "0.1")
    assert done.returncode == 0
    assert {each["type"] for each in rows("select distinct type from result")} == types
    assert {each["type"] for each in rows("select type from series")} == types - {"time"}


@pytest.mark.skipif(
    os.path.exists("/sys/class/powercap/intel-rapl") or os.path.exists("/dev/nvidiactl"),
    reason="this machine has sensors",
)
def test_sensors_that_are_not_there(umlaut: Runner, database: Path, rows: Rows) -> None:
    """Without options nobody asked for them; who asks is told by the run, and not amid what the command writes."""
    assert umlaut("run", "--db", database, "--", "sleep", "0.1").returncode == 0
    assert {each["type"] for each in rows("select type from series")} == {"cpu", "memory", "io"}
    assert rows("select * from event") == []
    done = umlaut("run", "--db", database, "-e", "-p", "-g", "-gm", "-gp", "--", "sleep", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    events = rows("select kind, data from event")
    assert {event["kind"] for event in events} == {"unavailable"}
    assert {event["data"]["type"] for event in events} == {"energy", "power", "gpu", "gpumemory", "gpupower"}


def test_a_program_with_this_package_joins_the_run(run: Runner, database: Path, tmp_path: Path, rows: Rows) -> None:
    done = run(sys.executable, "-c", JOINING, database)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows("select * from run")) == 1
    spans = rows("select span.name, process.pid, process.ended from span join process on process.id = process_id")
    assert {span["name"].partition(" ")[0] for span in spans} >= {"inside"}
    assert len({span["pid"] for span in spans}) == len(spans) == 2
    assert all(span["ended"] for span in spans)
    # Another database is a run of its own, which knows in which run it began.
    assert run(sys.executable, "-c", JOINING, tmp_path / "other.db").returncode == 0
    (other,) = support.read(tmp_path / "other.db", "select environment from run")
    outer = rows("select uuid from run order by started")[-1]
    assert json.loads(other["environment"])["within"] == [outer["uuid"]]


@pytest.mark.parametrize("length", ["short", "long"])
def test_a_measured_command_within_a_measured_command(
    umlaut: Runner, run: Runner, database: Path, ended_calls: EndedCalls, rows: Rows, length: str
) -> None:
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    command = ["true"] if length == "short" else [sys.executable, "-c", busy]
    named = ["--name", "inner", "--tag", "mine"]
    inner = [*UMLAUT, "run", "--summary", "--interval", "0.02", "--db", database, *named, "--"]
    done = run(*inner, *command)
    assert (done.returncode, done.stdout) == (0, "")
    summary = done.stderr.splitlines()
    assert rows("select name, tags from run") == [{"name": "inner", "tags": '["mine"]'}]
    assert {"time", "CPU", "I/O", "exit"} <= {line.split()[0] for line in summary if line.strip()}
    assert umlaut("run", "--interval", "0.02", "--db", database, "--", *command).returncode == 0
    within, alone = (call for call in ended_calls() if call["name"] == shlex.join(command))
    assert within["status"] == alone["status"] == "ok"
    # The memory of a command that is over at once may not be known.
    for measured in ("time", "cpu", "io", *(["memory"] if length == "long" else [])):
        here, there = within["results"][measured], alone["results"][measured]
        assert here["provenance"] == there["provenance"] == "measured"
        assert (here["data"] or {}).keys() == (there["data"] or {}).keys()
    if length == "long":
        assert within["results"]["cpu"]["data"]["seconds"] == pytest.approx(
            alone["results"]["cpu"]["data"]["seconds"], abs=0.1
        )
        assert within["results"]["memory"]["data"]["n"] >= 5


def test_summary(umlaut: Runner, database: Path) -> None:
    done = umlaut("run", "--summary", "--db", database, "--", "sh", "-c", "sleep 0.2; echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    lines = {line.split()[0]: line for line in done.stderr.splitlines() if line.strip()}
    assert {"time", "CPU", "memory", "I/O", "exit"} <= lines.keys()
    assert lines["exit"].split() == ["exit", "code", "3"]
    assert "ms" in lines["time"]


def test_a_database_that_fills_up_leaves_the_command_alone(umlaut: Runner, database: Path, rows: Rows) -> None:
    assert umlaut("run", "--db", database, "--", "true").returncode == 0
    support.execute(database, "create trigger no before insert on result begin select raise(abort, 'unlucky'); end")
    done = umlaut("run", "--db", database, "--", "sh", "-c", "echo out; exit 4")
    assert (done.returncode, done.stdout) == (4, "out\n")
    assert all(line.startswith("umlaut: ") for line in done.stderr.splitlines())
    assert "unlucky" in done.stderr or "could not be stored" in done.stderr


def test_disabled(run: Runner, database: Path) -> None:
    environment: dict[str, Any] = support.environment() | {"UMLAUT_DISABLED": "1"}
    done = run("sh", "-c", "echo out; exit 3", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "")
    assert not database.exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 3", "exited with code 3."), ("kill -TERM $$", "was killed by SIGTERM."), ("true", "exited with code 0.")],
)
def test_show_says_how_the_command_ended(run: Runner, umlaut: Runner, database: Path, script: str, words: str) -> None:
    run("sh", "-c", script)
    lines = [" ".join(line.split()) for line in umlaut("show", database).stdout.splitlines()]
    command = shlex.join(["sh", "-c", script])
    assert f"{command} {words}" in lines[:3]
    told = json.loads(umlaut("show", "--json", database).stdout)["commands"]
    assert told == [{"command": command, "ending": words.removeprefix("was ").removesuffix(".")}]
