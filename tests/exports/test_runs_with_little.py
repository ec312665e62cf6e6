"""Every format and every table of it, of runs that lack something."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import parquet

from tests.cli.rows import process, result, run, span
from tests.exports.test_tables import rows_of
from tests.figures.sampled import series
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric
from umlaut_async.cli.export import _FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut
    from umlaut_async.store.models import Base

PARTS = [
    *((form, None) for form in _FORMATS),
    *((form, part) for form, chosen in _FORMATS.items() for part in chosen.parts),
]
CHECKS: dict[str, Callable[[Path], object]] = {
    "csv": lambda out: rows_of(out.read_text()),
    "jsonl": lambda out: [json.loads(line) for line in out.read_text().splitlines()],
    "otlp": lambda out: [json.loads(line) for line in out.read_text().splitlines()],
    "parquet": parquet.read_table,
    "chrome": lambda out: json.loads(out.read_text()),
    "prometheus": lambda out: [*text_string_to_metric_families(out.read_text())],
}


def rows_by_kind() -> dict[str, list[Base]]:
    """Return the rows of runs by what these lack."""
    call = span("work")
    begun = [run(), process(), call]
    value = result("cpu", "%", 5.0, span=call.id)
    running: dict[str, Any] = {"ended": None, "status": "running"}
    open_call = span("work", duration=None, status="running")
    return {
        "no samples in any series": [*begun, value, *series([])],
        "no samples in one series": [*begun, value, *series([1.0, 2.0]), *series([], number=2, type_="cpu", unit="%")],
        "a full block and no tail": [*begun, *series([1.0] * 4096), *series([], number=2)],
        "no series": [*begun, value],
        "no calls": [run(), process(), *series([1.0])],
        "no results": [*begun, *series([1.0])],
        "nothing in it": [run(), process()],
        "no processes": [run()],
        "no end": [run(**running), process(), open_call, *series([1.0]), *series([], number=2, type_="cpu")],
        "no end and no processes": [run(**running)],
        "no runs": [],
    }


@pytest.mark.parametrize("kind", rows_by_kind())
def test_every_table_of_every_format(store: Store, database: Path, umlaut: Umlaut, tmp_path: Path, kind: str) -> None:
    store(*rows_by_kind()[kind])
    failed = {}
    for form, part in PARTS:
        out = tmp_path / f"out.{part}.{form}"
        shown = umlaut("export", database, "-f", form, "-o", out, *([] if part is None else ["-t", part]))
        if shown.exit_code:
            failed[form, part] = shown.stderr
        else:
            CHECKS[form](out)
    for form in (form for form, chosen in _FORMATS.items() if chosen.parts):
        shown = umlaut("export", database, "-f", form, "-o", f"{tmp_path}/{form}/")
        if shown.exit_code:
            failed[form, "a folder"] = shown.stderr
    shown = umlaut("export", database, "-f", "umlaut", "-o", tmp_path / "old.db")
    if shown.exit_code:
        failed["umlaut", None] = shown.stderr
    assert failed == {}


def test_a_stage_shorter_than_the_interval_of_its_metric(database: Path, umlaut: Umlaut) -> None:
    async def pipeline() -> None:
        async with Benchmark(database) as benchmark:
            with BenchmarkSupervisor([CPUMetric("cpu")], benchmark, name="work"):
                time.sleep(0.05)

    asyncio.run(pipeline())
    shown = umlaut("export", database, "-f", "jsonl")
    assert shown.exit_code == 0, shown.stderr
    tables = [json.loads(line)["table"] for line in shown.stdout.splitlines()]
    assert tables.count("series") == tables.count("results") == 1
    assert "samples" not in tables
