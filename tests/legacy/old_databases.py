"""Databases of the four old forms, made table by table as UMLAUT made them."""

from __future__ import annotations

import datetime
import json
import pickle
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMS = ("pickled", "json", "method name", "meta name")
START = datetime.datetime(2021, 5, 4, 12, 30, 15, 250_001)
RUN = "11111111-2222-3333-4444-555555555555"
SAMPLED = ("cpu", "memory", "power", "gpu", "gpumemory", "gpupower")
SAMPLES = [10.5, 11.25, 9.0]
TIMES = [START + datetime.timedelta(seconds=second, microseconds=second) for second in range(3)]
MATRIX = [[5, 1], [0, 7]]
NUMBERS = {"time": 1.5, "latency": 0.02, "throughput": 50.0, "energy": 123456.5, "gputime": 0.25, "timed tta": 9.75}
SEARCH = {
    "hyperparameters": ["alpha", "depth"],
    "df": {"alpha": [0.1, 0.2], "depth": [3, 4], "accuracy": [0.8, 0.9]},
    "target": "accuracy",
    "low_means_good": False,
}
UNITS = {
    "time": "sec", "latency": "Seconds/entry", "throughput": "Entries/second", "energy": "µJ", "gputime": "sec",
    "timed tta": "time for target accuracy", "cpu": "%", "memory": "MiB", "power": "Watt", "gpu": "%",
    "gpumemory": "MiB", "gpupower": "Watt", "loss": "loss", "tta": "accuracy",
}  # fmt: skip
TYPES = (*NUMBERS, *SAMPLED, "loss", "tta", "confusion-matrix", "hyperparameters")
"""All the types that UMLAUT had."""

_MEASUREMENT = {
    "id": "INTEGER NOT NULL",
    "uuid": "VARCHAR",
    "measurement_datetime": "DATETIME",
    "measurement_description": "VARCHAR NOT NULL",
    "measurement_type": "VARCHAR",
    "measurement_data": "JSON",
    "measurement_unit": "VARCHAR",
    "measured_method_name": "VARCHAR",
}
_METADATA = {
    "uuid": "VARCHAR NOT NULL",
    "meta_description": "VARCHAR",
    "meta_name": "VARCHAR",
    "meta_start_time": "DATETIME",
}


class Row(NamedTuple):
    """A measurement."""

    type: str
    data: object
    description: str = ""
    unit: str | None = None
    uuid: str | None = RUN
    time: object = START
    method: str = "train"


def samples(measurement_type: str = "memory") -> dict[str, Any]:
    """Return what a sampling metric of UMLAUT measured."""
    interval = {"interval": 1} if measurement_type == "power" else {}
    return {"timestamps": TIMES, "measurements": SAMPLES} | interval


def value(measurement_type: str) -> Any:
    """Return what UMLAUT measured, before it was serialised; arrays are numpy's."""
    if measurement_type in SAMPLED:
        return samples(measurement_type)
    if measurement_type == "confusion-matrix":
        return {"matrix": np.array(MATRIX), "labels": ["cat", "dog"]}
    if measurement_type == "hyperparameters":
        return SEARCH
    return NUMBERS.get(measurement_type, [0.5, 0.25, 0.125])


def stored(form: str, measurement_type: str, content: Any) -> Any:
    """Return a value as this form stores it."""
    if form == "pickled":
        return pickle.dumps(content, protocol=4)
    inner = measurement_type in (*SAMPLED, "energy", "confusion-matrix")
    return json.dumps(json.dumps(content, indent=4, default=str) if inner else content)


def rows(form: str) -> list[Row]:
    """Return a measurement of each type."""
    of_latency = "" if form == "pickled" else "\n (#Entries = 75)"
    return [
        Row(
            each,
            stored(form, each, value(each)),
            f"the {each}{of_latency if each == 'latency' else ''}",
            UNITS.get(each, ""),
            time=START + datetime.timedelta(minutes=number),
        )
        for number, each in enumerate(TYPES)
    ]


def make(path: Path, form: str, measurements: Iterable[Row], runs: Iterable[str] = (RUN,)) -> Path:
    """Make a database of one of the forms."""
    age = FORMS.index(form)
    measurement, metadata = dict(_MEASUREMENT), dict(_METADATA)
    if age < 3:
        del metadata["meta_name"]
    if age < 2:
        del measurement["measured_method_name"]
    if age == 0:
        measurement["measurement_data"] = "BLOB NOT NULL"
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns, key in (
            ("benchmark_metadata", metadata, "PRIMARY KEY (uuid)"),
            ("measurement", measurement, "PRIMARY KEY (id), FOREIGN KEY(uuid) REFERENCES benchmark_metadata (uuid)"),
        ):
            declared = ", \n\t".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"CREATE TABLE {table} (\n\t{declared}, \n\t{key}\n)")
        for uuid in runs:
            run = [uuid, f"about {uuid[:4]}", *(["pipeline.py"] if age == 3 else []), _text(START)]
            connection.execute(f"INSERT INTO benchmark_metadata VALUES ({', '.join('?' * len(run))})", run)
        for number, row in enumerate(measurements, 1):
            content = [number, row.uuid, _text(row.time), row.description, row.type, row.data, row.unit]
            content += [row.method] if age >= 2 else []
            connection.execute(f"INSERT INTO measurement VALUES ({', '.join('?' * len(content))})", content)
    return path


def _text(time: object) -> object:
    return time.isoformat(" ", "microseconds") if isinstance(time, datetime.datetime) else time
