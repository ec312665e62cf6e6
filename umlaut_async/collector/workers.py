"""Whose worker a process is: workers are ended without notice, so they keep no record to themselves."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from umlaut_async.collector.registry import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_PACKAGES = "multiprocessing", "multiprocess"
"""Those of one make, that tell a worker who its parent is."""
_RAY_WORKER = "default_worker.py"

_forked_from: int | None = None
"""The process from which this one was forked, if it was."""
_forking = os.getpid()


def employer() -> Identity | None:
    """Return the process whose worker this one is; None where it is nobody's, or that has ended."""
    pid = next((parent for _, parent in makers()), None) or _parent_by_fork() or _parent_of_ray_worker()
    return None if pid is None else identity(pid)


def makers() -> Iterator[tuple[str, int]]:
    """Yield the packages that have started this process as a worker, each with the parent that it tells."""
    for package in _PACKAGES:
        module: ModuleType | None = sys.modules.get(f"{package}.process")
        if module is not None and callable(ask := getattr(module, "parent_process", None)):
            parent = ask()
            if parent is not None and isinstance(parent.pid, int):
                yield package, parent.pid


def _parent_by_fork() -> int | None:
    # One whose parent has ended has become a program of its own, such as a service in the background.
    return _forked_from if _forked_from == os.getppid() else None


def _parent_of_ray_worker() -> int | None:
    main = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    return os.getppid() if "ray" in sys.modules and os.path.basename(main) == _RAY_WORKER else None


def _note_fork() -> None:
    global _forked_from, _forking
    _forked_from, _forking = _forking, os.getpid()


os.register_at_fork(after_in_child=_note_fork)
