"""For how long a server is tried again that cannot be reached: once for all that is done together."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

__all__ = ["Patience", "in_transaction", "one_patience", "patiently"]

T = TypeVar("T")

in_transaction: ContextVar[bool] = ContextVar("umlaut_async_transaction", default=False)
"""Whether the current task is in a transaction, for whose end others may be waiting."""

PATIENCE = 20.0
"""Seconds; who waits for a flush waits 35, and the last try may take some, too."""


class Patience:
    """So many seconds for all waits together: each begins with a failure, and ends with the next success.

    Args:
        seconds: How many; with 0 nothing is tried again.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._failed: float | None = None

    def lasts(self) -> bool:
        """Return, after a failure, whether to try again."""
        moment = time.monotonic()
        if self._failed is None:
            self._failed = moment
        return moment < self._failed + self._left

    def succeeded(self) -> None:
        """Take note that what was tried is done."""
        if self._failed is not None:
            self._left -= time.monotonic() - self._failed
            self._failed = None


_of_tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], Patience] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def one_patience(seconds: float | None = None) -> Iterator[Patience]:
    """Let all that this task does inside, one after the other, have one patience: that of an outer block, if any.

    Args:
        seconds: How long it is, if not as long as usual.
    """
    task = asyncio.current_task()
    assert task is not None
    if (outer := _of_tasks.get(task)) is not None:
        yield outer
        return
    _of_tasks[task] = own = Patience(PATIENCE if seconds is None else seconds)
    try:
        yield own
    finally:
        del _of_tasks[task]


async def patiently(work: Coroutine[Any, Any, T]) -> T:
    """Do work with one patience."""
    with one_patience():
        return await work
