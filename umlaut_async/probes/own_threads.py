"""The threads that this package has in the measured process: what they use is not to be counted as the user's."""

from __future__ import annotations

import os
import threading
import time
from operator import add, sub
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from umlaut_async import gc_guard, originals
from umlaut_async.probes.process import NO_IO, IOCounters, io_from

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TRIES = 100


class _Thread(NamedTuple):
    clock: int
    """The clock that counts its CPU time; see `pthread_getcpuclockid`."""
    descriptor: int | None
    """The file of its I/O counters, kept open; None where the system has none."""


class _State(NamedTuple):
    """All that is known, replaced as a whole: who reads it takes no lock, which a forked child might find taken."""

    living: tuple[_Thread, ...] = ()
    cpu: int = 0
    """The CPU time, in nanoseconds, of those that have ended."""
    io: IOCounters = NO_IO


_state = _State()
_changing = originals.lock()
_have_clocks = hasattr(time, "pthread_getcpuclockid")


def _begin_anew() -> None:
    global _state, _changing
    for thread in _state.living:
        _close(thread)
    _state, _changing = _State(), originals.lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def are_known() -> bool:
    """Return whether this system tells the CPU time of single threads of a process."""
    return _have_clocks


def run(work: Callable[[], T]) -> T:
    """Do the work of a thread of this package, which was announced to `gc_guard`; what it uses is counted."""
    gc_guard.enter()
    if not _have_clocks:
        return work()
    thread = _Thread(time.pthread_getcpuclockid(originals.get_ident()), _opened())
    _change(lambda state: state._replace(living=(*state.living, thread)))
    try:
        return work()
    finally:
        bytes_moved = _io_of(thread)
        _change(lambda state: _without(state, thread, time.thread_time_ns(), bytes_moved))
        _close(thread)


def _opened() -> int | None:
    try:
        return os.open(f"/proc/self/task/{threading.get_native_id()}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _close(thread: _Thread) -> None:
    if thread.descriptor is not None:
        os.close(thread.descriptor)


def _io_of(thread: _Thread) -> IOCounters:
    return NO_IO if thread.descriptor is None else io_from(os.pread(thread.descriptor, 512, 0))


def _change(change: Callable[[_State], _State]) -> None:
    global _state
    with _changing:
        _state = change(_state)


def _without(state: _State, thread: _Thread, cpu: int, io: IOCounters) -> _State:
    living = tuple(other for other in state.living if other is not thread)
    return _State(living, state.cpu + cpu, IOCounters(*map(add, state.io, io)))


def cpu_time() -> int:
    """Return the CPU time of all of them so far, in nanoseconds."""
    return _summed(lambda state: state.cpu + sum([time.clock_gettime_ns(thread.clock) for thread in state.living]))


def io() -> IOCounters:
    """Return the bytes that all of them have read and written so far."""
    return _summed(_io)


def _io(state: _State) -> IOCounters:
    total = state.io
    for thread in state.living:
        total = IOCounters(*map(add, total, _io_of(thread)))
    return total


def _summed(total: Callable[[_State], T]) -> T:
    for _ in range(_TRIES):
        state = _state
        try:
            found = total(state)
        except (OSError, IndexError):
            continue  # One of them has just ended.
        if state is _state:
            return found
    return total(_State(cpu=_state.cpu, io=_state.io))


def cpu_without() -> int:
    """Return the CPU time of this process, user and system, in nanoseconds, without that of these threads."""
    # These first: what they use between the two readings is then counted as the user's, and the sum never falls.
    own = cpu_time()
    return time.process_time_ns() - own


def io_without(read: Callable[[], IOCounters]) -> IOCounters:
    """Return I/O counters of this process without the bytes of these threads.

    Args:
        read: Reads those of the whole process.
    """
    own = io()
    return IOCounters(*map(sub, read(), own))
