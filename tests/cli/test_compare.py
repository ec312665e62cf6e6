"""`umlaut compare`: what it prints where, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tests.cli.on_a_terminal import on_a_terminal
from tests.cli.rows import BEGAN, SECOND, process, result, run, span
from tests.support import ROOT, environment
from umlaut_async.analysis import Results
from umlaut_async.analysis.wording import COLUMNS
from umlaut_async.cli.compared import DISPENSABLE, parts
from umlaut_async.cli.tables import show_part
from umlaut_async.store.models import Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess
    from umlaut_async.store.models import Base

MACHINE = {"host": "a", "cpu": {"model": "fast", "count": 8}}
TIMES = (1.00, 1.02, 0.99, 1.01, 0.98)
HOSTILE = "<script>alert(1)</script>|`x\x1b[31m @someone"


OLDER = "all {} runs are older than all {} ones: what changed on the machine counts as a change"


def runs(
    tag: str,
    times: tuple[float, ...],
    *,
    name: str = "train",
    machine: Any = MACHINE,
    status: str = "ok",
    hours_later: int = 0,
) -> list[Base]:
    """Return runs with a tag, in turns with those of other tags, each of which has one stage that took so long."""
    made: list[Base] = []
    for number, time in enumerate(times):
        owner = 1000 * (sum(map(ord, tag)) % 1000) + number + 1
        uuid = f"{tag}-{number}"
        duration = round(time * SECOND)
        call = span(name, process_id=owner, duration=duration)
        began = BEGAN + 3600 * hours_later * SECOND + number * SECOND
        made += [
            run(uuid, tags=[tag], environment=machine, status=status, started=began, ended=began + 2 * duration),
            process(uuid, number=owner),
            call,
            result("energy", "µJ", 1e6 * time, span=call.id, process_id=owner),
        ]
    return made


def slower(times: float) -> tuple[float, ...]:
    return tuple(times * time for time in TIMES)


@pytest.fixture
def compared(store: Store, umlaut: Umlaut, database: Path) -> Any:
    """Return a function that stores two groups of runs and compares them."""

    def compare(base: list[Base], new: list[Base], *options: str) -> Any:
        store(*base, *new)
        return umlaut("compare", database, "tag:base", "tag:new", *options)

    return compare


def test_a_verdict_for_each_row(compared: Any) -> None:
    shown = compared(runs("base", TIMES), runs("new", slower(1.2)))
    assert (shown.exit_code, shown.stderr) == (0, "")
    heading, rows = shown.stdout.split("\n\n")
    assert heading.splitlines() == [
        "base: tag:base, 5 runs",
        "new:  tag:new, 5 runs",
        "all on the same machine",
        "one number for each run; Welch's t-test, on logarithms where changes are shares; 3 rows compared",
    ]
    columns, _, *lines = (re.split(r"\s{2,}", line.strip()) for line in rows.splitlines())
    assert columns == ["metric", "base", "new", "change", "95 % interval", "verdict"]
    assert [line[0] for line in lines] == ["run time", "train/time", "train/energy"]
    assert lines[1] == [
        "train/time",
        "1 s ±1.6 %",
        "1.2 s ±1.6 %",
        "+20 %",
        "[+17.3 %, +22.8 %]",
        "HIGHER (worse), p < 0.0001",
    ]


@pytest.mark.parametrize(
    ("base_later", "new_later", "turns", "said"),
    [
        (0, 2, "base first", OLDER.format("base", "new")),
        (2, 0, "new first", OLDER.format("new", "base")),
        (0, 0, "mixed", ""),
    ],
)
def test_runs_that_were_not_made_in_turns_are_warned_of(
    base_later: int, new_later: int, turns: str, said: str, compared: Any, umlaut: Umlaut, database: Path
) -> None:
    shown = compared(
        runs("base", TIMES, hours_later=base_later), runs("new", slower(1.2), hours_later=new_later), *TIME_GATE
    )
    assert shown.exit_code == 1
    assert [line for line in shown.stdout.splitlines() if "older" in line] == ([said] if said else [])
    again = ("compare", database, "tag:base", "tag:new")
    assert json.loads(umlaut(*again, "--json").stdout)["turns"] == turns
    markdown = umlaut(*again, "--markdown").stdout.splitlines()
    assert [line for line in markdown if "older" in line] == ([f"- `{said}`"] if said else [])


def test_a_side_of_one_run_has_no_turns_to_speak_of(compared: Any) -> None:
    assert "older" not in compared(runs("base", TIMES[:1]), runs("new", TIMES, hours_later=1)).stdout


@pytest.mark.parametrize("option", [(), ("--markdown",)])
@pytest.mark.parametrize(("base", "new", "advised"), [(5, 5, False), (4, 5, True), (9, 3, True)])
def test_fewer_than_five_runs_a_side_get_advice(
    base: int, new: int, advised: bool, option: tuple[str, ...], compared: Any
) -> None:
    shown = compared(runs("base", (TIMES * 2)[:base]), runs("new", TIMES[:new]), *option)
    said = "Fewer than 5 runs a side show little. Run each side at least 5 times, in turns, and give its runs a tag."
    assert (said in shown.stdout.splitlines()) is advised


def test_what_differs_comes_before_any_number(compared: Any) -> None:
    shown = compared(runs("base", TIMES), runs("new", TIMES, machine=MACHINE | {"host": "b", "argv": ["x"]}))
    lines = shown.stdout.splitlines()
    assert lines[2:5] == [
        "NOT all on the same machine: the numbers may differ for no reason of the program",
        "  host: a → b",
        "  arguments: unknown → x",
    ]
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_other_hyperparameters_are_named(compared: Any) -> None:
    sides = []
    for tag, rate in (("base", 0.1), ("new", 0.13)):
        made = runs(tag, TIMES[:2])
        search = {"hyperparameters": ["lr"], "target": "loss", "measurements": [{"lr": rate, "loss": rate}]}
        owners = [row.id for row in made if isinstance(row, Process)]
        sides.append([*made, *(result("hyperparameters", data=search, process_id=owner) for owner in owners)])
    shown = compared(*sides, "--json")
    assert json.loads(shown.stdout)["differences"] == [
        {"what": "hyperparameter lr", "base": ["0.1"], "new": ["0.13"], "machine": False}
    ]


def test_a_single_run_a_side_gets_advice_and_no_verdict(compared: Any) -> None:
    shown = compared(runs("base", (1.0,)), runs("new", (2.0,)))
    assert "+100 %" in shown.stdout
    assert "single run, no verdict" in shown.stdout
    assert "Run each side at least 5 times" in shown.stdout
    assert "HIGHER" not in shown.stdout


def test_inconclusive_says_how_many_runs_would_do(compared: Any) -> None:
    shown = compared(runs("base", (1.0, 1.1, 0.9)), runs("new", (1.0, 1.1, 0.9)))
    assert re.search(r"inconclusive: about \d+ runs a side to see 5 %", shown.stdout)


TIME_GATE = ("--fail-on", "train/time:5%")


@pytest.mark.parametrize(
    ("base", "new", "options", "code", "said"),
    [
        (TIMES, TIMES, TIME_GATE, 0, "gate: 0 failed, 0 cannot be told, 1 without a regression shown"),
        (TIMES, slower(1.2), TIME_GATE, 1, "FAIL train/time: +20 %, p < 0.0001 (--fail-on 'train/time:5%')"),
        (TIMES, slower(0.8), TIME_GATE, 0, "gate: 0 failed"),
        (TIMES, slower(1.2), ("--fail-on", "time:5%,min=1h"), 0, "gate: 0 failed, 0 cannot be told, 2 without"),
        (TIMES, slower(1.2), ("--fail-on", "time:50%", "--fail-on", "energy:5%"), 1, "FAIL train/energy"),
        (TIMES, slower(1.08), ("--fail-on", "time:7%", "--strict"), 0, "gate: 0 failed"),
        (TIMES[:1], TIMES[:1], TIME_GATE, 3, "CANNOT TELL train/time: a single run"),
        (TIMES[:3], TIMES[:3], TIME_GATE, 3, "CANNOT TELL train/time: 3 base runs; at least 5 on each side"),
        (TIMES[:3], TIMES[:3], (*TIME_GATE, "--min-runs", "3"), 0, "gate: 0 failed"),
        (TIMES[:3], TIMES[:3], (*TIME_GATE, "--allow-inconclusive"), 0, "1 cannot be told"),
        (TIMES[:3], slower(1.3)[:3], (*TIME_GATE, "--allow-inconclusive"), 1, "FAIL train/time"),
        (TIMES, TIMES, ("--fail-on", "tiem:5%"), 3, "CANNOT TELL tiem: neither side has such a metric"),
        (TIMES, TIMES, ("--fail-on", "tiem:5%", "--allow-inconclusive"), 3, "CANNOT TELL tiem"),
        (TIMES, slower(1.2), ("--fail-on", "tiem:5%", *TIME_GATE), 1, "CANNOT TELL tiem"),
        (TIMES, TIMES, ("--fail-on", "time"), 2, "'time' is no rule"),
        (TIMES, TIMES, ("--fail-on", "time:5%,min=1MiB"), 2, "does not fit run time, whose unit is sec"),
        (TIMES, TIMES, ("--margin", "wide"), 2, "'wide' is no share"),
        (TIMES, TIMES, ("--json", "--markdown"), 2, "exclude each other"),
        (TIMES, TIMES, ("-m", "memory"), 3, "no run has a metric memory"),
        (TIMES, slower(1.2), ("-m", "energy", *TIME_GATE), 2, "-m leaves out what --fail-on 'train/time:5%' is about"),
        (TIMES, slower(1.2), ("-m", "energy", "-m", "run time", *TIME_GATE), 2, "-m leaves out"),
        (TIMES, slower(1.2), ("-m", "energy", "-m", "time", *TIME_GATE), 1, "FAIL train/time"),
        (TIMES, slower(1.2), ("-m", "energy", "--fail-on", "tiem:5%"), 3, "CANNOT TELL tiem: neither side has such"),
    ],
)  # fmt: skip
def test_exit_codes(
    base: tuple[float, ...], new: tuple[float, ...], options: tuple[str, ...], code: int, said: str, compared: Any
) -> None:
    shown = compared(runs("base", base), runs("new", new), *options)
    assert (shown.exit_code, shown.stderr) == (code, shown.stderr)
    assert said in shown.stderr
    assert "Traceback" not in shown.output


@pytest.mark.parametrize("machine", [MACHINE | {"host": "b"}, {}, []])
def test_runs_of_other_machines_are_not_judged(machine: Any, compared: Any) -> None:
    shown = compared(runs("base", TIMES), runs("new", slower(1.2), machine=machine), *TIME_GATE, "--allow-inconclusive")
    assert shown.exit_code == 3
    assert "CANNOT TELL: the runs" in shown.stderr
    assert "--allow-different-host" in shown.stderr


def test_runs_of_other_machines_are_judged_if_one_asks_for_it(compared: Any) -> None:
    new = runs("new", slower(1.2), machine=MACHINE | {"host": "b"})
    assert compared(runs("base", TIMES), new, *TIME_GATE, "--allow-different-host").exit_code == 1


@pytest.mark.parametrize("status", ["error", "lost", "running"])
def test_runs_that_failed_are_left_out_and_do_not_pass(
    status: str, compared: Any, umlaut: Umlaut, database: Path
) -> None:
    failed = runs("newly-failed", (0.1,), status=status)
    failed[0].tags = ["new"]  # type: ignore[attr-defined]
    if status == "running":
        # Whoever reads must find its process alive.
        failed[1].host, failed[1].pid, failed[1].pid_started = socket.gethostname(), os.getpid(), None  # type: ignore[attr-defined]
    shown = compared(runs("base", TIMES), [*runs("new", TIMES), *failed], *TIME_GATE)
    assert f"new:  tag:new, 5 runs; left out: newly-fa ({status})" in shown.stdout
    assert (shown.exit_code, "CANNOT TELL: one run did not end well" in shown.stderr) == (3, True)
    assert umlaut("compare", database, "tag:base", "tag:new", *TIME_GATE, "--allow-inconclusive").exit_code == 0
    none = umlaut("compare", database, "tag:base", "newly-failed", *TIME_GATE, "--allow-inconclusive")
    assert (none.exit_code, none.stdout) == (3, "")
    assert none.stderr == f"umlaut: 'newly-failed' means no run that ended well: newly-fa ({status})\n"


@pytest.mark.parametrize("base", ["@baseline", "tag:nothing", "zzz", "last~99", ""])
@pytest.mark.parametrize("options", [(), TIME_GATE, (*TIME_GATE, "--allow-inconclusive", "--allow-different-host")])
def test_a_missing_baseline_is_never_green(
    base: str, options: tuple[str, ...], store: Store, umlaut: Umlaut, database: Path
) -> None:
    store(*runs("new", TIMES))
    shown = umlaut("compare", database, base, "tag:new", *options)
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert re.fullmatch("umlaut: .+\n", shown.stderr)


def test_a_run_is_not_compared_with_itself(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*runs("new", TIMES))
    shown = umlaut("compare", database, "tag:new", "last")
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert "a run cannot be compared with itself" in shown.stderr


def test_files_that_hold_nothing_to_compare(umlaut: Umlaut, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.db"
    corrupt.write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    for path in (tmp_path / "missing.db", tmp_path, corrupt):
        shown = umlaut("compare", path, "last~1", "last", *TIME_GATE)
        assert (shown.exit_code, shown.stdout) == (3, "")
        assert re.fullmatch("umlaut: .+\n", shown.stderr)


def test_json(compared: Any) -> None:
    shown = compared(runs("base", TIMES), runs("new", slower(1.2)), "--json", *TIME_GATE)
    document = json.loads(shown.stdout)
    assert document["base"] == {
        "selector": "tag:base", "runs": [f"base-{number}" for number in (4, 3, 2, 1, 0)], "left_out": [],
    }  # fmt: skip
    assert (document["schema"], document["machine"], document["differences"]) == (1, "same", [])
    assert (document["tested"], document["margin"]) == (3, 0.05)
    (row,) = [row for row in document["rows"] if row["label"] == "train/time"]
    assert row.keys() >= {"p", "p_adjusted", "low", "high", "runs_needed", "unit", "relative"}
    assert (row["stage"], row["type"], row["verdict"], row["better"]) == ("train", "time", "higher", False)
    assert row["change"] == pytest.approx(0.2)
    assert row["base"]["values"] == [0.98, 1.01, 0.99, 1.02, 1.0]
    assert row["base"]["median"] == 1.0
    assert document["gate"] == {
        "rules": [{"rule": "train/time:5%", "row": "train/time", "outcome": "failed", "reason": ""}],
        "doubts": [],
        "exit_code": 1,
    }
    assert (shown.exit_code, "FAIL" in shown.stderr) == (1, True)


def test_hostile_names_are_inert(compared: Any) -> None:
    machine = MACHINE | {"argv": [HOSTILE]}
    shown = compared(
        runs("base", TIMES, name=HOSTILE),
        runs("new", slower(1.2), name=HOSTILE, machine=machine),
        "--fail-on",
        "time:5%",
    )
    assert "\x1b" not in shown.output
    assert shown.exit_code == 1


def test_markdown(compared: Any) -> None:
    machine = MACHINE | {"argv": [HOSTILE]}
    base, new = runs("base", TIMES, name=HOSTILE), runs("new", slower(1.2), name=HOSTILE, machine=machine)
    shown = compared(base, new, "--markdown", "--fail-on", "time:5%")
    table = [line for line in shown.stdout.splitlines() if line.startswith("|")]
    assert table[0] == "| metric | base | new | change | 95 % interval | verdict |"
    assert table[1] == "|---|---:|---:|---:|---:|---|"
    assert {len(line.split("|")) for line in table} == {8}
    outside_of_code = re.sub("`[^`]*`", "", shown.stdout)
    assert re.search("script|someone|x1b", outside_of_code) is None
    assert "<script" not in shown.stdout
    assert "- `FAIL run time: +20 %" in shown.stdout


def test_all_views_have_the_same_rows(compared: Any, umlaut: Umlaut, database: Path) -> None:
    named = ["run time", "train/time", "train/energy"]
    document = json.loads(compared(runs("base", TIMES), runs("new", TIMES), "--json").stdout)
    assert [row["label"] for row in document["rows"]] == named
    found = Results(database).compare("tag:base", "tag:new")
    assert "train/calls" in [row.label for row in found.rows]  # which says nothing where all runs have as many
    assert list(found.to_table()["metric"]) == named
    table = umlaut("compare", database, "tag:base", "tag:new").stdout.split("\n\n")[1].splitlines()[2:]
    assert [re.split(r"\s{2,}", line)[0] for line in table] == named
    page = Hypertext(found)
    assert [cells[0] for cells in page.rows[1:]] == named


class Hypertext(HTMLParser):
    """What a notebook shows of something: its words, and the cells of its table."""

    def __init__(self, shown: Any) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words = ""
        self.elements: set[str] = set()
        self.feed(shown._repr_html_())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_notebook_shows_a_comparison_as_a_table(compared: Any, database: Path) -> None:
    compared(
        runs("base", TIMES[:4], name=HOSTILE),
        runs("new", slower(1.2), name=HOSTILE, machine=MACHINE | {"host": HOSTILE}, hours_later=1),
    )
    found = Results(database).compare("tag:base", "tag:new")
    assert repr(found) == "<Comparison of 'tag:base' (4 runs) with 'tag:new' (5 runs): 3 rows>"
    page = Hypertext(found)
    assert page.elements <= {"div", "p", "br", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.rows[0] == ["metric", "base", "new", "change", "95 % interval", "verdict"]
    assert page.rows[2][0].startswith("<script>alert(1)</script>|`x")
    assert re.fullmatch(r"HIGHER \(worse\), p .*", page.rows[2][-1])
    for said in ("tag:new, 5 runs", "NOT all on the same machine", OLDER.format("base", "new"), "Fewer than 5 runs"):
        assert said in page.words


def test_in_a_process_of_its_own(store: Store, umlaut_process: UmlautProcess, database: Path) -> None:
    store(*runs("base", TIMES), *runs("new", slower(1.2)))
    shown = umlaut_process("compare", database, "tag:base", "tag:new", *TIME_GATE)
    assert (shown.returncode, shown.stderr.splitlines()[0].split(":")[0]) == (1, "FAIL train/time")
    assert "\x1b" not in shown.stdout


def test_other_commands_do_not_load_statistics() -> None:
    script = "import sys, umlaut_async.cli, umlaut_async.analysis; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"scipy", "numpy"} & set(loaded.stdout.split())


def test_without_scipy_the_extra_is_named(store: Store, database: Path) -> None:
    store(*runs("base", TIMES), *runs("new", TIMES))
    script = (
        "import sys; sys.modules['scipy'] = None\n"
        f"from umlaut_async.cli import main; main(['compare', {str(database)!r}, 'tag:base', 'tag:new'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stdout) == (3, "")
    assert shown.stderr == "umlaut: scipy is not installed; install it with: pip install 'umlaut_async[stats]'\n"


def test_a_baseline_is_made_replaced_and_compared_with(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*runs("base", TIMES), *runs("new", slower(1.2)))
    made = umlaut("baseline", database, "tag:base")
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout.splitlines() == [f"base-{number} train.py @baseline" for number in (4, 3, 2, 1, 0)]
    assert umlaut("compare", database, "@baseline", "tag:new", *TIME_GATE).exit_code == 1
    assert umlaut("baseline", database, "new-0,new-1").exit_code == 0
    shown = json.loads(umlaut("compare", database, "@baseline", "tag:base", "--json").stdout)
    assert shown["base"]["runs"] == ["new-1", "new-0"]
    assert umlaut("baseline", database, "new-2", "--add").exit_code == 0
    shown = json.loads(umlaut("compare", database, "@baseline", "tag:base", "--json").stdout)
    assert shown["base"]["runs"] == ["new-2", "new-1", "new-0"]


def test_baselines_have_names(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*runs("base", TIMES), *runs("new", TIMES))
    assert umlaut("baseline", database, "tag:base", "--name", "@main").stdout.splitlines()[0] == "base-4 train.py @main"
    assert umlaut("baseline", database, "tag:new").exit_code == 0
    assert umlaut("compare", database, "@main", "@baseline").exit_code == 0
    for name in ("", "@", "a,b", "a~1"):
        refused = umlaut("baseline", database, "last", "--name", name)
        assert (refused.exit_code, refused.stdout) == (2, "")
    assert umlaut("baseline", database, "tag:none").exit_code == 1


def test_a_baseline_that_did_not_end_well_is_warned_of(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*runs("base", TIMES[:1], status="error"))
    made = umlaut("baseline", database, "last")
    assert (made.exit_code, made.stdout) == (0, "base-0 train.py @baseline\n")
    assert made.stderr == "umlaut: it did not end well, and will be left out of comparisons\n"
    store(*runs("more", TIMES[:1]), *runs("other", TIMES[:2], status="error"))
    for selector, said in (("more-0,base-0", "one"), ("tag:other", "2")):
        made = umlaut("baseline", database, selector)
        assert made.stderr == f"umlaut: {said} of them did not end well, and will be left out of comparisons\n"


def test_the_database_of_the_environment(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(*runs("base", TIMES), *runs("new", slower(1.2)))
    assert umlaut("baseline", "tag:base", UMLAUT_DB=str(database)).exit_code == 0
    shown = umlaut("compare", "@baseline", "tag:new", *TIME_GATE, UMLAUT_DB=str(database))
    assert (shown.exit_code, "train/time" in shown.stdout) == (1, True)


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(76, "base, new, 95 % interval"), (80, "base, 95 % interval"), (110, "95 % interval"), (140, "")],
)
def test_nothing_is_cut_or_folded_in_a_narrow_terminal(width: int, left_out: str, store: Store, database: Path) -> None:
    store(
        *runs("base", TIMES, name="a_stage_with_a_long_name"),
        *runs("new", slower(1.2), name="a_stage_with_a_long_name"),
    )
    out = Console(width=width, file=io.StringIO())
    for part in parts(Results(database).compare("tag:base", "tag:new")):
        show_part(out, part, DISPENSABLE)
    assert isinstance(out.file, io.StringIO)
    shown = out.file.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    (columns,) = [line for line in shown.splitlines() if line.startswith("metric")]
    for column in COLUMNS:
        assert (column in columns) is (column not in left_out), column
    assert left_out in shown.partition("(a wider terminal shows also: ")[2]
    for name in ("run time", "a_stage_with_a_long_name/time", "a_stage_with_a_long_name/energy"):
        (row,) = [line for line in shown.splitlines() if line.startswith(name)]
        assert re.search(r"\+20 % .*HIGHER \(worse\)", row)


def test_the_command_fits_its_table_to_the_terminal(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    store(*runs("base", TIMES, name="a_stage_with_a_long_name"), *runs("new", TIMES, name="a_stage_with_a_long_name"))
    shown, ended = on_a_terminal(["compare", str(database), "tag:base", "tag:new"])
    assert ended == 0
    assert "(a wider terminal shows also: base, 95 % interval)" in shown
    assert shown.count("a_stage_with_a_long_name/") == 2
