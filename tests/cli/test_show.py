"""`umlaut show`: one run in full."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests import hostile
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, series, span
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, LatencyMetric, LossTracker, Metric, TimeMetric
from umlaut_async.analysis import Results
from umlaut_async.cli.text import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess


def cells(output: str) -> list[list[str]]:
    """Return what stands in each line, by columns."""
    lines = [line.strip() for line in output.splitlines()]
    return [re.split(r"\s{2,}", line) for line in lines if line and not line.startswith("─")]


@pytest.fixture
def a_run(store: Store) -> None:
    """Store a run with a bit of everything."""
    load = [span("load", kind="async generator", producing=SECOND), span("load", kind="async generator")]
    train = [span("train"), span("train", status="error", error="ValueError: no"), span("train", status="cancelled")]
    still = span("serve", duration=None, status="running")
    store(
        run(),
        process(),
        *load,
        *train,
        still,
        result("time", "sec", 2, span=load[0].id),
        result("time", "sec", 2, span=load[1].id),
        result("throughput", "Entries/second", 100, span=load[0].id),
        result("throughput", "Entries/second", 300, span=load[1].id),
        result("cpu", "%", 50, {"n": 1}, span=train[0].id),
        result("cpu", "%", 100, {"n": 1}, span=train[1].id),
        result("memory", "MiB", 100, {"n": 1}, span=train[0].id),
        result("memory", "MiB", 1843.2, {"n": 1}, span=train[1].id),
        result("queue", "items", 2, span=train[0].id),
        result("queue", "items", 4, span=train[1].id),
        result("loss", "loss", data=[0.9, 0.3, 0.5]),
        result("accuracy", "%", 93.25, method="validate"),
        event("missed-ticks", "3 ticks were missed"),
        event("missed-ticks", "3 ticks were missed"),
        event("unreadable", "the metric 'power' could not be read"),
    )


@pytest.mark.usefixtures("a_run")
def test_a_run_in_full(umlaut: Umlaut, database: Path) -> None:
    shown = umlaut("show", database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    missing = "–"  # noqa: RUF001
    heading, about, *rest = cells(shown.stdout)
    assert heading == [f"train.py aaaaaaaa · ok · {moment(BEGAN)} · 1 min 30 s"]
    assert about == ["about it · gpu, night"]
    assert rest[0] == ["where the time went", "share", "alone", "overlapped", "elsewhere", "critical path"]
    assert [(line[0], line[1], line[-1]) for line in rest[1:5]] == [
        ("load", "0.4 %", "0.0 %"),
        ("train", "1.3 %", "0.0 %"),
        ("serve", "98.2 %", "100.0 %"),
        ("(in no stage)", "0.0 %", "0.0 %"),
    ]
    rest = rest[5:]
    assert rest[:4] == [
        ["stage", "calls", "time", "per call", "entries/s", "CPU", "memory", "status"],
        ["load", "2", "4 s", "2 s", "200", missing, missing, "ok"],
        ["train", "3", "6 s", "2 s", missing, "75 %", "1,843 MiB", "1 cancelled, 1 error, 1 ok"],
        ["serve", "1", missing, missing, missing, missing, missing, "running"],
    ]
    assert rest[4:6] == [
        ["stage", "metric", "calls", "mean", "lowest", "highest"],
        ["train", "queue", "2", "3 items", "2 items", "4 items"],
    ]
    assert rest[6:9] == [
        ["time of a call", "first", "half under", "95 % under", "99 % under", "longest"],
        ["load", "2 s", "2 s", "2 s", "2 s", "2 s"],
        ["train", "2 s", "2 s", "2 s", "2 s", "2 s"],
    ]
    assert rest[9] == ["slowest calls", "time", "began after", "inside", "status"]
    assert [[*line[:2], *line[3:]] for line in rest[10:16]] == [
        ["serve", "1 min 30 s", missing, "running"],
        ["load", "2 s", missing, "ok"],
        ["load", "2 s", missing, "ok"],
        ["train", "2 s", missing, "ok"],
        ["train", "2 s", missing, "error"],
        ["train", "2 s", missing, "cancelled"],
    ]
    rest = rest[10:]
    assert rest[6:9] == [
        ["tracked", "type", "value", "method"],
        ["the loss", "loss", "0.9 → 0.5 in 3 values, least 0.3"],
        ["the accuracy", "accuracy", "93.2 %", "validate"],
    ]
    assert [line[1:] for line in rest[9:]] == [
        ["count", "event", "what happened"],
        ["2", "missed-ticks", "3 ticks were missed"],
        ["1", "unreadable", "the metric 'power' could not be read"],
    ]


@pytest.mark.usefixtures("a_run")
def test_json(umlaut: Umlaut, database: Path) -> None:
    shown = umlaut("show", "--json", database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    document = json.loads(shown.stdout)
    parts = ["schema", "run", "verdicts", "budget", "stages", "slowest", "trackers", "commands", "events"]
    assert list(document) == parts
    assert document["schema"] == 1
    assert document["run"] == {
        "uuid": "aaaaaaaa-1111",
        "name": "train.py",
        "description": "about it",
        "tags": ["gpu", "night"],
        "started": BEGAN,
        "ended": BEGAN + 90 * SECOND,
        "status": "ok",
        "environment": {"python": "3.11"},
        "collector": {"mode": "thread", "recorded": 3, "stored": 3, "dropped": {}},
    }
    load, train, serve = document["stages"]
    assert load == {
        "name": "load",
        "kind": "async generator",
        "calls": 2,
        "status": "ok",
        "statuses": {"ok": 2},
        "time": 4 * SECOND,
        "budget": load["budget"],
        "durations": dict.fromkeys(("first", "p50", "p95", "p99", "longest"), 2 * SECOND) | {"second_longest": None},
        "producing": SECOND,
        "waited": [],
        "unknown_parents": None,
        "entries": 800,
        "energy": None,
        "energy_per_entry": None,
        "metrics": {
            "throughput": {
                "type": "throughput", "description": "the throughput",
                "unit": "Entries/second", "n": 2, "mean": 200, "over_time": 200, "min": 100, "max": 300, "total": 400,
                "provenance": "measured", "sources": ["perf_counter"],
            },
            "time": {
                "type": "time", "description": "the time",
                "unit": "sec", "n": 2, "mean": 2, "over_time": 2, "min": 2, "max": 2, "total": 4,
                "provenance": "measured", "sources": ["perf_counter"],
            },
        },
    }  # fmt: skip
    budget = document["budget"]
    assert (document["verdicts"], budget["wall"]) == ([], 90 * SECOND)
    for whole, rest in (("share", "untracked"), ("critical", "critical_untracked")):
        assert abs(sum(stage["budget"][whole] for stage in document["stages"]) + budget[rest] - budget["wall"]) <= 3
    assert set(load["budget"]) == {"share", "open", "alone", "overlapped", "elsewhere", "critical"}
    slowest = document["slowest"]
    assert [call["stage"] for call in slowest] == ["serve", "load", "load", "train", "train", "train"]
    assert BEGAN < slowest[0]["started"] < BEGAN + SECOND
    assert (slowest[1]["duration"], slowest[1]["status"], slowest[1]["inside"]) == (2 * SECOND, "ok", None)
    assert (train["calls"], train["status"], set(train["metrics"])) == (3, "error", {"cpu", "memory", "queue"})
    assert (serve["calls"], serve["status"], serve["metrics"]) == (1, "running", {})
    loss, accuracy = document["trackers"]
    assert {name: value for name, value in loss.items() if name != "recorded"} == {
        "method": "",
        "type": "loss",
        "description": "the loss",
        "unit": "loss",
        "value": None,
        "data": [0.9, 0.3, 0.5],
        "provenance": "measured",
        "sources": ["user"],
    }
    assert (accuracy["value"], accuracy["data"], accuracy["method"]) == (93.25, None, "validate")
    assert [(found["kind"], found["count"]) for found in document["events"]] == [("missed-ticks", 2), ("unreadable", 1)]


def test_a_metric_that_could_not_be_read_is_not_zero(store: Store, umlaut: Umlaut, database: Path) -> None:
    call = span("train")
    unread = series("cpu", "process_time", "unavailable")
    nothing = result("cpu", "%", span=call.id, provenance="unavailable", series_id=unread.id)
    store(run(), process(), call, unread, nothing)
    _, stage, *_ = [line for line in cells(umlaut("show", database).stdout) if line[0] == "train"]
    assert stage[5] == "unavailable"
    (stage,) = json.loads(umlaut("show", "--json", database).stdout)["stages"]
    assert stage["metrics"]["cpu"] == {
        "type": "cpu", "description": "the cpu",
        "unit": "%", "n": 0, "mean": None, "over_time": None, "min": None, "max": None, "total": None,
        "provenance": "unavailable", "sources": ["process_time"],
    }  # fmt: skip


def test_text_json_card_and_report_say_the_same_of_a_metric(store: Store, umlaut: Umlaut, database: Path) -> None:
    short, long = (
        span("train", started=BEGAN, duration=SECOND),
        span("train", started=BEGAN + SECOND, duration=9 * SECOND),
    )
    rates = {"cpu": "%", "gpu": "%", "io": "MiB/s", "power": "Watt", "throughput": "Entries/second"}
    values = [result(type_, unit, 10, span=short.id) for type_, unit in rates.items()]
    values += [result(type_, unit, 60, span=long.id) for type_, unit in rates.items()]
    totals = [result("energy", "µJ", joule * 1e6, span=call.id) for call, joule in ((short, 40), (long, 60))]
    store(run(), process(), short, long, *values, *totals)
    (stage,) = json.loads(umlaut("show", "--json", database).stdout)["stages"]
    assert {stage["metrics"][type_]["over_time"] for type_ in rates} == {55}
    assert (stage["energy"], stage["metrics"]["energy"]["total"]) == (100, 100e6)
    report = database.with_name("report.html")
    assert umlaut("report", database, "-o", report).exit_code == 0
    pages = report.read_text(), Results(database).run()._repr_html_()
    for shown in (umlaut("show", database).stdout, *(re.sub("<[^>]*>", " ", page) for page in pages)):
        for unit in ("%", "MiB/s", "Watt"):
            assert f"55 {unit}" in shown
            assert f"35 {unit}" not in shown


def test_each_metric_names_its_source(store: Store, umlaut: Umlaut, database: Path) -> None:
    own, tree, lost = (
        series("cpu", "process_time"), series("cpu", "process-tree"), series("gpu", "nvml", "unavailable"),
    )  # fmt: skip
    of_another_run = series("time", "elsewhere", process_id=2)
    train, serve = span("train"), span("serve")
    store(
        run(),
        process(),
        run("bbbb-2", started=BEGAN - 1),
        process("bbbb-2", 2),
        own,
        tree,
        lost,
        of_another_run,
        train,
        serve,
        result("cpu", "%", 50, span=train.id, series_id=own.id),
        result("cpu", "%", 90, span=train.id, series_id=tree.id),
        result("cpu", "%", 50, span=serve.id, series_id=own.id),
        result("time", "sec", 2, span=serve.id),
        result("gpu", "%", span=serve.id, provenance="unavailable", series_id=lost.id),
    )
    first, second = json.loads(umlaut("show", "--json", database).stdout)["stages"]
    assert {name: metric["sources"] for name, metric in first["metrics"].items()} == {
        "cpu (process_time)": ["process_time"],
        "cpu (process-tree)": ["process-tree"],
    }
    assert {name: metric["sources"] for name, metric in second["metrics"].items()} == {
        "cpu": ["process_time"],
        "gpu": ["nvml"],
        "time": ["perf_counter"],
    }


def test_memory_is_a_share_of_what_each_process_may_use(store: Store, umlaut: Umlaut, database: Path) -> None:
    # The first process may use 1,000 MiB, the second 10,000; of a third it is not known.
    calls = [span("train", process_id=number) for number in (1, 1, 2, 3)]
    store(
        run(),
        *(process(number=number) for number in (1, 2, 3)),
        *calls,
        result("memory", "MiB", 100, {"n": 1, "share": 10}, span=calls[0].id),
        result("memory", "MiB", 250, {"n": 1, "share": 25}, span=calls[1].id),
        result("memory", "MiB", 500, {"n": 1, "share": 5}, span=calls[2].id, process_id=2),
        result("memory", "MiB", 600, {"n": 1, "share": "x"}, span=calls[3].id, process_id=3),
    )
    assert re.search(r"^train .* 600 MiB \(25 %\) +ok", umlaut("show", database).stdout, re.MULTILINE)
    (stage,) = json.loads(umlaut("show", "--json", database).stdout)["stages"]
    assert (stage["metrics"]["memory"]["max"], stage["metrics"]["memory"]["share"]) == (600, 25)


@pytest.mark.parametrize(
    ("peaks", "shown", "known"),
    [
        ({1: "exact", 2: "highest sample"}, "≥ 200 MiB", "highest sample"),
        ({1: "highest sample", 2: "exact"}, "200 MiB", "exact"),
        ({1: "exact", 2: None}, "200 MiB", None),
    ],
)
def test_memory_says_whether_its_peak_is_exact(
    store: Store, umlaut: Umlaut, database: Path, peaks: dict[int, str | None], shown: str, known: str | None
) -> None:
    # Of two processes, the second of which had the most.
    calls = [span("train", process_id=number) for number in peaks]
    store(
        run(),
        *(process(number=number) for number in peaks),
        *calls,
        *(
            result("memory", "MiB", 100 * number, {"n": 1, "peak": peak}, span=call.id, process_id=number)
            for call, (number, peak) in zip(calls, peaks.items(), strict=True)
        ),
    )
    text = umlaut("show", database).stdout
    assert re.search(rf"^train .*\S +{shown} +ok", text, re.MULTILINE)
    assert ("≥ the highest sample: what memory was held between two is not seen" in text) == (known == "highest sample")
    (stage,) = json.loads(umlaut("show", "--json", database).stdout)["stages"]
    assert stage["metrics"]["memory"]["peak"] == known


def test_which_run(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run("aaaa-1"), run("aabb-2", started=BEGAN + 1), run("%b-3", started=BEGAN - 1))

    def chosen(*selector: str) -> str:
        shown = umlaut("show", "--json", database, *selector)
        return json.loads(shown.stdout)["run"]["uuid"] if shown.exit_code == 0 else shown.stderr

    assert chosen() == "aabb-2"
    assert chosen("aaaa") == "aaaa-1"
    assert chosen("aabb-2") == "aabb-2"
    assert chosen("%") == "%b-3"
    for wrong in ("aa", "cc", "_", "x\x1b[31m\nx"):
        shown = umlaut("show", database, wrong)
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert shown.stderr.startswith("umlaut: ")
        assert shown.stderr.count("\n") == 1
        assert "\x1b" not in shown.stderr


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (result("loss", "loss", data=[0.5]), "0.5, least 0.5"),
        (result("loss", "loss", data=[]), "[]"),
        (result("loss", "loss", data=["NaN", 0.5]), "nan → 0.5"),
        (result("loss", "loss", data={"not": "a list"}), '{"not": "a list"}'),
        (result("loss", "loss", data=[10**400]), "1e+400"),
        (result("tta", "accuracy", data=[0.5, 0.9, 0.8]), "0.5 → 0.8 in 3 values, best 0.9"),
        (result("timed tta", "time for target accuracy", 61.2), "1 min 1 s"),
        (
            result("timed tta", "time for target accuracy", data={"target": 0.9, "reached": False, "best": 0.8}),
            "0.9 was not reached, best was 0.8",
        ),
        (result("timed tta", "", data={"target": 0.9, "reached": False, "best": None}), "0.9 was not reached"),
        (
            result("confusion-matrix", data={"matrix": [[8, 1], [1, 10]], "labels": ["a", "b"]}),
            "2 × 2, 90 % on the diagonal",  # noqa: RUF001
        ),
        (result("confusion-matrix", data={"matrix": [[0]], "labels": ["a"]}), "1 × 1, empty"),  # noqa: RUF001
        (result("confusion-matrix", data={"matrix": [[1, 2], [3]]}), '{"matrix": [[1, 2], [3]]}'),
        (
            result(
                "hyperparameters",
                data={
                    "hyperparameters": ["lr", "optimiser"],
                    "target": "loss",
                    "low_means_good": True,
                    "measurements": [
                        {"lr": 0.1, "optimiser": "adam", "loss": 0.5},
                        {"lr": 0.01, "optimiser": "sgd", "loss": 0.25},
                    ],
                },
            ),
            "2 measurements, best loss 0.25 with lr=0.01, optimiser=sgd",
        ),
        (
            result(
                "hyperparameters",
                data={
                    "hyperparameters": ["lr"],
                    "target": "accuracy",
                    "low_means_good": False,
                    "measurements": [{"lr": 0.1, "accuracy": 0.9}, {"lr": 0.01, "accuracy": 0.8}],
                },
            ),
            "2 measurements, best accuracy 0.9 with lr=0.1",
        ),
        (result("hyperparameters", data={"target": "loss", "measurements": []}), "0 measurements"),
        (result("hyperparameters", data={"target": "loss", "measurements": ["?"]}), "1 measurement"),
        (result("note", "", data="a text"), '"a text"'),
        (result("size", "MiB", 12.345), "12.3 MiB"),
        (result("nothing", ""), "null"),
    ],
)
def test_tracked_values(store: Store, umlaut: Umlaut, database: Path, row: object, shown: str) -> None:
    store(run(), process(), row)  # type: ignore[arg-type]
    output = umlaut("show", database)
    assert output.exit_code == 0, output.stderr
    assert shown in output.stdout


@pytest.mark.parametrize("batch", hostile.BATCHES, ids=range(len(hostile.BATCHES)))
def test_no_stored_text_commands_the_terminal(
    store: Store, umlaut: Umlaut, database: Path, batch: Sequence[str]
) -> None:
    store(*hostile.in_every_text(batch))
    for arguments in (["runs", database], ["show", database], ["show", database, "aaaaaaaa"]):
        plain = umlaut(*arguments)
        assert plain.exit_code == 0, plain.stderr
        coloured = umlaut(*arguments, FORCE_COLOR="1", TERM="xterm")
        # What remains are the colours that rich sets itself.
        for output in (plain.stdout, re.sub(r"\x1b\[[0-9;]*m", "", coloured.stdout)):
            output.encode()
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", output)
            assert len(output) < 500_000
    for text in set(batch) & {"[bold red]markup[/bold red] [/] [link=x]", ":skull: [:", "'; drop table run; --"}:
        assert text in umlaut("show", database).stdout
    document = json.loads(umlaut("show", "--json", database).stdout)
    assert document["run"]["name"] == batch[0]
    assert {stage["name"] for stage in document["stages"]} == set(batch)
    assert set(hostile.LONE_SURROGATES) <= document["run"]["environment"].keys()


def test_a_recorded_run(umlaut_process: UmlautProcess, database: Path) -> None:
    class Broken(Metric):
        measure_type = "power"
        unit = "Watt"

        def read(self) -> float:
            raise OSError("no sensor")

    async def record() -> None:
        async with Benchmark(database, "a real run", name="pipeline", tags=["nightly"]) as bm:

            @BenchmarkSupervisor([TimeMetric("time"), CPUMetric("cpu"), LatencyMetric("latency"), Broken("power")], bm)
            async def load() -> None:
                await asyncio.sleep(0.05)

            await asyncio.gather(load(), load())
            LossTracker(bm).track([0.5, 0.25], "training loss")

    asyncio.run(record())
    listed = umlaut_process("runs", database)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(r"pipeline +a real run .* ok +nightly", listed.stdout)
    shown = umlaut_process("show", database)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"^load +2 +\d+ ms .* % .* ok", shown.stdout, re.MULTILINE)
    assert "0.5 → 0.25 in 2 values, least 0.25" in shown.stdout
    assert "no sensor" in shown.stdout
    assert "track(" in shown.stdout
    document = json.loads(umlaut_process("show", "--json", database).stdout)
    (stage,) = document["stages"]
    assert (stage["name"], stage["kind"], stage["calls"], stage["status"]) == ("load", "coroutine", 2, "ok")
    assert stage["metrics"]["time"]["n"] == 2
    assert stage["metrics"]["time"]["mean"] >= 0.05
    assert {name: metric["sources"] for name, metric in stage["metrics"].items()}.items() >= {
        "cpu": ["process_time"],
        "time": ["perf_counter"],
    }.items()
    assert {found["kind"] for found in document["events"]} >= {"unreadable", "untracked"}
    assert document["run"]["collector"]["recorded"] == document["run"]["collector"]["stored"] == 3


def test_a_run_that_is_being_written(umlaut_process: UmlautProcess, database: Path) -> None:
    async def record() -> None:
        async with Benchmark(database) as bm:
            started = asyncio.Event()

            @BenchmarkSupervisor([TimeMetric("time")], bm)
            async def serve() -> None:
                started.set()
                await asyncio.sleep(60)

            serving = asyncio.create_task(serve())
            await started.wait()
            await bm.flush()
            shown = await asyncio.to_thread(umlaut_process, "show", database)
            serving.cancel()
            assert (shown.returncode, shown.stderr) == (0, "")
            assert re.search(r"^serve +1 .* running", shown.stdout, re.MULTILINE)

    asyncio.run(record())


MISSING = {
    "type": "power",
    "description": "my power",
    "reason": "there are no counters",
    "cure": "run: sudo modprobe x",
}


def test_what_was_not_recorded_is_a_line_for_each_metric(umlaut: Umlaut, store: Store, database: Path) -> None:
    store(
        run(),
        process(),
        span("train"),
        event("unavailable", "power is not recorded", data=MISSING),
        event("unavailable", "gpu is not recorded", data=MISSING | {"type": "gpu", "description": "my gpu"}),
        event("unavailable", "of another form", data={"type": "energy"}),
        event("unreadable", "the queue could not be read", data=MISSING | {"type": "queue"}),
    )
    shown = umlaut("show", database)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = cells(shown.stdout)
    at = lines.index(["not recorded", "type", "why not", "to record it"])
    assert lines[at + 1 : at + 3] == [
        ["my power", "power", "there are no counters", "run: sudo modprobe x"],
        ["my gpu", "gpu", "there are no counters", "run: sudo modprobe x"],
    ]
    assert [line[1:] for line in lines[at + 3 :]] == [
        ["count", "event", "what happened"],
        ["1", "unavailable", "of another form"],
        ["1", "unreadable", "the queue could not be read"],
    ]
    events = json.loads(umlaut("show", "--json", database).stdout)["events"]
    assert events[0]["data"] == MISSING
    assert [event["kind"] for event in events] == ["unavailable"] * 3 + ["unreadable"]


def test_a_duration_below_zero_takes_no_time(store: Store, umlaut: Umlaut, database: Path) -> None:
    store(run(), process(), span("train"), span("odd", started=BEGAN + 9 * SECOND, duration=-5 * SECOND))
    shown = json.loads(umlaut("show", database, "--json").stdout)
    assert {stage["name"]: stage["budget"]["share"] for stage in shown["stages"]} == {"train": 2 * SECOND, "odd": 0}
