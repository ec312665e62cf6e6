"""The close of the event loops on which stages run: with it a program may be over, and nothing more may come.

A server that stops at a signal often raises the signal once more, when its loop is closed and nothing handles it any
more. So a run is stored, and ended as long as nothing follows, when the last of its loops is closed.
"""

from __future__ import annotations

import logging
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from umlaut_async import originals

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from umlaut_async.records import Answer

_logger = logging.getLogger("umlaut_async")

_PATIENCE = 1.0
"""How many seconds the close of a loop waits, at most, until everything is stored."""
_PAUSE = 2.0
"""How many seconds later another one may wait: a program may make one loop after the other without end."""


class Recorder(Protocol):
    """What records a run."""

    def pause(self, answer: Answer) -> None:
        """Store everything, and have the answer called; the run is over if nothing follows."""
        ...


_loops: weakref.WeakKeyDictionary[AbstractEventLoop, weakref.WeakSet[Recorder]] = weakref.WeakKeyDictionary()
"""The loops that are watched, each with the recorders of the runs whose stages have run on it."""
_waits_again = 0.0


def watch(loop: AbstractEventLoop, recorder: Recorder) -> None:
    """Let a run know of the close of a loop on which a stage of it runs."""
    recorders = _loops.get(loop)
    if recorders is None:
        recorders = _loops[loop] = weakref.WeakSet()
        try:
            loop.close = _closing(weakref.ref(loop), loop.close)  # type: ignore[method-assign]  # that of this loop
        except AttributeError:
            return  # A loop without attributes of its own: its close goes unnoticed.
    recorders.add(recorder)


def _closing(of: weakref.ref[AbstractEventLoop], close: Callable[[], None]) -> Callable[[], None]:
    # The method of the class, since a bound one would keep the loop alive.
    method = getattr(close, "__func__", None)

    def close_and_store() -> None:
        loop = of()
        assert loop is not None
        if method is None:
            close()
        else:
            method(loop)
        for recorder in list(_loops.pop(loop, ())):
            if not any(recorder in others for others in list(_loops.values())):
                try:
                    _pause(recorder)
                except Exception:
                    _logger.exception("a run could not be stored with its loop, which is a defect of umlaut_async")

    return close_and_store


def _pause(recorder: Recorder) -> None:
    global _waits_again
    stored = originals.event()
    recorder.pause(lambda error: stored.set())
    if time.monotonic() >= _waits_again:
        stored.wait(_PATIENCE)
        _waits_again = time.monotonic() + _PAUSE
