"""No finalizer of the user's objects runs in a thread of this package.

Python looks for garbage cycles in whichever thread allocates, and runs the finalizers of what it finds there. Some may
only run in the thread that made the object, as those of Tk; some join a process that waits for this package, as those
of PyTorch's loaders. So a search that Python begins in a thread of ours finds nothing, and a thread of the user makes
up for it. Nothing of what `gc` says of itself changes by that.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import defaultdict
from functools import partial
from typing import Any

_ours: dict[int, threading.Thread] = {}
"""The threads of this package by their identifiers, which are used again once a thread has ended."""
_starting: list[dict[int, threading.Thread]] = []
"""For each thread of this package that is being started, and has not said so itself, the threads that were there."""
_active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
"""What Python knows as running threads. To ask for them would take a lock, and a search may begin under it."""
owed = False
"""Whether a search found nothing that a thread of the user is to make up for."""

# For the time of one search, lists of all that it searches: what is in them is no garbage. Between the moment at which
# they are made and the search, and between the search and the moment at which they go, no other thread may run: it
# could drop an object, which would then be destroyed here, by the end of the list. Python switches threads after calls
# and at the ends of loops. To look up a key that is missing is neither, and makes the list; `pop`, as a callback of its
# own, is called by Python's C code, and drops it.
_youngest: defaultdict[str, list[Any]] = defaultdict(partial(gc.get_objects, 0))
_middle: defaultdict[str, list[Any]] = defaultdict(partial(gc.get_objects, 1))
_oldest: defaultdict[str, list[Any]] = defaultdict(partial(gc.get_objects, 2))


def expect() -> None:
    """Keep finalizers out of a thread that is about to be started, before it can `enter` itself."""
    if _hold not in gc.callbacks:
        gc.callbacks[:0] = [_youngest.pop, _middle.pop, _oldest.pop]
        gc.callbacks.append(_hold)
    _starting.append(_active.copy())


def enter() -> None:
    """Keep finalizers out of this thread, which was expected, up to its end."""
    _ours[threading.get_ident()] = threading.current_thread()
    not_started()


def not_started() -> None:
    """Expect one thread less."""
    if _starting:
        _starting.pop()


def _is_ours() -> bool:
    thread = _ours.get(threading.get_ident())
    return thread is not None and thread.is_alive()


def _may_be_starting() -> bool:
    # The identifier of a thread that has ended is used again, so that it must be the same thread. One that has just
    # begun is not known yet, or as one that was not there.
    identifier = threading.get_ident()
    thread = _active.get(identifier)
    return any(thread is None or there.get(identifier) is not thread for there in list(_starting))


def _hold(phase: str, info: dict[str, Any]) -> None:
    """Keep a search in a thread of ours from finding anything; called by Python before each."""
    global owed
    if phase != "start" or not (_is_ours() or _may_be_starting()):
        return
    owed = True
    generation = info["generation"]
    if generation > 1:
        _oldest["stop"]
    if generation > 0:
        _middle["stop"]
    _youngest["stop"]


def make_up() -> None:
    """Search for what a thread of ours has left: what was young then. A thread of the user calls this if it is owed."""
    global owed
    if not _is_ours():
        owed = False
        if gc.isenabled():
            gc.collect(1)


def _begin_anew() -> None:
    """Forget the threads of the parent in a forked child."""
    global owed
    _ours.clear()
    _starting.clear()
    owed = False


os.register_at_fork(after_in_child=_begin_anew)
