"""Which samples of a series are to be written: full blocks packed, the rest as rows."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.store.chunks import BLOCK, Packed, in_order, pack

if TYPE_CHECKING:
    from umlaut_async.collector.series import Series


class TailWrite(NamedTuple):
    """What one transaction writes of one series."""

    tail: Tail
    end: int
    """How many of the pending samples are stored after it, packed or as rows."""
    blocks: list[Packed]
    rows: list[tuple[int, float]]
    """Time and value."""
    clear: bool
    """Whether the rows that are stored belong to the first of the blocks, and go."""


@dataclass
class Tail:
    """How much of the pending samples of a series is stored.

    The oldest of them are rows of the database; the others are not stored.
    """

    series_id: int
    series: Series
    epoch: int
    """When the clock of `now()` stood at 0, in nanoseconds since the epoch."""
    rows: int = 0
    """How many pending samples are rows."""

    def write(self) -> TailWrite | None:
        """Return what is not stored yet; it is claimed until `written` or `failed`."""
        self.series.take_edge_samples()
        log = self.series.log
        end = len(log.pending_times)
        if self.rows == end:
            return None
        log.claimed = end
        times = array("q", [t + self.epoch for t in log.pending_times])
        blocks = []
        start = 0
        while end - start >= BLOCK:
            blocks.append(pack(*in_order(times[start : start + BLOCK], log.pending_values[start : start + BLOCK])))
            start += BLOCK
        new = max(start, self.rows)
        rows = sorted(zip(times[new:], log.pending_values[new:], strict=True))
        return TailWrite(self, end, blocks, rows, bool(blocks) and self.rows > 0)

    def written(self, write: TailWrite) -> None:
        """Take note that a write was committed, and let go of what is in blocks."""
        packed = BLOCK * len(write.blocks)
        self.series.log.drop_pending(0, packed)
        self.rows = self.series.log.claimed = write.end - packed

    def failed(self) -> None:
        """Take note that a write was not committed."""
        self.series.log.claimed = self.rows

    def give_up(self) -> int:
        """Let go of what the database refuses; return how many samples that are."""
        log = self.series.log
        lost = len(log.pending_times) - self.rows
        log.drop_pending(self.rows, len(log.pending_times))
        log.claimed = self.rows
        return lost
