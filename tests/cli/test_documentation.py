"""What README.md and the pages of docs tell one to type is there, and runs."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import click
import pytest

from tests.cli.rows import BEGAN, SECOND, process, result, run, series, span
from tests.legacy import old_databases
from tests.support import ROOT
from umlaut_async.cli import main
from umlaut_async.store.models import Base, Sample

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

PAGES = {page.name: page.read_text("utf-8") for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
WHOLE_PROGRAMS = {"README.md", "index.md", "metrics.md", "migrating.md"}
"""The pages whose Python is run by other tests, with a look at what it does."""
RUNS_A_COMMAND = ("run", "repeat")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def typed(page: str) -> list[list[str]]:
    """Return the commands `umlaut` in the blocks of a page, word by word."""
    lines = "".join(blocks(page, "(?:sh|console|text)?")).replace("\\\n", " ").splitlines()
    commands = (line.removeprefix("$ ") for line in lines)
    return [shlex.split(command, comments=True)[1:] for command in commands if command.startswith("umlaut ")]


def named(page: str) -> list[list[str]]:
    """Return the commands `umlaut` within the sentences of a page, word by word."""
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return [shlex.split(command)[1:] for command in re.findall(r"`(umlaut\s[^`]+)`", prose)]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_is_there(page: str) -> None:
    for words in [*typed(page), *named(page)]:
        name, *arguments = words
        assert name in main.commands, words
        command = main.commands[name]
        parser = command.make_parser(click.Context(command, info_name=name))
        parser.parse_args(arguments[: arguments.index(">")] if ">" in arguments else arguments)


@pytest.fixture
def folder(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, in which is what the pages name: runs of two versions, and a file of UMLAUT."""
    rows: list[Base] = []
    for number in range(1, 13):
        uuid, began = f"{'4f1c' if number == 7 else number}-{number:04}", BEGAN + number * 100 * SECOND
        version, factor = ("main", 1.0) if number % 2 else ("pr-12", 1.4)
        memory = series("memory", "statm", unit="MiB", process_id=number)
        rows += [
            run(
                uuid,
                started=began,
                ended=began + SECOND,
                tags=[version, "night"],
                environment={"host": {"name": "one"}},
            ),
            process(uuid, number),
            memory,
            *(Sample(series_id=memory.id, t=began + at * SECOND // 10, value=200.0 + at) for at in range(10)),
        ]
        for name, took in (("train_epoch", factor), ("validate", 1 + number % 5)):
            call = span(name, process_id=number, started=began, duration=round(took * SECOND) + number)
            time = result("time", "sec", took, process_id=number, span=call.id)
            rows += [call, time, result("memory", "MiB", 200.0, process_id=number, span=call.id)]
    store(*rows)
    monkeypatch.chdir(tmp_path)
    shutil.copy("runs.db", "digits.db")
    old_databases.make(tmp_path / "old.db", old_databases.FORMS[-1], old_databases.rows(old_databases.FORMS[-1]))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if typed(page)])
@pytest.mark.usefixtures("folder")
def test_the_commands_in_blocks_end_as_they_should(page: str, umlaut: Umlaut) -> None:
    umlaut("baseline", "digits.db", "tag:main")
    for words in typed(page):
        if words[0] in RUNS_A_COMMAND:
            continue
        ended = umlaut(*(words[: words.index(">")] if ">" in words else words))
        expected = {"--fail-on": 1, "@release": 3}
        assert ended.exit_code == next((expected[word] for word in words if word in expected), 0), ended.output


def test_the_pages_with_python_are_all_run() -> None:
    assert {page for page in PAGES if blocks(page, "python")} == WHOLE_PROGRAMS | {page for page, _ in FRAGMENTS}


FRAGMENTS = [(page, code) for page in PAGES if page not in WHOLE_PROGRAMS for code in blocks(page, "python")]


@pytest.mark.parametrize(("page", "code"), FRAGMENTS, ids=[page for page, _ in FRAGMENTS])
@pytest.mark.usefixtures("folder")
def test_the_python_of_a_page_runs(umlaut: Umlaut, page: str, code: str) -> None:
    umlaut("baseline", "digits.db", "tag:main")
    assert umlaut("export", "runs.db", "-f", "parquet", "-o", "folder/").exit_code == 0
    exec(f"from umlaut_async import Benchmark\n{code}", {})


def test_the_query_that_deletes(folder: Path) -> None:
    (query,) = [block for block in blocks("scaling.md", "sql") if "DELETE" in block]
    with closing(sqlite3.connect(folder / "runs.db")) as connection:
        connection.execute(query)
