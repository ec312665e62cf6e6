"""Cells of notebooks, which are run again and again: each time is a run of its own."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umlaut_async.benchmark import Benchmark

_made_in: dict[tuple[str, str], weakref.ref[Benchmark]] = {}
"""The latest benchmark that each cell has made for a database."""


def end_run_of_cell(benchmark: Benchmark, database: str) -> None:
    """End the run that this cell has begun when it ran the last time, if no call of it is open.

    A notebook keeps what its cells have made in its history, so that it is never dropped.

    Args:
        benchmark: What the cell makes now.
        database: The key of its database.
    """
    if (cell := _cell()) is None:
        return
    before = _made_in.get((database, cell), lambda: None)()
    _made_in[database, cell] = weakref.ref(benchmark)
    if before is not None and before.is_idle:
        before.request_end(lambda error: None)


def _cell() -> str | None:
    """Return what tells the running cell of IPython from others; None elsewhere."""
    interactive = sys.modules.get("IPython.core.interactiveshell")
    shell = None if interactive is None else interactive.InteractiveShell._instance
    if shell is None:
        return None
    # Notebooks name their cells in what they send. Elsewhere the name of the code stands for its text.
    header = getattr(shell, "parent_header", None)
    named = header.get("metadata", {}).get("cellId") if isinstance(header, dict) else None
    if named is not None:
        return str(named)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals is not shell.user_ns:
        frame = frame.f_back
    return frame.f_code.co_filename if frame.f_globals is shell.user_ns else None
