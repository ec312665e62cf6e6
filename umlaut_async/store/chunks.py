"""Samples packed by the block, and overviews that read only the headers of the blocks."""

from __future__ import annotations

import sys
from array import array
from itertools import islice
from operator import le
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.errors import ArgumentError, CorruptStoreError
from umlaut_async.summary import Summary, merge, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BLOCK", "Bucket", "Header", "Packed", "in_order", "overview", "pack", "unpack"]

BLOCK = 4096


class Packed(NamedTuple):
    """One block of samples: the columns of `Chunk` after `series_id`."""

    t0: int
    t1: int
    n: int
    min: float
    max: float
    sum: float
    first: float
    last: float
    times: bytes
    values: bytes


class Header(NamedTuple):
    """What a block says of itself without being unpacked."""

    t0: int
    t1: int
    summary: Summary


class Bucket(NamedTuple):
    """One step of an overview; steps without samples are left out."""

    t: int
    """The start of the step."""
    n: int
    min: float
    mean: float
    max: float


def in_order(times: array[int], values: array[float]) -> tuple[array[int], array[float]]:
    """Return samples in the order of time: some may have come late."""
    if all(map(le, times, islice(times, 1, None))):
        return times, values
    order = sorted(range(len(times)), key=times.__getitem__)
    return array("q", [times[at] for at in order]), array("d", [values[at] for at in order])


def pack(times: array[int], values: array[float]) -> Packed:
    """Pack at least one sample.

    Args:
        times: The times in ascending order, an array of type 'q'.
        values: The finite values, an array of type 'd' of the same length.
    """
    summary = summarise(values)
    if summary is None or len(times) != len(values):
        raise ArgumentError(f"{len(times)} times and {len(values)} values make no block")
    return Packed(times[0], times[-1], *summary, _little_endian(times), _little_endian(values))


def unpack(times: bytes, values: bytes) -> tuple[array[int], array[float]]:
    """Return the times and values of a block.

    Raises:
        CorruptStoreError: They do not belong together.
    """
    try:
        moments, numbers = array("q", times), array("d", values)
    except (TypeError, ValueError) as error:
        raise CorruptStoreError(f"a block of samples is damaged: {error}") from error
    if len(moments) != len(numbers):
        raise CorruptStoreError(f"a block of samples is damaged: {len(moments)} times and {len(numbers)} values")
    if sys.byteorder == "big":
        moments.byteswap()
        numbers.byteswap()
    return moments, numbers


def _little_endian(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def overview(
    headers: Iterable[Header],
    tail: Iterable[tuple[int, float]],
    buckets: int,
    start: int | None = None,
    end: int | None = None,
) -> list[Bucket]:
    """Return a series in equal steps of time, at most as many as asked for.

    A block counts as a whole, in the step of its middle. So extremes are never lost, counts add up, and a curve is as
    fine as its blocks where these are longer than a step.

    Args:
        headers: The blocks that touch the window.
        tail: Time and value of the samples that are in no block.
        buckets: The number of steps.
        start: The start of the window; that of the series by default.
        end: The end of the window, which belongs to it; that of the series by default.
    """
    if buckets < 1:
        raise ArgumentError(f"an overview of {buckets} buckets was asked for; ask for at least one")
    pieces = [*headers, *(Header(t, t, Summary(1, value, value, value, value, value)) for t, value in tail)]
    if not pieces:
        return []
    start = min(piece.t0 for piece in pieces) if start is None else start
    end = max(piece.t1 for piece in pieces) if end is None else end
    step = max(1, -(-(end - start + 1) // buckets))
    steps: dict[int, Summary | None] = {}
    for piece in sorted(pieces):
        middle = (max(piece.t0, start) + min(piece.t1, end)) // 2
        index = (middle - start) // step
        steps[index] = merge(steps.get(index), piece.summary)
    return [
        Bucket(start + index * step, summary.n, summary.min, summary.mean, summary.max)
        for index, summary in sorted(steps.items())
        if summary is not None
    ]
