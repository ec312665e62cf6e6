"""What a supervised program hands to others, and what others hand to it, stays what it is without us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram


@pytest.mark.parametrize("most", [1, 100], ids=["as few references as can be", "as they are"])
def test_a_left_loop_leaves_the_generator_that_its_loader_holds(
    run_program: RunProgram, database: Path, most: int
) -> None:
    ended = run_program("left_loop", database, most)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "[1, 2, 3]\n[1, 2, 3]\n"
