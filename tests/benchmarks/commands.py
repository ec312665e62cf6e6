"""How long a person waits for a command: its start, and its answer where there is much to read."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert

from tests import support
from tests.benchmarks.harness import ROUNDS, Figures, Row, timed
from umlaut_async.store.models import Process, Result, Run, Sample, Series, Span, key

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND
RUNS = 1_000
CALLS = 100_000
SAMPLES = 1_000
COMPARED = 20
ALLOWED = 1.0
# About as long as what is stored of a real machine.
ENVIRONMENT = {"packages": {f"package-{number}": "1.0.0" for number in range(100)}}


class Shape(NamedTuple):
    """What a database holds."""

    runs: int
    calls: int = 0
    """Those of each run that has any, with two results each."""
    with_calls: int = 1
    """How many runs have calls, of the last ones."""
    at_once: bool = False
    """Whether many calls are open at each moment, and not one after the other."""
    mixed: bool = False
    """Whether half of them are of training loops, the others of requests that stream, many at once; with memory."""


def fill(path: Path, shape: Shape) -> None:
    """Write a database."""
    measured = range(shape.runs - shape.with_calls, shape.runs)
    with support.filling(path) as session:
        session.execute(insert(Run), [run(number) for number in range(shape.runs)])
        session.execute(insert(Process), [process(number) for number in measured])
        numbers = [(of_run, number) for of_run in measured for number in range(shape.calls)]
        if numbers:
            session.execute(insert(Span), [call(*each, shape) for each in numbers])
            session.execute(insert(Result), [value for each in numbers for value in values(*each)])
        if shape.mixed:
            session.execute(insert(Result), [memory(*each) for each in numbers])
            session.execute(insert(Series), [series(of_run) for of_run in measured])
            session.execute(insert(Sample), [sample(of_run, each) for of_run in measured for each in range(SAMPLES)])


def run(number: int) -> dict[str, Any]:
    """Return the columns of a run."""
    started = BEGAN + number * 100 * SECOND
    return {
        "uuid": f"{number:08x}-run", "description": "a run", "name": "train.py", "tags": ["night", f"pr-{number}"],
        "started": started, "ended": started + 90 * SECOND, "status": "ok", "environment": ENVIRONMENT,
        "collector": {"mode": "thread", "recorded": 3, "stored": 3, "dropped": {}},
    }  # fmt: skip


def process(of_run: int) -> dict[str, Any]:
    """Return the columns of the process of a run."""
    return {"id": of_run + 1, "run_uuid": run(of_run)["uuid"], "host": "", "pid": 1, "started": 0, "last_seen": 0}


def call(of_run: int, number: int, shape: Shape) -> dict[str, Any]:
    """Return the columns of a call: one of ten is of the outer stage, and holds the nine that follow."""
    if shape.mixed:
        return mixed_call(of_run, number, 90 * SECOND // shape.calls)
    outer = number - number % 10
    step = 90 * SECOND // shape.calls
    steps = (10 if number == outer else 1) * (20 if shape.at_once else 1)
    started = number * step
    return {
        "id": key(of_run + 1, number), "process_id": of_run + 1, "number": number,
        "parent": None if number == outer else key(of_run + 1, outer),
        "name": "train" if number == outer else "load", "kind": "coroutine", "task": "Task-1",
        "started": run(of_run)["started"] + started, "duration": min(step * steps, 90 * SECOND - started),
        "producing": None, "status": "ok", "error": None,
    }  # fmt: skip


def mixed_call(of_run: int, number: int, step: int) -> dict[str, Any]:
    """Return the columns of a call: of ten either an epoch, its loader and eight steps, or five requests at once."""
    first = number - number % 10
    place = number - first
    if first % 20:
        name = ("epoch", "load", *["step"] * 8)[place]
        outer, before, after = (
            (None, 0, 10) if place == 0 else (first, 0, 10) if place == 1 else (first, place, place + 1)
        )
    else:
        name = ("request", "stream")[place % 2]
        outer, before, after = (number - 1, 1, 9) if place % 2 else (None, 0, 10)
    yields = name in ("load", "stream")
    return {
        "id": key(of_run + 1, number), "process_id": of_run + 1, "number": number,
        "parent": None if outer is None else key(of_run + 1, outer),
        "name": name, "kind": "async generator" if yields else "coroutine",
        "task": "Task-1" if first % 20 else f"Task-{number - number % 2}",
        "started": run(of_run)["started"] + (first + before) * step, "duration": (after - before) * step,
        "producing": step if yields else None, "status": "ok", "error": None,
    }  # fmt: skip


def memory(of_run: int, number: int) -> dict[str, Any]:
    """Return the columns of what a call used of the memory."""
    process_id = of_run + 1
    return {
        "id": key(process_id, 10_000_000 + number), "process_id": process_id, "span": key(process_id, number),
        "method": "load", "type": "memory", "description": "it", "unit": "MiB", "value": 100.0 + number / 250,
        "data": {"n": 2, "min": 1.0, "mean": 2.0, "max": 3.0, "first": 1.0, "last": 1.004, "share": 1.0},
        "series_id": key(process_id, 1), "provenance": "measured", "recorded": BEGAN,
    }  # fmt: skip


def series(of_run: int) -> dict[str, Any]:
    """Return the columns of the memory of a process."""
    return {
        "id": key(of_run + 1, 1), "process_id": of_run + 1, "type": "memory", "unit": "MiB", "source": "statm",
        "provenance": "measured", "interval": 90 * SECOND // SAMPLES,
    }  # fmt: skip


def sample(of_run: int, number: int) -> dict[str, Any]:
    """Return the columns of a sample: memory grows."""
    moment = run(of_run)["started"] + number * 90 * SECOND // SAMPLES
    return {"series_id": key(of_run + 1, 1), "t": moment, "value": 100.0 + 400 * number / SAMPLES}


def values(of_run: int, number: int) -> list[dict[str, Any]]:
    """Return the columns of the results of a call."""
    process_id = of_run + 1
    common = {
        "process_id": process_id, "span": key(process_id, number), "method": "load", "description": "it",
        "series_id": None, "provenance": "measured", "recorded": BEGAN,
    }  # fmt: skip
    return [
        {
            "id": key(process_id, 2 * number), "type": "time", "unit": "sec", "value": (number + of_run) / 1e6,
            "data": None, **common,
        },
        {
            "id": key(process_id, 2 * number + 1), "type": "cpu", "unit": "%", "value": 50.0 + of_run,
            "data": {"n": 2, "min": 1.0, "mean": 2.0, "max": 3.0, "first": 1.0, "last": 3.0}, **common,
        },
    ]  # fmt: skip


def python(*arguments: str) -> None:
    """Run this interpreter to its end."""
    environment = support.environment()
    # The peers' bytecode was written when they were installed; ours must be too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, check=True, timeout=60)


def answered(shape: Shape, command: str, peer: Callable[[], float], *arguments: str) -> Figures:
    """Time a command on a database, and its peer."""
    figures = Figures([], [])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        fill(path, shape)
        for _ in range(ROUNDS):
            figures.ours.append(timed(lambda: python("-m", "umlaut_async", command, str(path), *arguments)))
            figures.peer.append(peer())
    return figures


def imports() -> float:
    """Return the seconds of the imports without which no command could answer."""
    return timed(lambda: python("-c", "import click, rich, sqlalchemy"))


def allowed() -> float:
    """Return the seconds that a person waits without thinking of something else."""
    return ALLOWED


# Half of the runs that are compared, and the other half.
HALF = COMPARED // 2
BASE = ",".join(f"last~{number}" for number in range(HALF, COMPARED))
NEW = ",".join(f"last~{number}" for number in range(HALF))

ROWS = [
    Row("start", "umlaut runs, of three runs", "python -c 'import click, rich, sqlalchemy'",
        partial(answered, Shape(3), "runs", imports), 3.0),
    Row("runs", "umlaut runs, of 1,000 runs", "the second that is allowed",
        partial(answered, Shape(RUNS), "runs", allowed), 1.0),
    Row("show", "umlaut show, of a run with 100,000 calls", "the second that is allowed",
        partial(answered, Shape(1, CALLS), "show", allowed), 1.0),
    Row("show-at-once", "umlaut show, of a run with 100,000 calls, many at once", "the second that is allowed",
        partial(answered, Shape(1, CALLS, at_once=True), "show", allowed), 1.0),
    Row("show-mixed", "umlaut show, of a run with 100,000 calls, in loops and at once, with generators and memory",
        "the second that is allowed", partial(answered, Shape(1, CALLS, mixed=True), "show", allowed), 1.0),
    Row("compare", f"umlaut compare, of {COMPARED} runs with 1,000 calls each", "the second that is allowed",
        partial(answered, Shape(COMPARED, 1_000, COMPARED), "compare", allowed, BASE, NEW), None),
]  # fmt: skip
