"""Daemon threads that know nothing of the thread that started them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from umlaut_async import gc_guard, originals
from umlaut_async.probes import own_threads
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_logger = logging.getLogger("umlaut_async")


def start_daemon(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread in an empty context, so that no call of the user's is current in it; it is not measured."""
    work = contextvars.Context().run
    thread = threading.Thread(target=work, args=(own_threads.run, target), name=name, daemon=True)
    gc_guard.expect()
    try:
        originals.start(thread)
    except BaseException:
        gc_guard.not_started()
        raise
    return thread


def settle(answer: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    """Answer whoever still waits, on the loop of the future."""
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


async def in_thread(function: Callable[[], T]) -> T:
    """Return what a function returns in a thread of its own.

    An executor would do, but takes no work any more once the interpreter ends.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        value, error = None, None
        try:
            value = function()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, answer, value, error)
        except RuntimeError:
            pass  # Nobody waits any more.

    start_daemon(work, "umlaut-helper")
    return await answer


def abandon_connections() -> None:
    """Close the connections to files that this thread has made and could not close, as its loop has failed."""
    if (driver := sys.modules.get("umlaut_async.store.driver")) is not None:
        driver.abandon()


def end_with(*steps: Callable[[], object]) -> None:
    """Do the last steps of a thread in their order, each of them whatever has become of the others."""
    for step in steps:
        try:
            step()
        except BaseException:
            _logger.exception("a thread could not end as it should, which is a defect of umlaut_async")


class ThreadNames(dict[int, str]):
    """The names of the threads of this process, by their identifiers: looked up when the first of them is wanted."""

    def forget(self) -> None:
        """Look anew who the threads are: their identifiers are used again, so a name soon belongs to another one."""
        self.clear()

    def __missing__(self, identifier: int) -> str:
        if not self:
            self.update((thread.ident or 0, storable(thread.name)) for thread in threading.enumerate() if thread.name)
        return self.setdefault(identifier, f"thread {identifier}")
