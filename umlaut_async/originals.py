"""What blocks a thread, as Python has it: gevent puts others in their places, which switch among its greenlets.

The threads of this package are to be threads, with event loops of their own. As greenlets they would run, and block, in
the thread of the user's program, where asyncio could then run no loop of the user's.
"""

from __future__ import annotations

import _thread
import asyncio
import queue
import selectors
import socket
import sys
import threading
from typing import Any


def original(module: Any, name: str) -> Any:
    """Return what a module had under this name before gevent, if it is there, put something else in its place."""
    gevent: Any = sys.modules.get("gevent.monkey")
    # While gevent is being imported it has replaced nothing yet.
    find = getattr(gevent, "get_original", None)
    return getattr(module, name) if find is None else find(module.__name__, name)


def are_replaced() -> bool:
    """Return whether a new thread would be no thread."""
    return original(_thread, "start_new_thread") is not _thread.start_new_thread


def get_ident() -> int:
    """Return the identifier of this thread."""
    return int(original(threading, "get_ident")())


def lock() -> threading.Lock:
    """Return a new lock."""
    return original(threading, "Lock")()  # type: ignore[no-any-return]


def simple_queue() -> queue.SimpleQueue[Any]:
    """Return a new queue."""
    return original(queue, "SimpleQueue")()  # type: ignore[no-any-return]


def start(thread: threading.Thread) -> None:
    """Start a thread."""
    if are_replaced():
        original(_thread, "start_new_thread")(thread.run, ())
    else:
        thread.start()


def event() -> threading.Event:
    """Return a new event, to wait for in one thread what another one does."""
    return _Event() if are_replaced() else threading.Event()


def new_socket(*arguments: Any, **options: Any) -> socket.socket:
    """Return a new socket."""
    return original(socket, "socket")(*arguments, **options)  # type: ignore[no-any-return]


def socket_pair(family: int, kind: int) -> tuple[socket.socket, socket.socket]:
    """Return two sockets that are connected with each other."""
    one, other = socket.socketpair(family, kind)
    if not are_replaced():
        return one, other
    return new_socket(family, kind, 0, one.detach()), new_socket(family, kind, 0, other.detach())


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, whatever the policy of the user is."""
    return _Loop(original(selectors, "DefaultSelector")()) if are_replaced() else asyncio.SelectorEventLoop()


class _Event(threading.Event):
    """An event whose lock is none of gevent's."""

    def __init__(self) -> None:
        self._closed = lock()
        self._closed.acquire()
        self._done = False

    def is_set(self) -> bool:
        return self._done

    def set(self) -> None:
        if not self._done:
            self._done = True
            self._closed.release()

    def wait(self, timeout: float | None = None) -> bool:
        # Whoever passes lets the next one pass.
        if not self._done and self._closed.acquire(timeout=-1 if timeout is None else max(0, timeout)):
            self._closed.release()
        return self._done


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that is woken by sockets of Python's own, which any thread may use and close."""

    def _make_self_pipe(self) -> None:
        self._ssock, self._csock = socket_pair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ssock.setblocking(False)
        self._csock.setblocking(False)
        self._internal_fds: int = getattr(self, "_internal_fds", 0) + 1
        self._add_reader(self._ssock.fileno(), self._read_from_self)  # type: ignore[attr-defined]
