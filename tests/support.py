"""What several test modules share: reading a database, scripts in a process of their own, comparing with a clock."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parent.parent
TRIES = 3

Row = dict[str, Any]


class Rows(Protocol):
    """The fixture `rows`."""

    def __call__(self, sql: str, *parameters: object) -> list[Row]:
        """Return the rows of a query as dictionaries."""
        ...


class Anywhere(NamedTuple):
    """The fixture `anywhere`: a database of some kind."""

    db_file: str
    """What a `Benchmark` takes: a path or a URL."""
    read: Rows
    """Return the rows of a query as dictionaries."""
    execute: Callable[[str], None]
    """Run a statement."""

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite."""
        return "://" not in self.db_file

    def refuse(self, table: str, value: int) -> None:
        """Let a table refuse rows of this value."""
        if self.is_file:
            self.execute(
                f"create trigger no before insert on {table} when new.value = {value}"
                " begin select raise(abort, 'unlucky'); end"
            )
        else:
            self.execute(f"alter table {table} add constraint unlucky check (value <> {value})")


class EndedCalls(Protocol):
    """The fixture `ended_calls`."""

    def __call__(self, name: str | None = None) -> list[Row]:
        """Return the calls that have ended, or those of one name."""
        ...


class RunScript(Protocol):
    """The fixture `run_script`."""

    def __call__(self, text: str, *arguments: object, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        ...


def read(database: Path, sql: str, *parameters: object) -> list[Row]:
    """Return the rows of a query as dictionaries, by the standard library alone; a column `data` is decoded."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [decoded(dict(row)) for row in connection.execute(sql, parameters)]


def execute(database: Path, sql: str) -> None:
    """Run a statement in a database, by the standard library alone."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(sql)
        connection.commit()


@contextmanager
def filling(database: Path) -> Iterator[Session]:
    """Yield a session in a database of ours, which is made if it is not there; in the end all is committed."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    from umlaut_async.store.location import APPLICATION_ID, SCHEMA_VERSION
    from umlaut_async.store.models import Base

    engine = create_engine(f"sqlite:///{database}")
    try:
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.execute(text(f"pragma application_id = {APPLICATION_ID}"))
            session.execute(text(f"pragma user_version = {SCHEMA_VERSION}"))
            yield session
            session.commit()
    finally:
        engine.dispose()


def decoded(row: Row) -> Row:
    """Return a row with its column `data`, if it has one, as what the JSON text says."""
    return row if row.get("data") is None else row | {"data": json.loads(row["data"])}


def calls_of(database: Path, name: str | None = None) -> list[Row]:
    """Return the calls that have ended, in the order of their start, each with its results by type under `results`.

    A result that only says that there is none is not among these.
    """
    calls = read(database, "select * from span where status != 'running' order by process_id, number")
    results: dict[int, dict[str, Row]] = {call["id"]: {} for call in calls}
    for result in read(database, "select * from result where span is not null and provenance != 'unavailable'"):
        results.setdefault(result["span"], {})[result["type"]] = result
    return [call | {"results": results[call["id"]]} for call in calls if name in (None, call["name"])]


def seconds(call: Row) -> float:
    """Return the duration of a call."""
    return int(call["duration"]) / 1e9


def entries(call: Row, measure_type: str = "throughput") -> float:
    """Return the entries of a call, worked out from its throughput or its latency."""
    value = float(call["results"][measure_type]["value"])
    return round(value * seconds(call) if measure_type == "throughput" else seconds(call) / value, 3)


def run_script_in(folder: Path, text: str, *arguments: object, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a script with this interpreter, in a folder, to its end."""
    script = folder / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def environment() -> dict[str, str]:
    """Return the environment of a child process in which this package can be imported from any folder."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    # From 3.12 on Python warns of each fork of a process that has threads, which one has that records a run.
    return os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}


def check_message(error: BaseException) -> None:
    """Check that a message is one sentence for people."""
    message = str(error)
    assert "\n" not in message
    assert len(message.split()) >= 4


def run_elsewhere(work: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a coroutine function on a loop in a thread of its own: the loop of a test is not to be touched."""
    for error in run_in_thread(lambda: asyncio.run(work())):
        raise error


def run_in_thread(work: Callable[[], None]) -> list[BaseException]:
    """Run a function in a thread of its own; return what it raised, if it did."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "no end within 30 s"
    return errors


def context() -> dict[contextvars.ContextVar[Any], Any]:
    """Return the context variables that are set here, and their values."""
    return dict(contextvars.copy_context().items())


def best_of_three(tolerance: float, measure: Callable[[], float]) -> None:
    """Fail unless one of three tries is off by no more than the tolerance; what `measure` asserts holds every time."""
    errors: list[float] = []
    while len(errors) < TRIES:
        errors.append(measure())
        if errors[-1] <= tolerance:
            return
    raise AssertionError(f"off by {errors}, allowed is {tolerance}")


async def best_of_three_awaited(tolerance: float, measure: Callable[[], Awaitable[float]]) -> None:
    """Do what `best_of_three` does for a coroutine function."""
    errors: list[float] = []
    while len(errors) < TRIES:
        errors.append(await measure())
        if errors[-1] <= tolerance:
            return
    raise AssertionError(f"off by {errors}, allowed is {tolerance}")


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds, and fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)
