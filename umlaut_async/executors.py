"""Calls in the threads of a pool: they lie in the call that has submitted the work.

A `ThreadPoolExecutor`, and with it `loop.run_in_executor`, runs its work without the context of whoever submits it.
Here the current call is handed over, and nothing else: the variables of the user are for the user to hand over.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from umlaut_async.calls import current_call, within
from umlaut_async.switch import disabled

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

_MARK = "_umlaut_async"


def follow_executors() -> None:
    """Let the work of every thread pool run in the call that submits it; once is enough, more is harmless."""
    # Not at the top: pools that end with the interpreter are to do so before the runs, so they come after these.
    from concurrent.futures import ThreadPoolExecutor

    # Others may wrap it as well, and what they put around ours has its attributes.
    if not disabled() and not hasattr(ThreadPoolExecutor.submit, _MARK):
        ThreadPoolExecutor.submit = _following(ThreadPoolExecutor.submit)  # type: ignore[method-assign]


def _following(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = current_call()
        if call is None or _pickles(self):
            return original(self, fn, *args, **kwargs)
        return original(self, within, call, fn, *args, **kwargs)

    setattr(submit, _MARK, True)
    return submit


def _pickles(executor: ThreadPoolExecutor) -> bool:
    """Return whether it sends its work to another interpreter."""
    module = sys.modules.get("concurrent.futures.interpreter")
    return isinstance(executor, getattr(module, "InterpreterPoolExecutor", ()))
