"""Databases with measurements of every type: one of ours, and those that UMLAUT wrote in its first and last form."""

from __future__ import annotations

import json
import pickle
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from umlaut_async import (
    Benchmark,
    BenchmarkSupervisor,
    ConfusionMatrixTracker,
    CPUMetric,
    HyperparameterTracker,
    IOMetric,
    LatencyMetric,
    LossTracker,
    MemoryMetric,
    Metric,
    ThroughputMetric,
    TimedTTATracker,
    TimeMetric,
    TTATracker,
)

if TYPE_CHECKING:
    from pathlib import Path

SAMPLED = {"cpu": "%", "memory": "MiB", "power": "Watt", "gpu": "%", "gpumemory": "MiB", "gpupower": "Watt"}
NUMBERS = {
    "time": "sec", "latency": "Seconds/entry", "throughput": "Entries/second", "energy": "µJ", "gputime": "sec",
    "timed tta": "time for target accuracy",
}  # fmt: skip
TRACKED = {"loss": "loss", "tta": "accuracy", "hyperparameters": "", "confusion-matrix": ""}
SIXTEEN = {**SAMPLED, **NUMBERS, **TRACKED}

OLD_UUID = "0b5e8a52-4f6c-4a70-9a53-2d9d6d0d5a11"
OLD_START = datetime(2024, 11, 5, 9, 30, 0, 250_000)
MATRIX = [[8, 1, 0], [2, 7, 1], [0, 3, 9]]
SEARCH = {"depth": [1, 2, 3], "solver": ["adam", "sgd", "adam"], "error": [0.5, 0.2, 0.9]}


def _gauge(name: str) -> Metric:
    """Return a metric that stands for a sensor which this machine need not have."""

    class Gauge(Metric):
        measure_type = name
        unit = SAMPLED[name]

        def read(self) -> float:
            return 40 + time.monotonic() % 1

    return Gauge(f"{name} of training", 0.01)


async def write_ours(path: Path) -> str:
    """Make a database by the asynchronous API, and return the uuid of its run."""
    async with Benchmark(path, "a pipeline", name="pipeline.py") as bm:
        latency, throughput = LatencyMetric("latency of training"), ThroughputMetric("throughput of training")
        metrics: list[Metric] = [
            TimeMetric("time of training"), latency, throughput,
            CPUMetric("cpu of training", 0.01), MemoryMetric("memory of training", 0.01),
            IOMetric("io of training", 0.01),
            *(_gauge(name) for name in ("power", "gpu", "gpumemory", "gpupower")),
        ]  # fmt: skip

        @BenchmarkSupervisor(metrics, bm)
        def _train() -> None:
            time.sleep(0.04)
            latency.track(20)
            throughput.track(20)

        _train()
        _train()
        for name, value in (("energy", 120_000.0), ("gputime", 1.5)):
            bm.log(f"{name} of training", name, value, NUMBERS[name], "_train")
        LossTracker(bm).track([0.9, 0.5, 0.3], "loss of training")
        LossTracker(bm).track([0.8, 0.4], "loss of training")
        TTATracker(bm).track([0.2, 0.6, 0.4, 0.8], "accuracy of training")
        TimedTTATracker(bm, 0.5).track(0.6, "reached")
        TimedTTATracker(bm, 0.99).track(0.6, "not reached")
        ConfusionMatrixTracker(bm).track(MATRIX, ["cat", "dog", "owl"], "the test set")
        with HyperparameterTracker(bm, "a search", ["depth", "solver"], "error") as search:
            for depth, solver, error in zip(*SEARCH.values(), strict=True):
                search.track({"depth": depth, "solver": solver, "error": error})
        bm.log("a count", "mine", 12, "things")
        bm.log("a text", "note", "all is well")
        bm.log("some numbers", "series", [1, 4, 9])
        bm.log("a table", "table", [[1, 2, 3], [4, 5, 6]])
        bm.log("a mapping", "settings", {"a": {"b": 1}})
        return bm.uuid


def old_data() -> dict[str, Any]:
    """Return what UMLAUT measured of each type, as Python values."""
    moments = [OLD_START + timedelta(seconds=second) for second in range(4)]
    values = [10.0, 30.5, 20.0, 25.0]
    samples: dict[str, dict[str, Any]] = {name: {"timestamps": moments, "measurements": values} for name in SAMPLED}
    samples["power"]["interval"] = 1
    numbers = dict(zip(NUMBERS, (2.5, 0.125, 8.0, 120_000.0, 1.5, 42.0), strict=True))
    return {
        **samples,
        **numbers,
        "loss": [0.9, 0.5, 0.3],
        "tta": [0.2, 0.6, 0.4, 0.8],
        "hyperparameters": {
            "hyperparameters": ["depth", "solver"], "df": SEARCH, "target": "error", "low_means_good": True,
        },
        "confusion-matrix": {"matrix": MATRIX, "labels": ["cat", "dog", "owl"]},
    }  # fmt: skip


def _text(matrix: list[list[int]]) -> str:
    """Return what numpy would write."""
    return "[" + "\n ".join(f"[{' '.join(map(str, row))}]" for row in matrix) + "]"


def write_last_form(path: Path) -> None:
    """Make a database as UMLAUT did since November 2024: JSON, with names of methods and runs."""
    stored: dict[str, Any] = old_data()
    for name in (*SAMPLED, "energy"):
        stored[name] = json.dumps(stored[name], indent=4, default=str)
    stored["confusion-matrix"] = json.dumps({"matrix": _text(MATRIX), "labels": ["cat", "dog", "owl"]})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE benchmark_metadata (uuid VARCHAR NOT NULL PRIMARY KEY, meta_description VARCHAR,"
            " meta_name VARCHAR, meta_start_time DATETIME)"
        )
        connection.execute(
            "CREATE TABLE measurement (id INTEGER NOT NULL PRIMARY KEY, uuid VARCHAR, measurement_datetime DATETIME,"
            " measurement_description VARCHAR NOT NULL, measurement_type VARCHAR, measurement_data JSON,"
            " measurement_unit VARCHAR, measured_method_name VARCHAR,"
            " FOREIGN KEY(uuid) REFERENCES benchmark_metadata (uuid))"
        )
        connection.execute(
            "INSERT INTO benchmark_metadata VALUES (?, ?, ?, ?)", (OLD_UUID, "old runs", "old.py", str(OLD_START))
        )
        for call in range(2):
            for name, value in stored.items():
                added = "\n (#Entries = 20)" if name == "latency" else ""
                connection.execute(
                    "INSERT INTO measurement (uuid, measurement_datetime, measurement_description, measurement_type,"
                    " measurement_data, measurement_unit, measured_method_name) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        OLD_UUID, str(OLD_START + timedelta(minutes=call, microseconds=1)),
                        f"{name} of training{added}", name, json.dumps(value), SIXTEEN[name], "_train",
                    ),
                )  # fmt: skip


def write_first_form(path: Path) -> None:
    """Make a database as UMLAUT did in 2021: pickles, no names of methods and runs."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE benchmark_metadata (uuid VARCHAR NOT NULL PRIMARY KEY, meta_description VARCHAR,"
            " meta_start_time DATETIME)"
        )
        connection.execute(
            "CREATE TABLE measurement (id INTEGER NOT NULL PRIMARY KEY, uuid VARCHAR, measurement_datetime DATETIME,"
            " measurement_description VARCHAR NOT NULL, measurement_type VARCHAR, measurement_data BLOB NOT NULL,"
            " measurement_unit VARCHAR, FOREIGN KEY(uuid) REFERENCES benchmark_metadata (uuid))"
        )
        connection.execute("INSERT INTO benchmark_metadata VALUES (?, ?, ?)", (OLD_UUID, "old runs", str(OLD_START)))
        connection.executemany(
            "INSERT INTO measurement (uuid, measurement_datetime, measurement_description, measurement_type,"
            " measurement_data, measurement_unit) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (OLD_UUID, str(OLD_START), f"{name} of training", name, pickle.dumps(value), SIXTEEN[name])
                for name, value in old_data().items()
            ],
        )
