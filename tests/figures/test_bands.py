"""Columns of a figure hold the extremes of all samples in them, whether these are known each or by their blocks."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.analysis.figures.bands import Column, connected, fewer, reduce
from umlaut_async.store.chunks import Header
from umlaut_async.summary import summarise

FINITE = st.floats(-1e307, 1e307)
SAMPLES = st.lists(st.tuples(st.integers(0, 10_000), FINITE), min_size=1, max_size=200).map(
    lambda found: sorted(found, key=lambda sample: sample[0])
)


@given(SAMPLES, st.integers(1, 300))
def test_samples_are_all_within_the_band_of_their_column(samples: list[tuple[int, float]], count: int) -> None:
    times, values = zip(*samples, strict=True)
    found = reduce([], array("q", times), array("d", values), 0, 10_000, count)
    assert len(found) <= count
    assert [column.first for column in found] == sorted(column.first for column in found)
    assert sum(column.weight for column in found) == len(samples)
    for column in found:
        within = [value for time, value in samples if column.first <= time <= column.last]
        assert (column.low, column.high) == (min(within), max(within))
        assert column.low <= column.mean <= column.high
        assert column.mean == pytest.approx(math.fsum(value / len(within) for value in within), rel=1e-9, abs=1e300)


@given(SAMPLES, st.integers(1, 300), st.integers(1, 50))
def test_blocks_lend_their_extremes_to_each_column_they_touch(
    samples: list[tuple[int, float]], count: int, size: int
) -> None:
    headers = []
    for start in range(0, len(samples), size):
        block = samples[start : start + size]
        summary = summarise([value for _, value in block])
        assert summary is not None
        if math.isfinite(summary.sum):
            headers.append(Header(block[0][0], block[-1][0], summary))
    kept = [(time, value) for header in headers for time, value in samples if header.t0 <= time <= header.t1]
    found = reduce(headers, [], [], 0, 10_000, count)
    assert sum(column.weight for column in found) == pytest.approx(sum(header.summary.n for header in headers))
    for time, value in kept:
        assert any(column.first <= time <= column.last and column.low <= value <= column.high for column in found)


def test_columns_are_the_parts_of_the_window() -> None:
    found = reduce([], range(100), [float(value) for value in range(100)], 0, 99, 10)
    assert [(column.first, column.last, column.low, column.mean, column.high) for column in found] == [
        (10 * at, 10 * at + 9, 10.0 * at, 10 * at + 4.5, 10.0 * at + 9) for at in range(10)
    ]


def test_a_table_with_fewer_rows_keeps_the_peak() -> None:
    columns = [Column(at, at, 1, 0.0, 0.0, 9.0 if at == 37 else 0.0) for at in range(100)]
    found = fewer(columns, 7)
    assert len(found) <= 7
    assert [column.high for column in found if column.first <= 37 <= column.last] == [9.0]
    assert (found[0].first, found[-1].last, sum(column.weight for column in found)) == (0, 99, 100)
    assert fewer([], 7) == []


def test_a_line_ends_where_nothing_was_sampled() -> None:
    columns = [Column(at, at, 1, 0.0, 0.0, 0.0) for at in (0, 10, 20, 60, 70)]
    assert [[column.first for column in part] for part in connected(columns, 30)] == [[0, 10, 20], [60, 70]]
