"""I/O is that of the call: what was deleted before it was written counts not, nor does what the collector writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import RunProgram

SIZE = 8 << 20
MIB = 1 << 20


@pytest.mark.parametrize("collector", ["thread", "process"])
def test_the_io_of_a_call_is_what_it_has_brought_to_disk(
    run_program: RunProgram, database: Path, collector: str
) -> None:
    ended = run_program("io_of_own", database, collector)
    assert (ended.returncode, ended.stderr) == (0, "")

    def result(stage: str, whose: str) -> tuple[int, float, float]:
        found = stored.results(database, stage, "io", whose)
        assert len(found) == 1, stored.events(database)
        row = found[0]
        data = row["data"]
        return data["written"], row["value"], row["duration"] / 1e9

    for whose in ("own", "tree"):
        assert result("nothing", whose)[0] == 0
        written, rate, seconds = result("kept", whose)
        assert written == pytest.approx(SIZE, rel=0.02)
        assert rate == pytest.approx(written / MIB / seconds, rel=0.02)
        assert result("deleted", whose)[0] == pytest.approx(int(ended.stdout), abs=SIZE / 100)
        # Linux credits a process with what its children have written, once it has waited for them.
        written, rate, seconds = result("by_child", whose)
        # The kernel may still be bringing some of it to the disk.
        assert SIZE / 2 < written < SIZE * 1.02
        assert rate == pytest.approx(written / MIB / seconds, rel=0.02)
