"""Packed samples and overviews of them."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.errors import ArgumentError, CorruptStoreError
from umlaut_async.store.chunks import Header, overview, pack, unpack
from umlaut_async.summary import Summary

moments = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
samples = st.lists(st.tuples(moments, numbers), min_size=1, max_size=60).map(sorted)


def packed(rows: list[tuple[int, float]]) -> tuple[Header, bytes, bytes]:
    block = pack(array("q", [t for t, _ in rows]), array("d", [value for _, value in rows]))
    return Header(block.t0, block.t1, Summary(*block[2:8])), block.times, block.values


@given(samples)
def test_a_block_gives_back_its_samples_and_says_what_is_in_it(rows: list[tuple[int, float]]) -> None:
    header, times, values = packed(rows)
    assert list(zip(*unpack(times, values), strict=True)) == rows
    plain = [value for _, value in rows]
    assert (header.t0, header.t1) == (rows[0][0], rows[-1][0])
    assert header.summary == (len(plain), min(plain), max(plain), sum(plain), plain[0], plain[-1])


def test_the_bytes_are_the_same_on_every_machine() -> None:
    block = pack(array("q", [1, -2]), array("d", [1.0, -2.0]))
    assert block.times == bytes([1, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255])
    assert block.values == bytes([0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 192])


def test_what_makes_no_block_is_refused() -> None:
    for times, values in (([], []), ([1], []), ([1], [1.0, 2.0])):
        with pytest.raises(ArgumentError):
            pack(array("q", times), array("d", values))
    for first, second in ((b"\0" * 8, b"\0" * 16), (b"\0" * 7, b"\0" * 7)):
        with pytest.raises(CorruptStoreError):
            unpack(first, second)


@given(st.lists(samples, max_size=12), samples, st.integers(1, 50))
def test_an_overview_counts_every_sample_once_and_loses_no_extreme(
    blocks: list[list[tuple[int, float]]], tail: list[tuple[int, float]], buckets: int
) -> None:
    steps = overview([packed(block)[0] for block in blocks], tail, buckets)
    values = [value for rows in [*blocks, tail] for _, value in rows]
    assert 1 <= len(steps) <= buckets
    assert sum(step.n for step in steps) == len(values)
    assert min(step.min for step in steps) == min(values)
    assert max(step.max for step in steps) == max(values)
    total = math.fsum(step.mean * step.n for step in steps)
    assert math.isclose(total, math.fsum(values), rel_tol=1e-6, abs_tol=1e-6 * sum(map(abs, values)))
    times = [t for rows in [*blocks, tail] for t, _ in rows]
    starts = [step.t for step in steps]
    assert starts == sorted(set(starts))
    assert all(min(times) <= start <= max(times) for start in starts)


@given(st.lists(st.tuples(st.integers(0, 999), numbers), min_size=1).map(sorted), st.sampled_from([1, 3, 10, 1000]))
def test_samples_without_blocks_fall_into_the_step_of_their_time(rows: list[tuple[int, float]], buckets: int) -> None:
    steps = overview([], rows, buckets, start=0, end=999)
    width = math.ceil(1000 / buckets)
    for step in steps:
        inside = [value for t, value in rows if step.t <= t < step.t + width]
        assert (step.n, step.min, step.max) == (len(inside), min(inside), max(inside))
    assert sum(step.n for step in steps) == len(rows)


def test_nothing_gives_no_steps_and_no_steps_cannot_be_asked_for() -> None:
    assert overview([], [], 200) == []
    with pytest.raises(ArgumentError):
        overview([], [(1, 1.0)], 0)
