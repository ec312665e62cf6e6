"""What to do where the system has no room for another open file: wait, since others are closed in time."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

PAUSE = 0.1
"""How many seconds pass until it is tried again."""
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def is_lack_of_room(error: OSError) -> bool:
    """Return whether the system, or the limit of the process, allows no other open file."""
    return error.errno in _NO_ROOM


async def with_room(work: Callable[[], Result]) -> Result:
    """Do work that opens files, as soon as there is room for them.

    Args:
        work: The work, which can be tried again.
    """
    while True:
        try:
            return work()
        except OSError as error:
            if not is_lack_of_room(error):
                raise
        await asyncio.sleep(PAUSE)
