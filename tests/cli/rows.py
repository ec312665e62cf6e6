"""Rows of a database made by hand."""

from __future__ import annotations

import itertools
from typing import Any

from umlaut_async.store.models import Event, Process, Result, Run, Series, Span, key

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND

_numbers = itertools.count(1)


def run(uuid: str = "aaaaaaaa-1111", **columns: Any) -> Run:
    """Return a run of 90 seconds."""
    defaults: dict[str, Any] = {
        "name": "train.py",
        "description": "about it",
        "tags": ["gpu", "night"],
        "started": BEGAN,
        "ended": BEGAN + 90 * SECOND,
        "status": "ok",
        "environment": {"python": "3.11"},
        "collector": {"mode": "thread", "recorded": 3, "stored": 3, "dropped": {}},
    }
    return Run(uuid=uuid, **defaults | columns)


def process(run_uuid: str = "aaaaaaaa-1111", number: int = 1) -> Process:
    """Return a process of a run."""
    return Process(id=number, run_uuid=run_uuid, host="host", pid=1, started=BEGAN, last_seen=BEGAN)


def span(name: str, **columns: Any) -> Span:
    """Return a call of two seconds."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "process_id": 1,
        "kind": "coroutine",
        "task": "Task-1",
        "started": BEGAN + number,
        "duration": 2 * SECOND,
        "status": "ok",
    }
    columns = defaults | columns
    return Span(id=key(columns["process_id"], number), number=number, name=name, **columns)


def result(type_: str, unit: str = "", value: float | None = None, data: Any = None, **columns: Any) -> Result:
    """Return a value; of a call where `span` says so."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "process_id": 1,
        "method": "",
        "description": f"the {type_}",
        "provenance": "measured",
        "recorded": BEGAN + number,
    }
    columns = defaults | columns
    return Result(id=key(columns["process_id"], number), type=type_, unit=unit, value=value, data=data, **columns)


def series(type_: str, source: str, provenance: str = "measured", **columns: Any) -> Series:
    """Return a series of a second's interval."""
    defaults: dict[str, Any] = {"process_id": 1, "unit": "", "interval": SECOND}
    columns = defaults | columns
    identity = key(columns["process_id"], next(_numbers))
    return Series(id=identity, type=type_, source=source, provenance=provenance, **columns)


def event(kind: str, message: str, **columns: Any) -> Event:
    """Return an event."""
    number = next(_numbers)
    columns = {"process_id": 1, "t": BEGAN + number} | columns
    return Event(id=key(columns["process_id"], number), kind=kind, message=message, **columns)
