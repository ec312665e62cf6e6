"""The state of the source as git tells it, by a child process that is not counted as one of the user's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from umlaut_async.collector.absent import AbsentError
from umlaut_async.probes import helpers

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.002


class _Helper(subprocess.Popen[bytes]):
    """A child process that is waited for so that what it used is known."""

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            try:
                status = helpers.reap(self.pid)
            except ChildProcessError:
                return super().wait()
            if status is not None:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif timeout is not None and deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self.args, timeout)
            else:
                time.sleep(_PAUSE)
        return self.returncode


def git_state(directory: str | None, timeout: float) -> dict[str, str | bool]:
    """Return the commit, and whether a file of the repository was changed since.

    Args:
        directory: A folder of the repository; None is the working directory.
        timeout: The seconds that git may take in all.

    Raises:
        AbsentError: There is no git, no commit, or no answer in time.
    """
    deadline = time.monotonic() + timeout

    def ask(*arguments: str) -> str:
        return _run_git(arguments, directory, deadline - time.monotonic())

    commit = ask("rev-parse", "HEAD").strip()
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise AbsentError("git names no commit here")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no").strip())}


def _run_git(arguments: Sequence[str], directory: str | None, timeout: float) -> str:
    # It may not wait for a user, take a lock that the user's own git wants, or start a program of the repository.
    settings = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}
    try:
        with helpers.starting():
            process = _Helper(
                ["git", "-c", "core.fsmonitor=false", *arguments],
                cwd=directory,
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            helpers.exclude(process.pid)
    except FileNotFoundError:
        raise AbsentError("git is not installed, or the working directory is gone") from None
    try:
        output, errors = process.communicate(timeout=max(0.0, timeout))
    except subprocess.TimeoutExpired:
        _end_group(process)
        raise AbsentError("git gave no answer in time") from None
    # Where SIGCHLD is ignored there is no exit status: then what git printed must do.
    if process.returncode or (errors and not output):
        raise AbsentError((errors.decode(errors="replace").strip() or "git failed").splitlines()[0])
    return output.decode(errors="replace")


def _end_group(process: _Helper) -> None:
    """End a process with all that it started, which would keep its pipes open."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
