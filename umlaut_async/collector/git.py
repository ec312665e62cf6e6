"""The state of the source as git tells it, by a process that the measured program does not see."""

from __future__ import annotations

import json
import os
from typing import Any

from umlaut_async.collector import git_question, unseen
from umlaut_async.collector.absent import AbsentError

_ASK = """
sys.path.append(sys.argv[2])
from git_question import main
main(descriptor, *sys.argv[3:])
"""


def git_state(directory: str | None, timeout: float) -> dict[str, str | bool]:
    """Return the commit, and whether a file of the repository was changed since.

    Args:
        directory: A folder of the repository; None is the working directory.
        timeout: The seconds that git may take in all.

    Raises:
        AbsentError: There is no git, no commit, or no answer in time.
    """
    try:
        found = _asked_unseen(directory, timeout)
    except OSError:
        found = git_question.answer(directory, timeout)
    if reason := found.get("absent"):
        raise AbsentError(str(reason))
    return found


def _asked_unseen(directory: str | None, timeout: float) -> dict[str, Any]:
    if not hasattr(os, "memfd_create"):
        raise OSError("this system has no files in memory")
    with open(os.memfd_create("umlaut_async"), "r+b") as file:
        folder = os.path.dirname(os.path.abspath(__file__))
        unseen.run_python(_ASK, file.fileno(), folder, directory or "", str(timeout), options=["-IS"])
        file.seek(0)
        answer = file.read()
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise AbsentError("git could not be asked") from None
    return found
