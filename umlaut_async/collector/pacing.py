"""Work that nobody waits for, done in small pieces, so that a stage beside it has the interpreter nearly to itself."""

from __future__ import annotations

import time
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

T = TypeVar("T")

_REST = 9
"""How many times as long as it has worked the work rests: it takes a tenth of the interpreter."""


@types.coroutine
def paced(
    work: Coroutine[Any, Any, T], rest: Callable[[float], Awaitable[object]], may_rest: Callable[[], bool]
) -> Generator[Any, Any, T]:
    """Return what a coroutine returns that rests after each of its steps.

    Args:
        work: The coroutine. Each of its steps goes up to where it awaits something that is not there yet.
        rest: Waits for so many seconds, or for less if somebody waits for the work by now.
        may_rest: Whether the work may rest where it is, which it makes up for later otherwise.
    """
    error: BaseException | None = None
    worked = 0.0
    while True:
        began = time.thread_time()
        try:
            awaited = work.send(None) if error is None else work.throw(error)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # that of the coroutine
        worked += time.thread_time() - began
        try:
            if may_rest():
                yield from rest(_REST * worked).__await__()
                worked = 0.0
            # Only now the loop learns what the work awaits, which may have come meanwhile.
            yield awaited
            error = None
        except BaseException as raised:
            error = raised
