"""`umlaut doctor` on a fake machine with energy counters; `python -m` runs it in a mount namespace."""

from __future__ import annotations

import os
import sys
import threading

from tests.fake_rapl import Machine
from umlaut_async.cli import main
from umlaut_async.diagnosis import diagnose

NOBODY = 65534


def run(state: str, *arguments: str) -> None:
    """Print what the command prints, and then its exit code."""
    machine = Machine(2, dram=state != "without memory")
    stopped = threading.Event()

    def count() -> None:
        while not stopped.wait(0.001):
            machine.count(250, 150, dram=10)

    counting = threading.Thread(target=count)
    if state == "counting":
        counting.start()
    elif state == "broken":
        machine.packages[1].show("nonsense")
    elif state == "forbidden memory":
        diagnose()
        machine.dram[1].counter.chmod(0o400)
        os.seteuid(NOBODY)
    elif state == "forbidden":
        diagnose()  # It imports what it needs: the user nobody may not see the files of this interpreter.
        for domain in machine.packages + machine.dram + machine.others:
            domain.counter.chmod(0o400)
        os.seteuid(NOBODY)
    try:
        main(["doctor", *arguments])
    except SystemExit as ended:
        sys.stdout.write(f"exit {ended.code}\n")
    finally:
        stopped.set()
        if counting.is_alive():
            counting.join()


if __name__ == "__main__":
    run(*sys.argv[1:])
