"""A benchmark that nothing refers to any more records nothing any more: its runs end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from umlaut_async.collector.recorder import Recorder


class EndWhenDropped:
    """Ends the runs of the only object that holds this, when that is destroyed.

    The cyclic garbage collector first calls the finalizers of all that it has found, in any order. One may be the
    user's and still log a value. What is made by a finalizer is none of what was found, and goes when its holder is
    destroyed, which is after all of them, and only if none has kept it alive.

    Args:
        recorders: The runs, those that begin later included.
    """

    def __init__(self, recorders: Mapping[str, Recorder]) -> None:
        self._recorders = recorders

    def __del__(self) -> None:
        # Runs that go on are known elsewhere, so that they are not destroyed together with this.
        self._end = _End(list(self._recorders.values()))


class _End:
    __slots__ = ("_recorders",)

    def __init__(self, recorders: list[Recorder]) -> None:
        self._recorders = recorders

    def __del__(self) -> None:
        # It may run in any thread at any moment, so that it waits for nothing.
        for recorder in self._recorders:
            recorder.end_dropped()
