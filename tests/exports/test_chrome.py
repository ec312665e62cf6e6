"""Chrome traces: what the format demands, and that nothing is left out."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import support
from tests.cli.rows import BEGAN, SECOND, process, run, span
from tests.exports.conftest import CONCURRENT, SAMPLES
from tests.hostile import TEXTS, in_every_text
from umlaut_async.analysis.exports.lanes import Stay, edges

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

Trace = dict[str, Any]


def lane(event: Trace) -> tuple[int, str]:
    """Return where an edge of a call is shown: by the number alone it would be the same in all processes."""
    (kind,) = event["id2"].items()
    assert "id" not in event
    assert kind[0] == "local"
    return event["pid"], kind[1]


def check(events: Sequence[Trace]) -> None:
    """Check the rules of the format."""
    assert all(before["ts"] <= after["ts"] for before, after in pairwise(events))
    assert {event["ph"] for event in events} <= set("MbeCi")
    named = {event["pid"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    open_: dict[tuple[str, tuple[int, str]], list[Trace]] = defaultdict(list)
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["pid"] in named
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())
        elif event["ph"] == "i":
            assert event["s"] in "gpt"
        elif event["ph"] == "b":
            open_[event["cat"], lane(event)].append(event)
        elif event["ph"] == "e":
            began = open_[event["cat"], lane(event)].pop()
            assert (began["name"], began["pid"]) == (event["name"], event["pid"])
    assert not any(open_.values())
    # What is no counter, instant or metadata would be left over if the checks above saw too little.
    phases = Counter(event["ph"] for event in events)
    assert phases["b"] == phases["e"]


def trace(umlaut: Umlaut, database: Path, *arguments: object) -> list[Trace]:
    """Return the events of a trace that was written."""
    out = database.parent / "trace.json"
    shown = umlaut("export", database, *arguments, "-f", "chrome", "-o", out)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
    document = json.loads(out.read_text("utf-8"), parse_constant=pytest.fail)
    assert document["displayTimeUnit"] == "ms"
    events: list[Trace] = document["traceEvents"]
    check(events)
    return events


def test_a_thousand_concurrent_calls(concurrent: Path, umlaut: Umlaut) -> None:
    events = trace(umlaut, concurrent)
    calls = {str(call["id"]): call for call in support.read(concurrent, "select * from span")}
    began = {event["args"]["call"]: event for event in events if event["ph"] == "b"}
    assert began.keys() == calls.keys()
    assert len(calls) == 2 * CONCURRENT + 1
    # As many lanes as calls at once, less those that lie within their caller.
    assert len({lane(event) for event in began.values()}) == CONCURRENT
    base = support.read(concurrent, "select min(started) as base from run")[0]["base"]
    depth: dict[tuple[int, str], list[str]] = defaultdict(list)
    for event in events:
        if event["ph"] == "b":
            call = calls[event["args"]["call"]]
            assert round(event["ts"] * 1000) == call["started"] - base
            # Whatever encloses a call on its lane called it.
            if outer := depth[lane(event)]:
                assert call["parent"] == int(outer[-1])
            outer.append(event["args"]["call"])
        elif event["ph"] == "e":
            call = calls[depth[lane(event)].pop()]
            assert round(event["ts"] * 1000) == call["started"] + call["duration"] - base
    samples = support.read(concurrent, "select t, value from sample order by t")
    counted = [(round(event["ts"] * 1000) + base, event["args"]["MiB"]) for event in events if event["ph"] == "C"]
    assert counted == [(sample["t"], sample["value"]) for sample in samples]
    assert counted


def test_everything_is_in_it(made: Path, umlaut: Umlaut) -> None:
    events = trace(umlaut, made, "last")
    train, load, running = (event for event in events if event["ph"] == "b")
    assert (train["name"], train["args"]["time: t (sec)"]) == ("train", 1.5)
    assert load["args"]["error"] == "no"
    assert load["args"]["memory: the memory (MiB)"] == 3.25
    assert lane(load) == lane(train)
    assert running["args"]["status"] == "running"
    counters = Counter(event["name"] for event in events if event["ph"] == "C")
    assert counters == {"memory (MiB)": SAMPLES, "cpu (%)": 2}
    instants = [(event["cat"], event["name"], event["args"]) for event in events if event["ph"] == "i"]
    assert ("event", "drop", {"message": "3 records were dropped", "data": '{"count":3}'}) in instants
    assert [arguments["value"] for kind, _, arguments in instants if kind == "result"] == [
        '[0.5,"Infinity",-0.25]',
        0.1 + 0.2,
    ]


def test_several_runs_and_compressed(made: Path, umlaut: Umlaut) -> None:
    assert len(trace(umlaut, made)) == len(trace(umlaut, made, "last"))
    out = made.parent / "trace.json.gz"
    assert umlaut("export", made, "last", "-f", "chrome", "-o", out).exit_code == 0
    with gzip.open(out, "rt") as file:
        check(json.load(file)["traceEvents"])


def test_two_processes_have_the_same_calls(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(run(), process(), process(number=2), span("a"), span("a", process_id=2))
    events = [event for event in trace(umlaut, database) if event["ph"] == "b"]
    assert len({lane(event) for event in events}) == 2


def test_hostile_texts(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(*in_every_text(TEXTS))
    assert trace(umlaut, database)
    written = (database.parent / "trace.json").read_bytes()
    assert written.isascii()
    assert not any(byte < 32 and byte != 10 for byte in written)
    assert b"\\ud800" not in written.replace(b"\\\\ud800", b"")


@st.composite
def stays(draw: st.DrawFn) -> list[Stay]:
    found: list[Stay] = []
    for number in range(draw(st.integers(0, 30))):
        start = draw(st.integers(0, 20))
        parent = draw(st.sampled_from([None, *range(number + 1)]))
        found.append(Stay(start, start + draw(st.integers(0, 10)), number, parent))
    return found


@given(stays())
def test_lanes_are_balanced_and_no_more_than_needed(found: list[Stay]) -> None:
    given = {stay.id: stay for stay in found}
    seen = edges(found)
    assert [edge.time for edge in seen] == sorted(edge.time for edge in seen)
    open_: dict[int, list[int]] = defaultdict(list)
    ended = []
    for edge in seen:
        on_lane = open_[edge.lane]
        if edge.begins:
            assert edge.time == given[edge.id].start
            assert not on_lane or on_lane[-1] == given[edge.id].parent
            on_lane.append(edge.id)
        else:
            assert on_lane.pop() == edge.id
            assert edge.time == given[edge.id].end
            ended.append(edge.id)
    assert sorted(ended) == sorted(given)
    assert not any(open_.values())
    at_once = max((sum(one.start <= time <= one.end for one in found) for time in range(31)), default=0)
    assert len(open_) <= at_once


def test_long_traces_keep_their_nanoseconds(store: Store, database: Path, umlaut: Umlaut) -> None:
    day = 86_400 * SECOND
    store(run(ended=BEGAN + 10 * day), process(), span("a", started=BEGAN + 9 * day + 1, duration=1))
    (begin, end) = (event for event in trace(umlaut, database) if event["ph"] in "be")
    assert [round(event["ts"] * 1000) for event in (begin, end)] == [9 * day + 1, 9 * day + 2]
