"""The `with` blocks of a supervisor that have not been left, and which of them is left where one is.

An ordinary block is entered and left in one frame. What an `ExitStack` holds, or what one method enters and another
leaves, is entered in a frame that has returned since, and Python does not say which of these an exit means.
"""

from __future__ import annotations

import logging
import opcode
from typing import TYPE_CHECKING

from umlaut_async.calls import Call, checked_entries, current_call

if TYPE_CHECKING:
    from types import FrameType

_logger = logging.getLogger("umlaut_async")


class UnmeasuredBlock:
    """What a block yields that is not measured."""

    closed = False

    def track(self, num_entries: float) -> None:
        """Check the entries."""
        checked_entries(num_entries)

    def close(self) -> None:
        """End nothing."""
        self.closed = True


class Blocks:
    """The blocks of one supervisor. It is used from any thread and takes no lock.

    Args:
        name: The name of the supervisor, for the warning.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        # By the frame that entered them: a call belongs to the frame, however blocks of generators interleave.
        self._entered: dict[FrameType, list[Call | UnmeasuredBlock]] = {}
        self._warned = False

    def add(self, frame: FrameType, block: Call | UnmeasuredBlock) -> None:
        """Take note of a block that this frame enters."""
        self._entered.setdefault(frame, []).append(block)

    def take(self, frame: FrameType) -> Call | UnmeasuredBlock | None:
        """Return the block that this frame leaves, and forget it; None if there is none."""
        if entered := self._entered.get(frame):
            return self._forget(frame, entered[-1])
        while candidates := self._entered_elsewhere():
            # Another thread may have taken it in the meantime.
            if taken := self._forget(*self._meant(candidates, frame)):
                return taken
        return None

    def _forget(self, frame: FrameType, block: Call | UnmeasuredBlock) -> Call | UnmeasuredBlock | None:
        entered = self._entered.get(frame, [])
        try:
            entered.remove(block)
        except ValueError:
            return None
        if not entered:
            self._entered.pop(frame, None)
        return block

    def _entered_elsewhere(self) -> list[tuple[FrameType, Call | UnmeasuredBlock]]:
        """Return the blocks whose frames have returned, or else all, in the order in which they were entered."""
        blocks = [(frame, block) for frame, entered in list(self._entered.items()) for block in entered.copy()]
        return [(frame, block) for frame, block in blocks if _has_returned(frame)] or blocks

    def _meant(
        self, candidates: list[tuple[FrameType, Call | UnmeasuredBlock]], leaving: FrameType
    ) -> tuple[FrameType, Call | UnmeasuredBlock]:
        # A stack, or an object with a method to start and one to stop, leaves what it has entered itself.
        owner = _owner(leaving)
        owned = [candidate for candidate in candidates if owner is not None and _owner(candidate[0]) is owner]
        candidates = owned or candidates
        if len(candidates) == 1:
            return candidates[0]
        closed = [candidate for candidate in candidates if candidate[1].closed]
        if closed:
            return closed[-1]
        by_block = {id(block): (frame, block) for frame, block in candidates}
        found = []
        call = current_call()
        while call is not None:
            if id(call) in by_block:
                found.append(by_block[id(call)])
            call = call.parent
        if len(found) != 1 and not owned:
            self._warn()
        return found[0] if found else candidates[-1]

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "several blocks of supervisor %r are open and one was left elsewhere than it was entered, so the wrong"
                " one may have ended: use one BenchmarkSupervisor for each such block, or close() what `with` yields",
                self._name,
            )


def _owner(frame: FrameType) -> object:
    return frame.f_locals.get("self")


def _has_returned(frame: FrameType) -> bool:
    # A frame that runs, or waits for its next step, has its last instruction elsewhere.
    return frame.f_lasti >= 0 and opcode.opname[frame.f_code.co_code[frame.f_lasti]] in ("RETURN_VALUE", "RETURN_CONST")
