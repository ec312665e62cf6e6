"""What is known of a run when its verdict is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from umlaut_async.analysis.evidence import Blocks, Growth
    from umlaut_async.analysis.stages import StageRow

LARGE = 0.3
"""The part of a run from which on a stage matters to how it uses the machine."""


class Found(NamedTuple):
    """What a rule has found."""

    stage: str | None
    sentence: str


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    wall: int
    """The time of the run, in nanoseconds."""
    untracked: float
    stages: list[StageRow]
    """By number."""
    cores: float | None = None
    """How many the process could use."""
    blocks: Blocks | None = None
    growth: Growth | None = None

    def part(self, time: float) -> float:
        """Return what a time is of the run."""
        return time / self.wall if self.wall else 0.0

    def large(self) -> list[StageRow]:
        """Return the stages that were open for much of the run, the one that had most of it for itself first."""
        found = [stage for stage in self.stages if self.part(stage.budget.open) >= LARGE]
        return sorted(found, key=lambda stage: -stage.budget.share)

    def own(self) -> list[StageRow]:
        """Return those of them in which much of the run was, and not in what they call."""
        return [stage for stage in self.large() if self.part(stage.budget.share) >= LARGE]

    def innermost(self) -> list[StageRow]:
        """Return the stages, those first whose calls are short: an inner stage explains the outer one."""
        return sorted(self.stages, key=lambda stage: stage.time)
