"""Wait for the answer of a collector, which runs elsewhere: in asyncio, in trio, or blocking a thread."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from umlaut_async import originals
from umlaut_async.errors import StoreError, StoreTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import Answer

_DEADLINE = 35.0
"""Seconds; the writer itself waits 30 for a locked database."""
_BRIEFLY = 1.0
"""The seconds for which whoever comes next waits while a request is unanswered whose deadline has passed."""
SILENT = "does the disk hang, or is the process of the collector stopped?"


class Run(Protocol):
    """Whose collector is to answer."""

    @property
    def uuid(self) -> str:
        """The key of the run."""
        ...


class _Request:
    """One request and its answer.

    Args:
        answered: Called when the answer has come, in any thread.
    """

    def __init__(self, answered: Callable[[], object]) -> None:
        self._answered = answered
        self._answers: list[StoreError | None] = []

    def answer(self, error: StoreError | None) -> None:
        """Take the answer."""
        self._answers.append(error)
        _overdue.pop(self, None)
        self._answered()

    def finish(self, run: Run, waited: float) -> None:
        """Raise the error that is the answer, or that there is none."""
        if not self._answers:
            _overdue[self] = run.uuid
            if self._answers:  # It came between these lines.
                _overdue.pop(self, None)
            raise StoreTimeoutError(f"no answer from the collector within {waited:g} s; {SILENT}")
        if (error := self._answers[0]) is not None:
            # One error may be the answer to many: each of them gets a traceback of its own.
            raise type(error)(str(error)) from error


_overdue: dict[_Request, str] = {}
"""The runs of the requests whose deadline has passed and whose answer may still come."""
os.register_at_fork(after_in_child=_overdue.clear)


def _patience(run: Run) -> float:
    """Return for how many seconds an answer is waited for: one silence of a collector costs one deadline."""
    return min(_BRIEFLY, _DEADLINE) if run.uuid in list(_overdue.values()) else _DEADLINE


async def wait_for_answer(request: Callable[[Answer], None], run: Run) -> None:
    """Place a request, and return when its answer has come.

    Args:
        request: Takes what is to be called, once and in any thread, with the error or None.
        run: Whose collector is to answer, once the request is placed.

    Raises:
        StoreError: The answer is an error, or none came within the deadline.
    """
    if (trio := _trio_here()) is not None:
        await _wait_in_trio(trio, request, run)
        return
    loop = asyncio.get_running_loop()
    come: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not come.done():
            come.set_result(None)

    def answered() -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # The loop was closed, so nobody waits any more.

    placed = _Request(answered)
    request(placed.answer)
    waited = _patience(run)
    await asyncio.wait([come], timeout=waited)
    placed.finish(run, waited)


def _trio_here() -> Any:
    """Return the module trio where it runs the present task, be it as a guest of asyncio; else None."""
    loop = asyncio._get_running_loop()
    if loop is not None and asyncio.current_task(loop) is not None:
        return None  # Asyncio itself may run on trio.
    trio: Any = sys.modules.get("trio")
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):
        return None
    return trio


async def _wait_in_trio(trio: Any, request: Callable[[Answer], None], run: Run) -> None:
    token, come = trio.lowlevel.current_trio_token(), trio.Event()

    def answered() -> None:
        try:
            token.run_sync_soon(come.set)
        except trio.RunFinishedError:
            pass  # Nobody waits any more.

    placed = _Request(answered)
    request(placed.answer)
    waited = _patience(run)
    with trio.move_on_after(waited):
        await come.wait()
    placed.finish(run, waited)


def block_for_answer(request: Callable[[Answer], None], run: Run) -> None:
    """Place a request, and return when its answer has come; the thread does nothing else meanwhile.

    Raises:
        StoreError: The answer is an error, or none came within the deadline.
    """
    come = originals.event()
    placed = _Request(come.set)
    request(placed.answer)
    waited = _patience(run)
    # Once the interpreter ends, its daemon threads stand still and answer nothing any more.
    come.wait(0 if sys.is_finalizing() else waited)
    placed.finish(run, waited)
