"""How long a person waits for a command: its start, and its answer where there is much to read."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from tests import support
from tests.benchmarks.harness import ROUNDS, Figures, Row, timed
from umlaut_async.store.models import Process, Result, Run, Span, key

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND
RUNS = 1_000
CALLS = 100_000
ALLOWED = 1.0
# About as long as what is stored of a real machine.
ENVIRONMENT = {"packages": {f"package-{number}": "1.0.0" for number in range(100)}}


def fill(path: Path, runs: int, calls: int) -> None:
    """Write a database of so many runs, the last of which has so many calls, each with two results."""
    with support.filling(path) as session:
        session.execute(insert(Run), [run(number) for number in range(runs)])
        session.execute(
            insert(Process),
            [{"id": 1, "run_uuid": run(runs - 1)["uuid"], "host": "", "pid": 1, "started": 0, "last_seen": 0}],
        )
        if calls:
            session.execute(insert(Span), [call(number, calls) for number in range(calls)])
            session.execute(insert(Result), [value for number in range(calls) for value in values(number)])


def run(number: int) -> dict[str, Any]:
    """Return the columns of a run."""
    started = BEGAN + number * 100 * SECOND
    return {
        "uuid": f"{number:08x}-run", "description": "a run", "name": "train.py", "tags": ["night", f"pr-{number}"],
        "started": started, "ended": started + 90 * SECOND, "status": "ok", "environment": ENVIRONMENT,
        "collector": {"mode": "thread", "recorded": 3, "stored": 3, "dropped": {}},
    }  # fmt: skip


def call(number: int, calls: int) -> dict[str, Any]:
    """Return the columns of a call: one of ten is of the outer stage, and holds the nine that follow."""
    outer = number - number % 10
    step = 90 * SECOND // calls
    return {
        "id": key(1, number), "process_id": 1, "number": number, "parent": None if number == outer else key(1, outer),
        "name": "train" if number == outer else "load", "kind": "coroutine", "task": "Task-1",
        "started": BEGAN + number * step, "duration": step * (10 if number == outer else 1), "producing": None,
        "status": "ok", "error": None,
    }  # fmt: skip


def values(number: int) -> list[dict[str, Any]]:
    """Return the columns of the results of a call."""
    common = {
        "process_id": 1, "span": key(1, number), "method": "load", "description": "it", "series_id": None,
        "provenance": "measured", "recorded": BEGAN,
    }  # fmt: skip
    return [
        {"id": key(1, 2 * number), "type": "time", "unit": "sec", "value": number / 1e6, "data": None, **common},
        {
            "id": key(1, 2 * number + 1), "type": "cpu", "unit": "%", "value": 50.0,
            "data": {"n": 2, "min": 1.0, "mean": 2.0, "max": 3.0, "first": 1.0, "last": 3.0}, **common,
        },
    ]  # fmt: skip


def python(*arguments: str) -> None:
    """Run this interpreter to its end."""
    environment = support.environment()
    # The peers' bytecode was written when they were installed; ours must be too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, check=True, timeout=60)


def compared(runs: int, calls: int, command: str, peer: Callable[[], float]) -> Figures:
    """Time a command on a database, and its peer."""
    figures = Figures([], [])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        fill(path, runs, calls)
        for _ in range(ROUNDS):
            figures.ours.append(timed(lambda: python("-m", "umlaut_async", command, str(path))))
            figures.peer.append(peer())
    return figures


def imports() -> float:
    """Return the seconds of the imports without which no command could answer."""
    return timed(lambda: python("-c", "import click, rich, sqlalchemy"))


def allowed() -> float:
    """Return the seconds that a person waits without thinking of something else."""
    return ALLOWED


ROWS = [
    Row("start", "umlaut runs, of three runs", "python -c 'import click, rich, sqlalchemy'",
        partial(compared, 3, 0, "runs", imports), 3.0),
    Row("runs", "umlaut runs, of 1,000 runs", "the second that is allowed",
        partial(compared, RUNS, 0, "runs", allowed), 1.0),
    Row("show", "umlaut show, of a run with 100,000 calls", "the second that is allowed",
        partial(compared, 1, CALLS, "show", allowed), 1.0),
]  # fmt: skip
