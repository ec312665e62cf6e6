"""Which samples of a series are to be written: full blocks packed, the rest as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.store.chunks import BLOCK, Packed, pack

if TYPE_CHECKING:
    from umlaut_async.collector.series import Series


class TailWrite(NamedTuple):
    """What one transaction writes of one series."""

    tail: Tail
    blocks: list[Packed]
    rows: list[tuple[int, float]]
    """Time and value."""
    clear: bool
    """Whether the rows that are stored belong to the first of the blocks, and go."""


@dataclass
class Tail:
    """How much of a series' log is stored.

    The log begins with at most one packed block, which windows may still need; after it come the samples that are rows
    of the database, then those that are not stored.
    """

    series_id: int
    series: Series
    packed: int = 0
    """How many samples of the log are in a block."""
    stored: int = 0
    """How many are stored, packed or as rows."""

    def write(self) -> TailWrite | None:
        """Return what is not stored yet; nothing may be inserted before its end until `written` or `failed`."""
        self.series.take_edge_samples()
        log = self.series.log
        end = len(log.times)
        if self.stored == end:
            return None
        log.settled = end
        blocks = []
        start = self.packed
        while end - start >= BLOCK:
            blocks.append(pack(log.times[start : start + BLOCK], log.values[start : start + BLOCK]))
            start += BLOCK
        rows = list(zip(log.times[max(start, self.stored) :], log.values[max(start, self.stored) :], strict=True))
        return TailWrite(self, blocks, rows, bool(blocks) and self.stored > self.packed)

    def written(self, write: TailWrite) -> None:
        """Take note that a write was committed, and let go of blocks that no late record can need."""
        self.packed += BLOCK * len(write.blocks)
        self.stored = self.series.log.settled
        while self.packed > BLOCK:
            self.series.forget_block()
            self.packed -= BLOCK
            self.stored -= BLOCK

    def failed(self) -> None:
        """Take note that a write was not committed."""
        self.series.log.settled = self.stored

    def give_up(self) -> int:
        """Count as stored, without being so, what the database refuses; return how many samples that are."""
        lost = len(self.series.log.times) - self.stored
        self.stored = self.series.log.settled = len(self.series.log.times)
        return lost
