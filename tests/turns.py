"""Whose turn it is where several processes share the tests: one that measures time runs alone, the others together."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOM, _DOOR = Path(__file__), Path(__file__).with_name("support.py")
"""Two files of which nothing is wanted but their locks."""


_descriptors: set[int] = set()


def _let_go() -> None:
    # A process that a test has forked may outlive it, and would keep the locks of a worker that was killed.
    while _descriptors:
        os.close(_descriptors.pop())


os.register_at_fork(after_in_child=_let_go)


_kept = ExitStack()
"""The room, where several tests in a row run alone: the others stop for them once."""


@contextmanager
def turn(*, alone: bool, next_alone: bool) -> Iterator[None]:
    """Wait until a test may run, and let it run.

    Args:
        alone: Whether no other test may run meanwhile.
        next_alone: Whether that goes for the next test of this process too.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    wanted = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with _kept.pop_all() as room:
        if not _descriptors:
            # Who waits for the room stands in the door, so that those who share it cannot keep out one that wants it
            # alone.
            with _locked(_DOOR, fcntl.LOCK_EX):
                room.enter_context(_locked(_ROOM, wanted))
        yield
        if alone and next_alone:
            _kept.push(room.pop_all())


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    _descriptors.add(descriptor)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        _descriptors.discard(descriptor)
        os.close(descriptor)
