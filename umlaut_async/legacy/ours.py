"""The results of our databases as UMLAUT would have stored them: what the views ask of Python."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from umlaut_async.legacy.times import naive
from umlaut_async.store import chunks, values

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MEASUREMENTS", "RUNS", "UNAVAILABLE", "SampleBlocks", "SampleRows", "measurement_time", "shown"]

# A sample of these is the reading of one moment, and so are the readings at the edges of a call.
_GAUGES = frozenset({"memory", "gpu", "gpumemory", "gpupower"})
# A sample of these is the mean since the sample before it.
_RATES = frozenset({"cpu", "power"})

_ZONE = "(CASE WHEN json_valid(run.environment) THEN json_extract(run.environment, '$.timezone') END) IS 'unknown'"
# The window of a call; these name no column of the samples, so that their index finds them.
_FROM = f"ifnull(span.started, {-(1 << 63)})"
_TO = f"ifnull(span.started + span.duration, {(1 << 63) - 1})"

UNAVAILABLE = "(result.provenance = 'unavailable' AND result.value IS NULL)"
"""The results that only say that a stage lacks a metric, of which UMLAUT had no row."""

MEASUREMENTS = f"""
SELECT result.id AS id,
    process.run_uuid AS uuid,
    umlaut_time(result.recorded, {_ZONE}) AS measurement_datetime,
    result.description AS measurement_description,
    result.type AS measurement_type,
    umlaut_shown(
        result.id, result.type, result.value, result.data, span.started, span.started + span.duration, {_ZONE},
        (SELECT interval FROM main.series WHERE series.id = result.series_id),
        (SELECT umlaut_blocks(chunk.times, chunk."values", {_FROM}, {_TO}) FROM main.chunk
            WHERE chunk.series_id = result.series_id AND chunk.t1 >= {_FROM} AND chunk.t0 <= {_TO}),
        (SELECT umlaut_rows(sample.t, sample.value) FROM main.sample WHERE sample.series_id = result.series_id
            AND sample.t BETWEEN {_FROM} AND {_TO}),
        {{complete:d}}
    ) AS measurement_data,
    result.unit AS measurement_unit,
    result.method AS measured_method_name
FROM main.result JOIN main.process ON process.id = result.process_id JOIN main.run ON run.uuid = process.run_uuid
LEFT JOIN main.span ON span.id = result.span
WHERE NOT {UNAVAILABLE}
"""
"""The results as measurements. `complete` is 1 where samples are to come with all that is known of the call."""

RUNS = f"""
SELECT run.uuid AS uuid,
    run.description AS meta_description,
    run.name AS meta_name,
    umlaut_time(run.started, {_ZONE}) AS meta_start_time
FROM main.run
"""


class _Call(NamedTuple):
    """What is known of the call of a sampled result."""

    type: str
    value: float | None
    data: Any
    started: int | None
    ended: int | None
    interval: int | None


class SampleRows:
    """Gather samples in SQL, as bytes: first all times, then all values."""

    def __init__(self) -> None:
        self._times = array("q")
        self._values = array("d")

    def step(self, t: int, value: float) -> None:
        """Add a sample."""
        self._times.append(t)
        self._values.append(value)

    def finalize(self) -> bytes:
        """Return what was gathered."""
        return self._times.tobytes() + self._values.tobytes()


class SampleBlocks:
    """Gather packed samples in SQL, in the same way."""

    def __init__(self) -> None:
        self._times = array("q")
        self._values = array("d")

    def step(self, times: bytes, packed: bytes, first: int, last: int) -> None:
        """Add what lies between two moments in a block, whose times are in order."""
        moments, numbers = chunks.unpack(times, packed)
        window = slice(bisect_left(moments, first), bisect_right(moments, last))
        self._times += moments[window]
        self._values += numbers[window]

    def finalize(self) -> bytes:
        """Return what was gathered."""
        return self._times.tobytes() + self._values.tobytes()


def measurement_time(nanoseconds: int, zone_unknown: int) -> str:
    """Return a time as UMLAUT wrote it into its tables."""
    return naive(nanoseconds, bool(zone_unknown)).isoformat(" ", "microseconds")


def shown(
    measurement_type: str,
    value: float | None,
    data: str | None,
    started: int | None,
    ended: int | None,
    zone_unknown: int,
    interval: int | None,
    blocks: bytes | None,
    rows: bytes | None,
    complete: int,
) -> Any:
    """Return the value that UMLAUT would have given to a result.

    Args:
        measurement_type: Its type.
        value: Its number.
        data: Its JSON text.
        started: The start of its call, in nanoseconds since the epoch.
        ended: The end of its call.
        zone_unknown: Whether times of its run are without a time zone.
        interval: The nanoseconds between two samples of its series; None where it has none.
        blocks: What `SampleBlocks` gathered within the call; None if there was nothing.
        rows: What `SampleRows` gathered within the call; likewise.
        complete: Whether the number and the data come along with the samples.
    """
    content = None if data is None else values.decode(data)
    call = _Call(measurement_type, value, content, started, ended, interval)
    samples = [] if interval is None else list(_with_edges(call, _samples(blocks or b"", rows or b"")))
    if samples:
        return _sampled(call, samples, bool(zone_unknown), bool(complete))
    if measurement_type == "hyperparameters":
        return _hyperparameters(content)
    return content if value is None else value


def _samples(*gathered: bytes) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for part in gathered:
        half = len(part) // 2
        found += zip(array("q", part[:half]), array("d", part[half:]), strict=True)
    found.sort(key=lambda sample: sample[0])
    return found


def _with_edges(call: _Call, samples: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    """Add the readings at the edges of the call, which are not among the samples if others were taken just before."""
    if call.started is None or call.ended is None or not isinstance(call.data, dict):
        return samples
    first, last = call.data.get("first"), call.data.get("last")
    if not isinstance(first, float | int) or not isinstance(last, float | int):
        return samples
    if call.type in _GAUGES:
        if call.data.get("n") != 1 and not (samples and samples[0][0] == call.started):
            samples = [(call.started, first), *samples]
        if not (samples and samples[-1][0] == call.ended):
            samples = [*samples, (call.ended, last)]
    elif call.type in _RATES:
        # The first ones in the window may cover time before it; a shorter call has its own mean only.
        count = call.data.get("n")
        if not samples or samples[-1][1] != last or not isinstance(count, int) or count < 1:
            return [(call.ended, last)]
        return samples[-count:]
    return samples


def _sampled(call: _Call, samples: list[tuple[int, float]], zone_unknown: bool, complete: bool) -> str:
    content: dict[str, Any] = {
        "timestamps": [measurement_time(t, zone_unknown) for t, _ in samples],
        "measurements": [value for _, value in samples],
    }
    if call.interval is not None and (complete or call.type == "power"):
        seconds = call.interval / 1e9
        content["interval"] = int(seconds) if seconds.is_integer() else seconds
    if complete:
        content |= {"value": call.value, "summary": values.plain(call.data)}
    return json.dumps(content, indent=4)


def _hyperparameters(content: Any) -> Any:
    """Return a search with its measurements by column, as UMLAUT had it."""
    if not isinstance(content, dict) or not isinstance(measured := content.get("measurements"), list):
        return content
    if not all(isinstance(row, dict) for row in measured):
        return content
    names = dict.fromkeys([*content.get("hyperparameters", []), content.get("target", "")])
    names |= dict.fromkeys(name for row in measured for name in row)
    rest = {name: item for name, item in content.items() if name != "measurements"}
    return {**rest, "df": {name: [row.get(name) for row in measured] for name in names}}
