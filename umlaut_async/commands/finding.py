"""Find the program of a command as a shell does, and say in its words and codes why there is none."""

from __future__ import annotations

import errno
import os
import shutil

CANNOT_EXECUTE = 126
NOT_FOUND = 127


class NoCommandError(Exception):
    """A command cannot be executed.

    Args:
        command: Its name.
        error: The error number of the system.
    """

    def __init__(self, command: str, error: int) -> None:
        self.code = NOT_FOUND if error == errno.ENOENT else CANNOT_EXECUTE
        reason = "command not found" if error == errno.ENOENT and "/" not in command else os.strerror(error)
        super().__init__(f"{command}: {reason}")


def check(command: str) -> None:
    """Check that a command can be executed, as far as that can be told before.

    Raises:
        NoCommandError: It cannot.
    """
    if shutil.which(command) is not None:
        return
    if "/" in command:
        places = [command]
    else:
        places = [os.path.join(folder, command) for folder in os.get_exec_path()] if command else []
    there = [place for place in places if os.path.lexists(place)]
    if not there or not os.path.exists(there[0]):
        raise NoCommandError(command, errno.ENOENT)
    raise NoCommandError(command, errno.EISDIR if os.path.isdir(there[0]) else errno.EACCES)
