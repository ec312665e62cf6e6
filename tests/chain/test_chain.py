"""Every stored number equals a slow reading of the same script, whatever the script."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.chain.play import play, scripted
from tests.chain.reading import read
from tests.chain.script import Answer, Begin, End, Event, Fork, Script, Tick, scripts
from umlaut_async.store.chunks import BLOCK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chain.stored import Stored, Value


def check(found: Stored, expected: Stored, block: int) -> None:
    """Compare what is stored with what should be."""
    assert found.spans == expected.spans
    more = {where for where in found.results.keys() - expected.results.keys() if found.results[where].is_estimated}
    assert not more or block < BLOCK
    # Of another process, all samples may come at once, and be forgotten before it is known whose they are.
    fewer = {where for where in expected.results.keys() - found.results.keys() if where[0]}
    assert all(expected.results[where].samples >= 2 * block for where in fewer)
    assert found.results.keys() - more == expected.results.keys() - fewer
    for where in expected.results.keys() - fewer:
        check_result(where, found.results[where], expected.results[where], block)
    assert found.values == expected.values
    assert found.samples.keys() == expected.samples.keys()
    for series, samples in expected.samples.items():
        assert [t for t, _ in found.samples[series]] == [t for t, _ in samples]
        assert [value for _, value in found.samples[series]] == pytest.approx([value for _, value in samples])
    assert found.processes == expected.processes
    # A call that has got samples from after its end is not said to have none.
    assert found.events == expected.events or (more and found.events < expected.events) or fewer
    assert found.run == expected.run
    assert found.recorded == expected.recorded
    assert found.answered == expected.answered


def check_script(script: Script, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a script, and compare what is stored after each round."""
    found = asyncio.run(play(script, database, monkeypatch))
    expected = read(script)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        check(one, other, script.block)


def check_result(where: tuple[int, int, str], found: Value, expected: Value, block: int) -> None:
    """Compare a result."""
    if found.is_estimated and expected.samples >= 2 * block:
        return  # Samples had to be forgotten before it was known that they were its own, or not.
    assert found.provenance == expected.provenance, where
    assert math.isclose(found.value, expected.value, rel_tol=1e-12), where
    assert (found.data is None) == (expected.data is None), where
    if found.data is not None and expected.data is not None:
        assert found.data == pytest.approx(expected.data, rel=1e-12), where


MANY = (0, 0, 1, 3, 1, 0)
"""How long samples take that are just enough to be forgotten, in blocks of 4."""


@pytest.mark.parametrize(
    "events",
    [
        (Begin(0, 0, 1), *[Tick(0, 0, took) for took in (0, *MANY, *MANY, 1, 3)]),
        (
            *(Fork(0, 0), Begin(1, 0, 5), Answer(1, 4), *[Tick(1, 4, took) for took in MANY]),
            *(End(1, 0, "error"), Answer(1, 4), Begin(1, 0, 6)),
        ),
    ],
    ids=["the last edge is one too many", "a first edge failed"],
)
def test_a_script_that_was_wrong_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: tuple[Event, ...]
) -> None:
    with scripted(monkeypatch):
        check_script(Script(events, 4), tmp_path / "runs.db", monkeypatch)


def test_every_stored_number_is_that_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool) -> None:
    numbers = itertools.count()

    @settings(
        max_examples=3000 if soak else 80,
        deadline=None,
        derandomize=not soak,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scripts)
    def holds(script: Script) -> None:
        database = tmp_path / f"{next(numbers)}.db"
        check_script(script, database, monkeypatch)

    with scripted(monkeypatch):
        holds()
