"""The peak of memory is that of the call: none is lost, and none of what was allocated before or after it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

HELD = 100
"""What each call holds, in MiB."""


@pytest.mark.parametrize(("collector", "whose"), [("thread", "own"), ("process", "own"), ("thread", "worker")])
def test_calls_longer_than_the_flush_interval_keep_their_peak(
    run_program: RunProgram, database: Path, collector: str, whose: str
) -> None:
    ended = run_program("memory_peaks", database, collector, whose)
    assert (ended.returncode, ended.stderr) == (0, "")
    peaks = [row["value"] for row in stored.results(database, "stage", "memory")]
    assert len(peaks) == 20
    assert min(peaks) > HELD
    assert max(peaks) - min(peaks) < HELD / 2


@pytest.mark.parametrize("collector", ["thread", "process"])
@pytest.mark.parametrize("whose", ["own", "tree"])
def test_what_others_have_allocated_before_or_after_does_not_count(
    run_program: RunProgram, database: Path, collector: str, whose: str
) -> None:
    ended = run_program("memory_after_call", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    held = list(map(float, ended.stdout.split()))
    found = stored.results(database, "nothing", "memory", whose)
    assert len(found) == len(held)
    for row, before in zip(found, held, strict=True):
        assert row["value"] is None or row["value"] < before + 10, (found, held)


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_a_peak_between_two_samples_is_known_where_it_is_the_highest_so_far(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    ended = run_program("short_peak", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")
    highest = list(map(float, ended.stdout.split()))
    first, second = stored.results(database, "stage", "memory")
    assert first["value"] == pytest.approx(highest[0], abs=2)
    assert first["data"]["peak"] == "exact"
    # The mark of the kernel is that of the first, so that of the second is only what was seen of it.
    assert second["value"] < highest[1] - 100
    assert second["data"]["peak"] == "highest sample"
