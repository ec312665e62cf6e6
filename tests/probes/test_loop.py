"""What is added to the lag of an event loop, since a block began before it was noticed."""

from __future__ import annotations

import pytest

from umlaut_async.probes.loop import loop_lag


@pytest.mark.parametrize(
    ("interval", "seen", "expected"),
    [
        (0.05, 0.049, 0.049),
        (0.05, 0.5, 0.525),
        (1.0, 0.06, 0.09),
        (1.0, 3.0, 3.5),
    ],
)
def test_half_of_what_could_not_be_seen_is_added_to_a_block(interval: float, seen: float, expected: float) -> None:
    overdue = loop_lag("lag", interval).overdue
    assert overdue is not None
    assert overdue(round(seen * 1e9)) == pytest.approx(expected)
