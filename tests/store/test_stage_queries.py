"""What stages used, and the columns of their calls, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.test_queries import blocks, location, process, result, run, session, span, store
from umlaut_async.analysis.evidence import Blocks, blocks_in
from umlaut_async.analysis.stages import stage_table
from umlaut_async.store import queries, stage_queries, totals
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.models import Process, Result, Run, Series, Span, key

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from umlaut_async.store.location import Location

__all__ = ["location", "session"]

SECOND = 1_000_000_000
OWN = key(1, 1)


async def test_what_stages_used(location: Location, session: Session) -> None:
    await store(
        location,
        {
            Run: [run("one", 1), run("two", 2)],
            Process: [process(1, "one"), process(2, "two")],
            Span: [
                span(1, 1, "train", 10, 2 * SECOND),
                span(1, 2, "train", 20, 6 * SECOND, status="error"),
                span(1, 3, "load", 30, SECOND),
                span(1, 4, "serve", 40, None, status="running"),
                span(2, 1, "train", 10, SECOND),
            ],
            Result: [
                result(1, 1, 1, "cpu", 100.0, unit="%"),
                result(2, 1, 2, "cpu", 20.0, unit="%", provenance="estimated"),
                result(3, 1, 1, "energy", 5e6, unit="µJ"),
                result(4, 1, 2, "energy", 15e6, unit="µJ"),
                result(5, 1, 1, "throughput", 50.0),
                result(6, 1, 2, "throughput", 50.0),
                result(7, 1, 3, "latency", 0.25),
                result(8, 1, 3, "gpu", None, unit="%", provenance="unavailable"),
                result(9, 1, 1, "text", None, data="words"),
                result(10, 1, None, "loss", 1.0),
                result(1, 2, 1, "cpu", 1.0),
            ],
        },
    )
    used = stage_queries.used(session, "one")
    assert set(used) == {("train", "function"), ("load", "function")}
    with stage_queries.used_beside(session, "one") as ask:
        assert ask() == used
    train, load = used["train", "function"], used["load", "function"]
    assert set(train) == {"cpu", "energy", "throughput"}
    cpu = ("%", 2, 60, 20, 100, "estimated", 120, 40, None)
    assert train["cpu"] == (*cpu, "cpu", "description", "perf_counter", "")
    assert train["throughput"].entries == pytest.approx(400)
    assert load["latency"].entries == pytest.approx(4)
    assert (load["gpu"].n, load["gpu"].over_time, load["gpu"].provenance) == (0, None, "unavailable")
    (found,) = queries.runs(session, ["one"])
    table = stage_table(session, found)
    row, other, serving = table.stages
    assert (row.name, row.calls, row.statuses, row.time, row.failed) == (
        "train", 2, {"ok": 1, "error": 1}, 8 * SECOND, 6 * SECOND,
    )  # fmt: skip
    # Its calls, of 8 s in all, were open at once, within 6 s: each has measured what the machine used, the other's too.
    assert (row.energy, row.entries, row.energy_per_entry) == pytest.approx((15, 400, 0.0375))
    assert (other.energy, other.energy_per_entry) == (None, None)
    assert (serving.statuses, serving.durations, serving.time) == ({"running": 1}, None, 0)
    assert [call.id for call in table.slowest[:2]] == [key(1, 2), key(1, 4)]


def memory(first: object, last: object) -> dict[str, object]:
    return {"n": 2, "min": 1.0, "mean": 2.0, "max": 3.0, "first": first, "last": last}


async def test_how_much_memory_grew_in_the_calls_of_each_stage(location: Location, session: Session) -> None:
    await store(
        location,
        {
            Run: [run("one", 1)],
            Process: [process(1, "one"), process(2, "one")],
            Span: [
                span(1, 1, "load", 10, 20),
                span(1, 2, "train", 10, 200),
                span(1, 3, "train", 210, 300, kind="coroutine"),
                span(1, 4, "train", 510, 10),
                span(1, 5, "serve", 600, None, status="running"),
                span(1, 6, "log", 610, 1),
                span(2, 1, "train", 10, 200),
            ],
            Series: [
                (OWN, 1, "memory", "MiB", "statm", "measured", SECOND, "m"),
                (key(1, 2), 1, "memory", "MiB", "statm", "measured", 2 * SECOND, "m"),
                (key(1, 3), 1, "memory", "MiB", "process-tree", "measured", SECOND, "m"),
                (key(2, 1), 2, "memory", "MiB", "statm", "measured", SECOND, "m"),
            ],
            Result: [
                result(1, 1, 1, "memory", 900.0, data=memory(100.0, 900), series=OWN),
                result(2, 1, 2, "memory", 900.0, data=memory(900, 950.5), series=OWN),
                result(3, 1, 3, "memory", 900.0, data=memory(950.5, 940.5), series=OWN),
                result(4, 1, 4, "memory", 900.0, data=memory(940.5, 1000.5), series=key(1, 2)),
                result(5, 1, 4, "cpu", 900.0, data=memory(1.0, 1000.0)),
                result(6, 1, 5, "memory", 900.0, data=memory(1.0, 1000.0), series=OWN),
                result(7, 1, 6, "memory", None, data=["no", "numbers"], series=OWN),
                result(8, 1, 6, "memory", None, provenance="unavailable", series=OWN),
                result(9, 1, None, "memory", None, data=memory(1.0, 1000.0), series=OWN),
                result(10, 1, 4, "memory", 2000.0, data=memory(1000.0, 2000.0), series=key(1, 3)),
                result(1, 2, 1, "memory", 900.0, data=memory(1.0, 2.0), series=key(2, 1)),
            ],
        },
    )
    assert stage_queries.growth(session, 1, "memory", "statm", 30) == {
        ("train", "function"): 110.5, ("train", "coroutine"): -10, ("log", "function"): 0,
    }  # fmt: skip
    assert stage_queries.growth(session, 2, "memory", "statm", 30) == {("train", "function"): 1}


async def test_metrics_of_one_type_are_told_apart(location: Location, session: Session) -> None:
    sources = {1: "statm", 2: "process-tree", 3: "nvml", 4: "nvml:1"}
    series = [(key(1, number), 1, "", "", source, "measured", SECOND, "") for number, source in sources.items()]
    values = [
        ("memory", "m", 1, 10.0), ("memory", "m", 2, 300.0), ("gpu", "first", 3, 90.0), ("gpu", "second", 4, 5.0),
        ("gpuenergy", "e", 3, 1e6), ("gpuenergy", "again", 3, 1e6), ("gpuenergy", "e", 4, 2e6),
        ("throughput", "images", None, 10.0), ("throughput", "pixels", None, 1000.0), ("io", "", 1, None),
    ]  # fmt: skip
    await store(
        location,
        {
            Run: [run("one", 1)],
            Process: [process(1, "one")],
            Span: [span(1, 1, "train", 10, 2 * SECOND), span(1, 2, "load", 20, SECOND)],
            Series: series,
            Result: [
                *(
                    result(
                        number, 1, 1, type_, value, description=description,
                        series=None if of is None else key(1, of), provenance="measured" if value else "unavailable",
                    )
                    for number, (type_, description, of, value) in enumerate(values, 1)
                ),
                result(20, 1, 2, "memory", 7.0, series=key(1, 1)),
            ],
        },
    )  # fmt: skip
    (found,) = queries.runs(session, ["one"])
    train, load = stage_table(session, found).stages
    assert {name: used.total for name, used in train.used.items()} == {
        "gpu (first)": 90, "gpu (second)": 5, "gpuenergy (e, nvml)": 1e6, "gpuenergy (again)": 1e6,
        "gpuenergy (e, nvml:1)": 2e6, "io": None, "memory (statm)": 10, "memory (process-tree)": 300,
        "throughput (images)": 10, "throughput (pixels)": 1000,
    }  # fmt: skip
    assert {name: used.total for name, used in load.used.items()} == {"memory": 7}
    # One GPU has used 1 J, however often that was measured, and the other one 2 J.
    assert (train.energy, train.entries, train.over_time("gpu")) == (3, None, 90)
    first, second = queries.stages(session, "one")
    assert (first.entries_per_second, first.metrics, second.metrics) == (None, train.used, load.used)


async def test_only_high_samples_are_read(location: Location, session: Session) -> None:
    lags = [0.3 if index in (7, BLOCK + 3, 3 * BLOCK + 1) else 0.001 for index in range(3 * BLOCK + 10)]
    rows = blocks(key(1, 1), [SECOND * index for index in range(len(lags))], lags)
    series = (key(1, 1), 1, "looplag", "sec", "event-loop", "measured", 50_000_000, "lag")
    await store(location, {Run: [run("one", 1)], Process: [process(1, "one")], Series: [series], **rows})
    found = list(stage_queries.samples_from(session, key(1, 1), 0.05))
    assert found == [(index * SECOND, 0.3) for index in (7, BLOCK + 3, 3 * BLOCK + 1)]


async def test_a_run_without_calls(location: Location, session: Session) -> None:
    await store(location, {Run: [run("one", 1)]})
    (found,) = queries.runs(session, ["one"])
    table = stage_table(session, found)
    assert (table.wall, table.stages, table.slowest, table.untracked) == (0, [], [], 0)
    assert blocks_in([(1, 3)], table.timeline) == Blocks(1, 2, 2, None)


@pytest.mark.parametrize("step", [1, 2])
async def test_a_run_of_very_many_processes(location: Location, session: Session, step: int) -> None:
    ours = range(1, 1 + 2000 * step, step)
    others = [] if step == 1 else range(2, 2 + 2000 * step, step)
    processes = [(number, "one" if number in ours else "two") for number in (*ours, *others)]
    await store(
        location,
        {
            Run: [run("one", 1), run("two", 2)],
            Process: [process(*each) for each in processes],
            Span: [span(number, 1, "train", 10, SECOND) for number, _ in processes],
            Result: [result(1, number, 1, "cpu", 100.0) for number, _ in processes],
        },
    )
    assert stage_queries.used(session, "one")["train", "function"]["cpu"].n == 2000
    assert len(stage_queries.call_columns(session, "one")[0]) == 2000
    assert [total.calls for total in totals.stage_totals(session, "one")] == [2000]
    assert stage_queries.used(session, "none") == {}
