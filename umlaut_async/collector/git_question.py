"""What git says of the state of the source. It runs in a process of its own too, by the standard library alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress

_LOOK = 0.1
"""Seconds between looks whether somebody still waits for the answer."""


def answer(directory: str | None, timeout: float, parent: int | None = None) -> dict[str, str | bool]:
    """Return the commit, and whether a file of the repository was changed since; or why not, as `absent`.

    Args:
        directory: A folder of the repository; None is the working directory.
        timeout: The seconds that git may take in all.
        parent: The parent of this process that waits for the answer: git is ended with it.
    """
    deadline = time.monotonic() + timeout
    try:
        commit = _run_git(["rev-parse", "HEAD"], directory, deadline, parent).strip()
        if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            return {"absent": "git names no commit here"}
        changed = _run_git(["status", "--porcelain", "--untracked-files=no"], directory, deadline, parent).strip()
    except FileNotFoundError:
        return {"absent": "git is not installed, or the working directory is gone"}
    except (OSError, subprocess.SubprocessError) as error:
        return {"absent": "git gave no answer in time" if isinstance(error, subprocess.TimeoutExpired) else str(error)}
    return {"commit": commit, "dirty": bool(changed)}


def main(descriptor: int, directory: str, timeout: str) -> None:
    """Write the answer into a file.

    Args:
        descriptor: The file.
        directory: See `answer`; empty is the working directory.
        timeout: See `answer`.
    """
    found = answer(directory or None, float(timeout), os.getppid())
    with open(descriptor, "w") as file:
        json.dump(found, file)


def _run_git(arguments: list[str], directory: str | None, deadline: float, parent: int | None) -> str:
    # It may not wait for a user, take a lock that the user's own git wants, or start a program of the repository.
    settings = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}
    with subprocess.Popen(
        ["git", "-c", "core.fsmonitor=false", *arguments],
        cwd=directory,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        while True:
            try:
                output, errors = process.communicate(timeout=max(0.0, min(_LOOK, deadline - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline and parent in (None, os.getppid()):
                    continue
                # With all that it started, which would keep its pipes open.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    # Where SIGCHLD is ignored there is no exit status: then what git printed must do.
    if process.returncode or (errors and not output):
        reason = errors.decode(errors="replace").strip() or "git failed"
        raise subprocess.SubprocessError(reason.splitlines()[0])
    return output.decode(errors="replace")
