"""A command under `umlaut run` stops itself, and then only the command is told to go on: do both end?

Its argument is the path of a database. Prints what the command has written, and the exit code of `umlaut run`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 20.0
COMMAND = """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
print("goes on and ends")
"""


def states(pids: list[int]) -> set[str]:
    """Return the letters of the states of processes that have not gone."""
    files = [Path(f"/proc/{pid}/stat") for pid in pids]
    return {file.read_text().rpartition(")")[2].split()[0] for file in files if file.exists()}


def children(pid: int) -> dict[int, str]:
    """Return the children of a process, each with its command line."""
    pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return {child: Path(f"/proc/{child}/cmdline").read_bytes().decode() for child in pids}


def main() -> None:
    command = [sys.executable, "-c", COMMAND]
    umlaut = [sys.executable, "-m", "umlaut_async", "run", "--db", sys.argv[1], "--cpu", "--", *command]
    # In a session without a terminal, and without a shell that could let it go on.
    process = subprocess.Popen(umlaut, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    stopped: list[int] = []
    try:
        while not stopped and time.monotonic() < deadline:
            own = [pid for pid, line in children(process.pid).items() if line == "\0".join([*command, ""])]
            stopped = own if own and states([process.pid, *own]) == {"T"} else []
            time.sleep(0.01)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        out, _ = process.communicate(timeout=PATIENCE)
        json.dump({"stopped": bool(stopped), "out": out, "code": process.returncode}, sys.stdout)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


main()
