"""Wait for the answer of a collector, which runs in another thread: in an event loop, or blocking a thread."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

from umlaut_async.errors import StoreError, StoreTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import Answer

_DEADLINE = 35.0
"""Seconds; the writer itself waits 30 for a locked database."""


async def wait_for_answer(request: Callable[[Answer], None]) -> None:
    """Place a request, and return when its answer has come.

    Args:
        request: Takes what is to be called, once and in any thread, with the error or None.

    Raises:
        StoreError: The answer is an error, or none came within the deadline.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[StoreError | None] = loop.create_future()

    def settle(error: StoreError | None) -> None:
        if not answered.done():
            answered.set_result(error)

    def answer(error: StoreError | None) -> None:
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:
            pass  # The loop was closed, so nobody waits any more.

    request(answer)
    await asyncio.wait([answered], timeout=_DEADLINE)
    if not answered.done():
        # Where the loop was blocked for all that time, the answer waits for its turn.
        await asyncio.sleep(0)
    if not answered.done():
        raise _no_answer()
    _raise(answered.result())


def block_for_answer(request: Callable[[Answer], None]) -> None:
    """Place a request, and return when its answer has come; the thread does nothing else meanwhile.

    Raises:
        StoreError: The answer is an error, or none came within the deadline.
    """
    answered = threading.Event()
    answers: list[StoreError | None] = []

    def answer(error: StoreError | None) -> None:
        answers.append(error)
        answered.set()

    request(answer)
    # Once the interpreter ends, its daemon threads stand still and answer nothing any more.
    if not answered.wait(0 if sys.is_finalizing() else _DEADLINE):
        raise _no_answer()
    _raise(answers[0])


def _no_answer() -> StoreTimeoutError:
    return StoreTimeoutError(f"no answer from the collector within {_DEADLINE:g} s; does the disk hang?")


def _raise(error: StoreError | None) -> None:
    if error is not None:
        # One error may be the answer to many: each of them gets a traceback of its own.
        raise type(error)(str(error)) from error
